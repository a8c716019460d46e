"""What the ledger remembers of repositories: their tags, where those pointed, and what was removed of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from ...oci.digest import Digest
from ...oci.fields import Fields
from .fields import read_time, write_time
from .images import ImageRecord, LayerRecord, PlatformRecord
from .rules import RulesRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """From `since` on, a tag pointed to `image`."""

    image: Digest
    since: datetime

    @classmethod
    def read(cls, fields: Fields) -> Self:
        return cls(image=fields.digest("image"), since=read_time(fields, "since"))

    def to_json(self) -> dict[str, str]:
        return {"image": str(self.image), "since": write_time(self.since)}


@dataclass(frozen=True, slots=True, kw_only=True)
class TagRecord:
    """Where a tag pointed, oldest first, never twice the same in a row. `lost` is when its layout ceased to have it;
    `instead_of` is what the layout has under it, where somebody has pointed it to another image."""

    moves: tuple[Move, ...]
    lost: datetime | None = None
    instead_of: Digest | None = None

    @property
    def image(self) -> Digest:
        return self.moves[-1].image

    @property
    def has_moved(self) -> bool:
        return len(self.moves) > 1

    @classmethod
    def read(cls, fields: Fields) -> Self:
        moves = tuple(Move.read(entry) for entry in fields.objects("moves"))
        if not moves:
            raise fields.error("moves", "is empty")
        return cls(
            moves=moves,
            lost=read_time(fields, "lost") if fields.has("lost") else None,
            instead_of=fields.digest("instead_of") if fields.has("instead_of") else None,
        )

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"moves": [move.to_json() for move in self.moves]}
        if self.lost is not None:
            found["lost"] = write_time(self.lost)
        if self.instead_of is not None:
            found["instead_of"] = str(self.instead_of)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryRecord:
    """What is published of one repository: tags and images in the order in which they were first seen.

    `rules` are None until a publisher that knows them has published it. `carried` are the names of repositories whose
    history this one goes on from.
    """

    tags: Mapping[str, TagRecord] = field(default_factory=dict)
    images: Mapping[Digest, ImageRecord] = field(default_factory=dict)
    rules: RulesRecord | None = None
    carried: tuple[str, ...] = ()

    @property
    def mirrored_from(self) -> str | None:
        """The URL of the source of a mirrored repository; None for one that is published from a layout."""
        return self.rules.mirrored_from if self.rules is not None else None

    def platform_images(self) -> Iterator[PlatformRecord]:
        for image in self.images.values():
            yield from image.platforms

    def layers(self) -> Iterator[LayerRecord]:
        for image in self.platform_images():
            yield from image.layers

    @classmethod
    def read(cls, fields: Fields) -> Self:
        tags = fields.object("tags")
        images = [ImageRecord.read(entry) for entry in fields.objects("images")]
        return cls(
            tags={tag: TagRecord.read(tags.object(tag)) for tag in tags.names()},
            images={image.digest: image for image in images},
            rules=RulesRecord.read(fields.object("rules")) if fields.has("rules") else None,
            carried=fields.list_of_texts("carried"),
        )

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "tags": {tag: record.to_json() for tag, record in self.tags.items()},
            "images": [image.to_json() for image in self.images.values()],
        }
        if self.rules is not None:
            found["rules"] = self.rules.to_json()
        if self.carried:
            found["carried"] = list(self.carried)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovalRecord:
    """What somebody took out of publication, and when; `taken` are the tags and the images that were named then."""

    since: datetime
    taken: RepositoryRecord

    @classmethod
    def read(cls, fields: Fields) -> Self:
        return cls(since=read_time(fields, "since"), taken=RepositoryRecord.read(fields.object("taken")))

    def to_json(self) -> dict[str, Any]:
        return {"since": write_time(self.since), "taken": self.taken.to_json()}
