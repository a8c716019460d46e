"""A published directory with all that a check looks at: an index, single images, deltas of both formats, an artifact,
a flatpak, and a manifest that does not say itself what it is."""

import json
from pathlib import Path
from typing import Final

from pipeline.history.records.images import FLATPAK_LABELS
from pipeline.targets.base import Target

from ..layouts.builder import LayoutBuilder, json_bytes, on, tar_of
from ..runs import ClocklessDirectory, Shop, app
from ..updates import NEW, OLD

INDEXED: Final = "team/app"
SINGLE: Final = "single"
OTHER: Final = "other"
FLATPAK: Final = "org.example.hello"


def published(folder: Path) -> Path:
    """Publish it below `folder`, and return where."""
    root = folder / "public"
    root.mkdir()
    publish(folder, ClocklessDirectory(root))
    return root


def publish(folder: Path, target: Target) -> None:
    """Write the layouts below `folder`, and publish them to `target`."""
    shop = Shop(folder, target, repositories=dict.fromkeys((INDEXED, SINGLE, OTHER, FLATPAK), ""))
    build = LayoutBuilder()
    arm = build.image(tar_of({"arm": b""}), architecture="arm64", created="2024-02-01T00:00:00Z")
    old, new = (build.image(*tars, created=f"2024-0{number}-01T00:00:00Z") for number, tars in ((1, OLD), (2, NEW)))
    shop.layout(
        {
            "1.0": build.index(on(old, "linux/amd64")),
            "1.1": build.index(on(new, "linux/amd64"), on(arm, "linux/arm64")),
        },
        build,
        INDEXED,
    )

    build = LayoutBuilder()
    images = {f"1.{number}": build.image(app(number), created=f"2024-0{number}-01T00:00:00Z") for number in (1, 2)}
    build.entry(build.artifact(subject=images["1.2"]))
    shop.layout(images, build, SINGLE)

    build = LayoutBuilder()
    large = build.image(tar_of({"large": bytes(3 << 20)}), compression="", docker=True)
    shop.layout({"large": large, "silent": _silent(build)}, build, OTHER)

    build = LayoutBuilder()
    labels = dict(zip(FLATPAK_LABELS, ("app/org.example.hello/x86_64/stable", "[Application]"), strict=True))
    shop.layout({"latest": build.image(app(3), labels=labels)}, build, FLATPAK)

    outcome = shop.run()
    assert outcome.exit_code == 0


def _silent(build: LayoutBuilder) -> dict[str, object]:
    """An image whose manifest has no `mediaType`, as older tools write it."""
    image = build.image(tar_of({"silent": b""}))
    manifest = json.loads(build.blobs[f"blobs/{image['digest'].replace(':', '/')}"])
    del manifest["mediaType"]
    return build.blob(json_bytes(manifest), image["mediaType"])
