"""The `_deltaindex` format: what it writes it reads, and what is wrong is said with its place."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pipeline.deltas.formats import Offer, is_delta_document
from pipeline.deltas.formats.contract import ListedDelta
from pipeline.deltas.formats.delta_index import DeltaIndex
from pipeline.deltas.plan import Wanted
from pipeline.history.records.deltas import DeltaKey
from pipeline.history.records.images import LayerRecord
from pipeline.history.records.repositories import RepositoryRecord
from pipeline.oci.descriptor import Platform
from pipeline.oci.digest import DiffID, Digest
from pipeline.oci.manifest import Index, Manifest, parse_document, successors
from pipeline.oci.writing import write_index

FORMAT = DeltaIndex()
TARGET = "io.github.containers.delta.target"
FROM = "io.github.containers.delta.from"


def offer(target: str, old: str, new: str, size: int = 100) -> Offer:
    layer = LayerRecord(diff_id=DiffID.of(new.encode()), digest=Digest.of(new.encode()), size=1000, media_type="tar")
    want = Wanted(
        key=DeltaKey(from_diff_id=DiffID.of(old.encode()), to_diff_id=layer.diff_id),
        repository="app",
        series="latest",
        platform=Platform(os="linux", architecture=target),
        source=Digest.of(b"source"),
        target=Digest.of(target.encode()),
        layer=layer,
        max_ratio=0.9,
    )
    return Offer(want=want, digest=Digest.of(f"{old} {new}".encode()), size=size)


def documents(*offers: Offer) -> list[Manifest]:
    made = [entry.document for entry in FORMAT.documents(RepositoryRecord(), offers)]
    assert all(isinstance(document, Manifest) for document in made)
    return [document for document in made if isinstance(document, Manifest)]


def listing_of(*offers: Offer) -> Index:
    made = FORMAT.documents(RepositoryRecord(), offers)
    document = parse_document(write_index(entry.descriptor for entry in made))
    assert isinstance(document, Index)
    return document


def test_what_is_written_is_read() -> None:
    offers = [offer("amd64", "1", "3"), offer("amd64", "2", "3"), offer("arm64", "1", "4")]
    listing = FORMAT.parse_listing(listing_of(*offers))
    assert listing.problems == ()
    assert {entry.target for entry in listing.documents} == {Digest.of(b"amd64"), Digest.of(b"arm64")}
    found: dict[DeltaKey, ListedDelta] = {}
    for entry, document in zip(listing.documents, documents(*offers), strict=True):
        assert is_delta_document(document)
        assert entry.descriptor.digest == document.digest
        parsed = FORMAT.parse(document, {})
        assert (parsed.target, parsed.problems) == (entry.target, ())
        found |= {delta.key: delta for delta in parsed.deltas}
        assert {delta.blob.digest for delta in parsed.deltas} < {blob.digest for blob in successors(document).blobs}
    assert {(key, delta.blob.digest, delta.blob.size) for key, delta in found.items()} == {
        (offer.want.key, offer.digest, offer.size) for offer in offers
    }


def test_without_offers_there_is_no_document() -> None:
    assert documents() == []
    assert FORMAT.parse_listing(listing_of()).documents == ()


def test_the_order_of_the_offers_does_not_matter() -> None:
    offers = [offer("amd64", "1", "3"), offer("arm64", "1", "4"), offer("amd64", "2", "3")]
    assert documents(*offers) == documents(*offers[::-1])


def test_the_layers_below_do_not_show() -> None:
    """Clients look for the last layer alone, whatever the delta was made from."""
    plain = offer("amd64", "1", "3")
    below = replace(plain, want=replace(plain.want, key=replace(plain.want.key, below=(DiffID.of(b"base"),))))
    assert documents(plain) == documents(below) == documents(plain, below)


@pytest.mark.parametrize(
    ("spoil", "problem", "left"),
    [
        (lambda m: m["layers"][1]["annotations"].pop(FROM), "layers[1].annotations: '' is not a digest", 1),
        (lambda m: m["layers"][0]["annotations"].update({FROM: "sha256:1"}), "layers[0].annotations: 'sha256:1' is", 1),
        (lambda m: m["layers"].append(m["layers"][0]), "layers[2] is of another type, or a second delta for one", 3),
        (lambda m: m["layers"][1].update(mediaType="text/plain"), "layers[1] is of another type", 2),
        (lambda m: m["annotations"].pop(TARGET), f"annotations.{TARGET}: '' is not a digest", 2),
    ],
)
def test_a_broken_document(spoil: Callable[[Any], None], problem: str, left: int) -> None:
    [whole] = documents(offer("amd64", "1", "3"), offer("amd64", "2", "3"))
    value = json.loads(whole.raw)
    spoil(value)
    document = parse_document(json.dumps(value).encode())
    assert isinstance(document, Manifest)
    assert FORMAT.owns(document)
    parsed = FORMAT.parse(document, {})
    assert [found[: len(problem)] for found in parsed.problems] == [problem]
    assert len(parsed.deltas) == left


@pytest.mark.parametrize(
    ("spoil", "problem", "left"),
    [
        (lambda i: i["manifests"][1].pop("annotations"), f"manifests[1].annotations.{TARGET}: '' is not a digest", 1),
        (lambda i: i["manifests"].append(i["manifests"][0]), "lists sha256:", 3),
    ],
)
def test_a_broken_listing(spoil: Callable[[Any], None], problem: str, left: int) -> None:
    value = json.loads(listing_of(offer("amd64", "1", "3"), offer("arm64", "1", "3")).raw)
    spoil(value)
    listing = parse_document(json.dumps(value).encode())
    assert isinstance(listing, Index)
    parsed = FORMAT.parse_listing(listing)
    assert [found[: len(problem)] for found in parsed.problems] == [problem]
    assert len(parsed.documents) == left


def test_an_image_is_no_delta_document() -> None:
    [whole] = documents(offer("amd64", "1", "3"))
    value = json.loads(whole.raw)
    value["config"]["mediaType"] = "application/vnd.oci.image.config.v1+json"
    assert not is_delta_document(parse_document(json.dumps(value).encode()))
    assert not is_delta_document(listing_of())
