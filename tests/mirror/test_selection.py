"""What of a source is chosen, and what of it belongs together, from values alone."""

import json
from typing import Any

import pytest

from pipeline.history.records.images import ImageRecord
from pipeline.mirror.mirrored import Found, whole_of
from pipeline.mirror.selection import Selection, parse_platform
from pipeline.oci.manifest import Index, parse_document

from ..history.test_versions import digest, image
from ..layouts.builder import OCI


def entry(letter: str, platform: str | None, **annotations: str) -> dict[str, Any]:
    found: dict[str, Any] = {"mediaType": f"{OCI}.manifest.v1+json", "digest": str(digest(letter)), "size": 2}
    if platform is not None:
        found["platform"] = dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))
    return found | {"annotations": annotations}


def index(*entries: dict[str, Any]) -> Index:
    raw = json.dumps({"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": entries}).encode()
    found = parse_document(raw)
    assert isinstance(found, Index)
    return found


def hidden(found: Index, *platforms: str) -> str:
    gone = Selection(platforms=tuple(map(parse_platform, platforms))).hidden(found)
    return "".join(letter for letter in "ABCDEFGH" if digest(letter) in gone)


def test_an_index_shows_the_platforms_that_were_chosen_and_their_attestations() -> None:
    of = "vnd.docker.reference.digest"
    found = index(
        entry("A", "linux/amd64"),
        entry("B", "linux/arm64/v8"),
        entry("C", "linux/arm/v7"),
        entry("D", None),
        entry("E", "unknown/unknown", **{of: str(digest("A"))}),
        entry("F", "unknown/unknown", **{of: str(digest("B"))}),
    )
    assert hidden(found) == ""
    assert hidden(found, "linux/arm64") == "ACE"
    assert hidden(found, "linux/arm64/v8") == "ACE"
    assert hidden(found, "linux/arm/v6") == "ABCEF"
    assert hidden(found, "linux/x86_64", "linux/arm") == "BF"
    assert hidden(found, "windows/amd64") == "ABCEF"


def test_one_manifest_for_several_platforms_is_shown_for_each() -> None:
    assert hidden(index(entry("A", "linux/amd64"), entry("A", "linux/arm64")), "linux/arm64") == ""


@pytest.mark.parametrize(
    ("globs", "names"), [(("app",), ("app",)), (("app", "team/*"), None), (("a?p",), None), (("[ab]",), None)]
)
def test_repositories_that_are_named_need_no_list(globs: tuple[str, ...], names: tuple[str, ...] | None) -> None:
    assert Selection(repositories=globs).names == names


def attached(letter: str, to: str) -> ImageRecord:
    known = image(letter)
    return ImageRecord(
        documents=known.documents,
        blobs=known.blobs,
        platforms=(),
        subjects={digest(letter): digest(to)},
    )


def found(**more: Any) -> Found:
    """An image A, a signature B of it, and a signature C of that; D is attached to what is nowhere."""
    images = {
        digest("A"): image("A"),
        digest("B"): attached("B", "A"),
        digest("C"): attached("C", "B"),
        digest("D"): attached("D", "H"),
    }
    listed = {digest("B"): {digest("A")}, digest("C"): {digest("B"), digest("A")}, digest("D"): {digest("A")}}
    return Found(**{"tags": {"1": digest("A")}, "images": images, "listed": listed, **more})


def test_what_is_attached_goes_with_what_it_is_attached_to() -> None:
    whole = whole_of(found())
    assert set(whole.images) == set(map(digest, "ABC"))
    assert whole.images[digest("C")].listed_for == {digest("A")}, "where it was found, beside its subject"
    assert whole.images[digest("B")].listed_for == frozenset()
    spoiled = {image("B").blobs[0].digest}
    assert set(whole_of(found(), spoiled).images) == {digest("A")}
    gone = whole_of(found(), {image("A").blobs[0].digest})
    assert (gone.images, gone.tags, gone.broken) == ({}, {}, {"1"})


def test_a_tag_holds_what_is_attached_to_nothing() -> None:
    whole = whole_of(found(tags={"1": digest("A"), "lone": digest("D")}))
    assert digest("D") in whole.images
    assert set(whole.tags) == {"1", "lone"}


def test_cosigns_tag_of_what_is_not_mirrored_goes() -> None:
    ours, other = (f"sha256-{digest(letter).hex}.sig" for letter in "AH")
    tags = {"1": digest("A"), ours: digest("D"), other: digest("D")}
    assert set(whole_of(found(tags=tags)).tags) == {"1", ours}
