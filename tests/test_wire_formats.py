"""The page about the wire formats: its examples are what the formats write, its numbers are the code's."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from pipeline.compression import MAX_WINDOW_LOG
from pipeline.deltas.formats import Offer
from pipeline.deltas.formats.delta_index import DeltaIndex
from pipeline.deltas.formats.oci_delta import OciDelta
from pipeline.deltas.plan import Wanted
from pipeline.history.ledger import Ledger
from pipeline.history.records.deltas import DeltaKey
from pipeline.history.records.images import ImageRecord, LayerRecord, PlatformRecord
from pipeline.history.records.repositories import Move, RepositoryRecord, TagRecord
from pipeline.keys import FLATPAK_INDEX_KEY
from pipeline.oci.descriptor import Descriptor, Platform
from pipeline.oci.digest import DiffID, Digest
from pipeline.oci.manifest import Manifest
from pipeline.oci.media_types import OCI_CONFIG, OCI_GZIP_LAYER, OCI_MANIFEST
from pipeline.oci.writing import write_index
from pipeline.tardiff.format import MAGIC, MAX_ADD_DATA, MAX_PATH, Op
from pipeline.tree.flatpak import flatpak_index

PAGE: Final = (Path(__file__).parents[1] / "docs" / "wire-formats.md").read_text("utf-8")
EXAMPLES: Final = [json.loads(block) for block in re.findall(r"^```json\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)]
INDEX, MANIFEST, FLATPAK, ARTIFACT, LISTING = EXAMPLES
LINUX: Final = Platform(os="linux", architecture="amd64")
LABELS: Final = {"org.flatpak.metadata": "…", "org.flatpak.ref": "app/org.example.Hello/x86_64/stable"}


def digest(name: str) -> Digest:
    """What stands for `sha256:<name>`."""
    return Digest.of(name.encode())


def layer(name: str, size: int) -> LayerRecord:
    return LayerRecord(
        diff_id=DiffID.of(f"DiffID of the {name}".encode()),
        digest=digest(name),
        size=size,
        media_type=OCI_GZIP_LAYER,
        is_one_member=True,
    )


BASE, OLD, NEW, SMALL = (
    layer("base layer", 9000),
    layer("old layer", 5100),
    layer("new layer", 5138),
    layer("small layer", 900),
)


def image(age: str, *layers: LayerRecord) -> ImageRecord:
    manifest, config = digest(f"{age} manifest"), digest(f"{age} config")
    return ImageRecord(
        documents=(Descriptor(media_type=OCI_MANIFEST, digest=manifest, size=715),),
        blobs=(
            Descriptor(media_type=OCI_CONFIG, digest=config, size=299),
            *(Descriptor(media_type=part.media_type, digest=part.digest, size=part.size) for part in layers),
        ),
        platforms=(PlatformRecord(platform=LINUX, manifest=manifest, layers=layers, config=config, labels=LABELS),),
    )


OLD_IMAGE, NEW_IMAGE = image("old", BASE, OLD), image("new", BASE, NEW, SMALL)
RECORD: Final = RepositoryRecord(
    tags={"latest": TagRecord(moves=(Move(image=NEW_IMAGE.digest, since=datetime(2026, 11, 1, tzinfo=UTC)),))},
    images={found.digest: found for found in (OLD_IMAGE, NEW_IMAGE)},
)


def offer(**more: Any) -> Offer:
    """The delta of the examples, as one of the formats wants it."""
    want = Wanted(
        key=DeltaKey(from_diff_id=OLD.diff_id, to_diff_id=NEW.diff_id),
        repository="app/hello",
        series="latest",
        platform=LINUX,
        source=digest("old manifest"),
        target=digest("new manifest"),
        layer=NEW,
        max_ratio=0.9,
        **more,
    )
    return Offer(want=want, digest=digest("delta"), size=4166)


def shown(raw: bytes, names: Mapping[Digest, str] = MappingProxyType({})) -> str:
    """As the page has it: `sha256:<name>` for each digest that is one of the examples' or of `names`."""
    text = raw.decode()
    known = {digest(name): name for name in set(re.findall("sha256:<([^>]*)>", PAGE))}
    for found, name in (known | dict(names)).items():
        text = text.replace(str(found), f"sha256:<{name}>")
    return text


def compact(example: object) -> str:
    """As it is served; the order of the keys stays."""
    return json.dumps(example, ensure_ascii=False, separators=(",", ":"))


def test_the_delta_index_of_the_page_is_what_is_written() -> None:
    [made] = DeltaIndex().documents(RECORD, [offer()])
    assert isinstance(made.document, Manifest)
    assert shown(made.document.raw) == compact(MANIFEST)
    assert shown(write_index([made.descriptor]), {made.descriptor.digest: "delta manifest"}) == compact(INDEX)


def test_the_artifact_of_the_page_is_what_is_written() -> None:
    [made] = OciDelta().documents(RECORD, [offer(format="oci-delta", most=10**6)])
    assert shown(made.document.raw) == compact(ARTIFACT)
    assert shown(write_index([made.descriptor]), {made.descriptor.digest: "artifact"}) == compact(LISTING)


def test_the_flatpak_index_of_the_page_is_what_is_written() -> None:
    files = flatpak_index(Ledger(repositories={"app/hello": RECORD}), ())
    assert shown(files[FLATPAK_INDEX_KEY]) == compact(FLATPAK)


def test_the_operations_of_the_page_are_the_code_s() -> None:
    rows = re.findall(r"^\| (\d) \| `([A-Z_]+)` \|", PAGE, re.MULTILINE)
    assert {(int(code), name) for code, name in rows} == {(op.value, op.name) for op in Op}


def test_the_bounds_of_the_page_are_the_code_s() -> None:
    assert re.search(r'magic := "(.*)", 8 bytes', PAGE)[1] == MAGIC.decode().replace("\n", r"\n").replace("\0", r"\0")  # type: ignore[index]
    assert f"at most {MAX_PATH:,} bytes, valid UTF-8" in PAGE
    assert f"more than {MAX_ADD_DATA >> 20} MiB" in PAGE
    assert f"{1 << MAX_WINDOW_LOG >> 20} MiB (window log {MAX_WINDOW_LOG})" in PAGE
