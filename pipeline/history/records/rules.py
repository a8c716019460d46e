"""By what repositories were published, as the ledger remembers it for other configurations of the same target."""

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import fields as fields_of
from datetime import timedelta
from typing import Any, Final, Self

from ...config.values import FlatpakRemote
from ...oci.digest import Digest
from ...oci.fields import Fields
from .fields import read_pulls

_REMOTE_FIELDS: Final = fields_of(FlatpakRemote)


@dataclass(frozen=True, slots=True, kw_only=True)
class RulesRecord:
    """By what a repository was published last: what decides which deltas it lists, and how long it keeps what it does
    not. Its publisher's configuration says it; another one for the same target goes by this.

    `delta_url`: the index of flatpak says where its deltas are. `pulls` says how often each image manifest was pulled,
    as far as that was counted and decides something. `remote` is the name of the flatpak remote to which it
    belongs, see `RemoteRecord`. `mirrored_from` is the URL of its source, where it is mirrored: then its deltas and
    listings are not made here.
    """

    versions: int
    max_ratio: float
    grace: timedelta
    scopes: tuple[str, ...] = ()
    formats: tuple[str, ...] = ("deltaindex",)
    delta_url: bool = False
    sources_within: timedelta = timedelta(0)
    sources_monthly: int = 0
    max_deltas: int | None = None
    pulls: Mapping[Digest, int] | None = None
    remote: str | None = None
    mirrored_from: str | None = None

    @classmethod
    def read(cls, fields: Fields) -> Self:
        ratio = fields.value("maxRatio") if fields.has("maxRatio") else None
        if not isinstance(ratio, int | float) or not 0 <= ratio <= 1:
            raise fields.error("maxRatio", "is no share between 0 and 1")
        return cls(
            versions=fields.size("versions"),
            max_ratio=float(ratio),
            grace=_read_span(fields, "grace"),
            scopes=fields.list_of_texts("scopes"),
            formats=fields.list_of_texts("formats") if fields.has("formats") else ("deltaindex",),
            delta_url=fields.has("deltaUrl"),
            sources_within=_read_span(fields, "sourcesWithin") if fields.has("sourcesWithin") else timedelta(0),
            sources_monthly=fields.size("sourcesMonthly") if fields.has("sourcesMonthly") else 0,
            max_deltas=fields.size("maxDeltas") if fields.has("maxDeltas") else None,
            pulls=read_pulls(fields.object("pulls")) if fields.has("pulls") else None,
            remote=fields.optional_text("remote"),
            mirrored_from=fields.optional_text("mirroredFrom"),
        )

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "versions": self.versions,
            "maxRatio": self.max_ratio,
            "grace": int(self.grace.total_seconds()),
        }
        if self.scopes:
            found["scopes"] = list(self.scopes)
        if self.formats != ("deltaindex",):
            found["formats"] = list(self.formats)
        if self.delta_url:
            found["deltaUrl"] = True
        if self.sources_within:
            found["sourcesWithin"] = int(self.sources_within.total_seconds())
        if self.sources_monthly:
            found["sourcesMonthly"] = self.sources_monthly
        if self.max_deltas is not None:
            found["maxDeltas"] = self.max_deltas
        if self.pulls is not None:
            found["pulls"] = {str(image): self.pulls[image] for image in sorted(self.pulls, key=str)}
        if self.remote is not None:
            found["remote"] = self.remote
        if self.mirrored_from is not None:
            found["mirroredFrom"] = self.mirrored_from
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteRecord:
    """A flatpak remote, as the configuration describes it that published its repositories last."""

    remote: FlatpakRemote

    @classmethod
    def read(cls, fields: Fields) -> Self:
        return cls(remote=FlatpakRemote(**{known.name: fields.text(known.name, "") for known in _REMOTE_FIELDS}))

    def to_json(self) -> dict[str, str]:
        found = {known.name: str(getattr(self.remote, known.name)) for known in _REMOTE_FIELDS}
        return {name: text for name, text in found.items() if text}


def _read_span(fields: Fields, name: str) -> timedelta:
    try:
        return timedelta(seconds=fields.size(name))
    except OverflowError as error:
        raise fields.error(name, "is more than a time can be") from error
