"""What a target holds, as content that can be read again and again."""

from dataclasses import dataclass
from typing import BinaryIO

from ..keys import Key
from .base import ReadableTarget


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredContent:
    """Bytes that the target holds already."""

    target: ReadableTarget
    key: Key
    size: int

    def open(self) -> BinaryIO:
        return self.target.open(self.key)
