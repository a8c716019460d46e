"""Pure: what of a source is mirrored."""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from ..errors import DeltapressError, ExitCode
from ..oci.descriptor import Platform
from ..oci.digest import Digest
from ..oci.manifest import Index
from ..oci.reference import check_repository

_PLATFORM: Final = re.compile(r"([a-z0-9]+)/([a-z0-9_]+)(?:/([a-z0-9.]+))?")
# by which docker buildx says what an attestation is of
_ATTESTED: Final = "vnd.docker.reference.digest"


class SelectionError(DeltapressError):
    """A part that cannot be named so."""

    exit_code = ExitCode.BAD_CONFIGURATION


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """`repositories` and `tags` are globs, of which each may fit; no `platforms` are all of them."""

    repositories: tuple[str, ...] = ("*",)
    tags: tuple[str, ...] = ("*",)
    platforms: tuple[Platform, ...] = ()
    deltas: bool = True

    @property
    def names(self) -> tuple[str, ...] | None:
        """The repositories, where each is named and none by a glob."""
        return None if any(map(_is_glob, self.repositories)) else self.repositories

    @property
    def has_all_tags(self) -> bool:
        return "*" in self.tags

    def has_repository(self, name: str) -> bool:
        return any(fnmatchcase(name, glob) for glob in self.repositories)

    def has_tag(self, tag: str) -> bool:
        return any(fnmatchcase(tag, glob) for glob in self.tags)

    def has_platform(self, platform: Platform) -> bool:
        """An architecture without a variant stands for each of its variants."""
        return not self.platforms or any(
            (wanted.os, wanted.architecture) == (platform.kind.os, platform.kind.architecture)
            and wanted.variant in ("", platform.variant, platform.kind.variant)
            for wanted in self.platforms
        )

    def hidden(self, index: Index) -> set[Digest]:
        """The manifests of an index that are for other platforms, and the attestations of these. What says no platform
        belongs to all of them."""
        entries = [entry for entry in index.manifests if entry.platform is not None and self.platforms]
        named = [(entry, entry.platform) for entry in entries if entry.platform and not entry.platform.is_unknown]
        hidden = {entry.digest for entry, platform in named if not self.has_platform(platform)}
        hidden -= {entry.digest for entry, platform in named if self.has_platform(platform)}
        texts = set(map(str, hidden))
        attestations = (entry for entry in entries if entry.annotations.get(_ATTESTED) in texts)
        return hidden | {entry.digest for entry in attestations}


def check_repositories(text: str) -> str:
    """Return `text` if it is a glob or a repository's name. Raises NameGrammarError."""
    return text if _is_glob(text) else check_repository(text)


def parse_platform(text: str) -> Platform:
    """Read `OS/ARCH` or `OS/ARCH/VARIANT`. Raises SelectionError."""
    match = _PLATFORM.fullmatch(text)
    if match is None:
        raise SelectionError(f"{text[:80]!r} is no platform; write OS/ARCH or OS/ARCH/VARIANT, such as linux/arm64")
    said = Platform(os=match[1], architecture=match[2], variant=match[3] or "")
    kind = said.kind
    return Platform(os=kind.os, architecture=kind.architecture, variant=kind.variant if match[3] else "")


def _is_glob(text: str) -> bool:
    return not set(text).isdisjoint("*?[")
