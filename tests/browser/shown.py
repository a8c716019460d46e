"""A tree that shows all that pages can show, made from a ledger alone: its sizes are those of real images, and there is
nothing to pull."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from pipeline.config.values import FlatpakRemote, Policy, Site
from pipeline.deltas.plan import Rules, Wanted, plan_deltas
from pipeline.deltas.savings import savings
from pipeline.history.ledger import Ledger
from pipeline.history.records.deltas import DeltaRecord
from pipeline.history.records.images import ImageRecord, LayerRecord, PlatformRecord
from pipeline.history.records.repositories import Move, RepositoryRecord, TagRecord
from pipeline.history.records.rules import RemoteRecord, RulesRecord
from pipeline.keys import PING_KEY
from pipeline.oci.descriptor import Descriptor, Platform
from pipeline.oci.digest import DiffID, Digest
from pipeline.oci.media_types import OCI_INDEX, OCI_MANIFEST
from pipeline.tree.pages import page_files

_START: Final = datetime(2026, 1, 5, 2, 15, tzinfo=UTC)
_GZIP: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
_SBOM: Final = "application/spdx+json"
_SIGNATURE: Final = "application/vnd.dev.cosign.artifact.sig.v1+json"
_PLATFORMS: Final = {
    "amd64": Platform(os="linux", architecture="amd64"),
    "arm64": Platform(os="linux", architecture="arm64", variant="v8"),
}
_LABELS: Final = {
    "org.opencontainers.image.title": "Billing service",
    "org.opencontainers.image.description": "Takes orders, writes invoices, and answers what has been paid.",
    "org.opencontainers.image.revision": "5f2b1c7e9a0d4c3b8e6f7a1d2c3b4a5968778695",
    "org.opencontainers.image.licenses": "Apache-2.0",
}
_FLATPAK: Final = {"org.flatpak.ref": "app/org.example.Editor/x86_64/stable", "org.flatpak.metadata": "[Application]"}

# repository -> its tags, each a list of images, the last of which it leads to; and its platforms
_REPOSITORIES: Final[dict[str, tuple[dict[str, list[str]], list[str]]]] = {
    "team/billing": (
        {**{f"2.{minor}": [f"2.{minor}"] for minor in (8, 9, 10, 11)}, "nightly": ["n1", "n2", "n3", "n4"]},
        ["amd64", "arm64"],
    ),
    "team/pending": ({"1.0": ["1.0"], "1.1": ["1.1"]}, ["amd64"]),
    "team/one-version": ({"2026-01": ["a"]}, ["amd64"]),
    "apps/editor": ({"stable": ["1", "2", "3"]}, ["amd64"]),
    "a-very-long-organisation/with-a-very-long-name/and-a-service-that-nobody-can-remember": (
        {"1.0.0-rc.1_build.20260105.a-tag-that-is-as-long-as-they-get": ["x"], "1.0.0": ["y"], "1.0.1": ["z"]},
        ["amd64"],
    ),
    **{f"team/service-{number:02}": ({"1.0": ["p"], "1.1": ["q"], "1.2": ["r"]}, ["amd64"]) for number in range(12)},
}


def write_shown(root: Path, *, url: str | None = None) -> list[str]:
    """Write the pages below `root`, as far as `serve` wants them; their paths, the front page first."""
    ledger, wanted = shown_ledger()
    files = {**page_files(ledger, tuple(savings(ledger, wanted)), Site(url=url)), PING_KEY: b"{}"}
    for key, data in files.items():
        path = root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return [
        "index.html",
        *(f"pages/{name}/_page.html" for name in list(_REPOSITORIES)[:5]),
    ]


def shown_ledger() -> tuple[Ledger, tuple[Wanted, ...]]:
    """The ledger, and the deltas that its images want."""
    rules = RulesRecord(versions=3, max_ratio=0.9, grace=timedelta(days=7), remote="example")
    ledger = Ledger(
        repositories={
            name: RepositoryRecord(
                tags=_tags(name, tags),
                images={image.digest: image for image in _images(name, tags, platforms)},
                rules=rules if name.startswith("apps/") else None,
            )
            for name, (tags, platforms) in _REPOSITORIES.items()
        },
        remotes={
            "example": RemoteRecord(
                remote=FlatpakRemote(name="example", url="https://flatpak.example.org", title="Example apps")
            )
        },
    )
    policy = Policy(versions=3, formats=("deltaindex",))
    plan = plan_deltas(
        ledger,
        {name: Rules(policy=policy) for name in _REPOSITORIES},
        generator="",
        options="",
        now=_START + timedelta(days=99),
    )
    return ledger.with_deltas(_deltas(plan.wanted)), plan.wanted


def _tags(name: str, tags: dict[str, list[str]]) -> dict[str, TagRecord]:
    return {
        tag: TagRecord(
            moves=tuple(
                Move(image=_root(name, image), since=_START + timedelta(days=7 * number + night))
                for night, image in enumerate(images)
            )
        )
        for number, (tag, images) in enumerate(tags.items())
    }


def _images(name: str, tags: dict[str, list[str]], platforms: list[str]) -> Iterator[ImageRecord]:
    for number, image in enumerate(dict.fromkeys(image for images in tags.values() for image in images)):
        found = tuple(_platform(name, image, platform) for platform in platforms)
        documents = [Descriptor(media_type=OCI_MANIFEST, digest=part.manifest, size=700) for part in found]
        if len(found) > 1:
            documents.append(Descriptor(media_type=OCI_INDEX, digest=_root(name, image), size=600))
        record = ImageRecord(
            documents=tuple(documents),
            blobs=(),
            platforms=found,
            created=_START + timedelta(days=7 * number, hours=-9),
        )
        yield record
        if name == "team/billing":
            for kind in (_SIGNATURE, _SBOM):
                yield _attached(record.digest, kind)


def _attached(subject: Digest, kind: str) -> ImageRecord:
    digest = _digest(subject, kind)
    blob = Descriptor(media_type=kind, digest=_digest(digest, "blob"), size=48_213 if kind == _SBOM else 1_204)
    return ImageRecord(
        documents=(Descriptor(media_type=OCI_MANIFEST, digest=digest, size=500, artifact_type=kind),),
        blobs=(blob,),
        platforms=(),
        subjects={digest: subject},
    )


def _platform(name: str, image: str, platform: str) -> PlatformRecord:
    manifest = _root(name, image) if len(_REPOSITORIES[name][1]) == 1 else _digest(name, image, platform)
    return PlatformRecord(
        platform=_PLATFORMS[platform],
        manifest=manifest,
        layers=tuple(
            LayerRecord(
                diff_id=DiffID.parse(str(_digest("diff", *what))), digest=_digest(*what), size=size, media_type=_GZIP
            )
            for what, size in (
                ((name, platform, "base"), 31_417_006),
                ((name, platform, image), 88_000_000 + random.Random(f"{name}{image}{platform}").randrange(9_000_000)),
            )
        ),
        labels=_FLATPAK if name == "apps/editor" else _LABELS if name == "team/billing" else {},
    )


def _deltas(wanted: tuple[Wanted, ...]) -> Iterator[DeltaRecord]:
    """Small ones, the further the larger; one that was refused, one that is left for later, and none of `pending`."""
    for number, want in enumerate(wanted):
        if want.repository == "team/pending" or number == 1:
            continue
        size = 2_000_000 * (1 + number % 3) + random.Random(number).randrange(900_000)
        reason = "the old layer is not a readable tar: a header of file 17 is damaged"
        is_refused = number == 5
        yield DeltaRecord(
            key=want.key,
            generator="",
            options="",
            size=0 if is_refused else size,
            digest=None if is_refused else _digest(str(want.key)),
            refused=reason if is_refused else None,
        )


def _root(name: str, image: str) -> Digest:
    return _digest(name, image)


def _digest(*names: object) -> Digest:
    return Digest.of(repr(tuple(map(str, names))).encode())
