"""Layers from several places: a bad copy is passed over, and nothing is concluded from it."""

import gzip
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.compression import CompressionError
from pipeline.deltas.layers import LayerChangedError, LayerLostError, LayerSource, LayerTooLargeError
from pipeline.history.records.images import LayerRecord
from pipeline.history.resolver import ContentResolver, LayerLocator, Place, Store
from pipeline.keys import blob_key
from pipeline.limits import Limits
from pipeline.oci.digest import DiffID, Digest
from pipeline.tardiff.layer.regions import array_of
from pipeline.tardiff.layer.tar import TarError
from pipeline.targets.memory import MemoryTarget

from ..layouts.builder import compressed, tar_of
from ..runs import app, other
from ..targets.wrappers import FailingTarget

_FIRST, _SECOND = (Place(store=Store.TARGET, repository=name) for name in ("first", "second"))
_JUNK = random.Random(3).randbytes(9000)


def _layer(tar: bytes, compression: str = "gzip") -> tuple[LayerRecord, bytes]:
    blob = compressed(tar, compression)
    return LayerRecord(diff_id=DiffID.of(tar), digest=Digest.of(blob), size=len(blob), media_type=""), blob


def _stored(layer: LayerRecord, **blobs: bytes) -> MemoryTarget:
    target = MemoryTarget()
    for repository, blob in blobs.items():
        target.contents[blob_key(repository, layer.digest)] = blob
    return target


def _source(target: MemoryTarget | FailingTarget, limits: Limits | None = None) -> LayerSource:
    return LayerSource(resolver=ContentResolver(target=target), limits=limits or Limits(layer=1 << 20))


def _locator(layer: LayerRecord) -> LayerLocator:
    return LayerLocator(layer=layer, places=(_FIRST, _SECOND))


BAD: dict[str, Callable[[bytes], bytes]] = {
    "junk of another size": lambda blob: b"junk",
    "junk of the same size": lambda blob: _JUNK[: len(blob)],
    "text": lambda blob: b"#" * 300,
    "nothing": lambda blob: b"",
    "its first half": lambda blob: blob[: len(blob) // 2],
    "one byte less": lambda blob: blob[:-1],
    "a byte more": lambda blob: blob + b"\0",
    "another layer": lambda blob: compressed(other(5), "gzip"),
    "another compression of the same tar": lambda blob: gzip.compress(gzip.decompress(blob), 1, mtime=1),
    "a flipped bit": lambda blob: blob[:2000] + bytes([blob[2000] ^ 1]) + blob[2001:],
    "a bomb": lambda blob: compressed(bytes(2 << 20), "gzip"),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_bad_copy_is_passed_over(tmp_path: Path, bad: Callable[[bytes], bytes]) -> None:
    layer, blob = _layer(app(1))
    source = _source(_stored(layer, first=bad(blob), second=blob))
    tree = source.extract([_locator(layer)], tmp_path / "tree")
    [found] = tree.sources
    assert array_of(tree.content(found)).tobytes() == app(1)[512 : 512 + 4000]
    source.unpack(_locator(layer), tmp_path / "tar")
    assert (tmp_path / "tar").read_bytes() == app(1)
    assert source.size(_locator(layer)) == len(app(1))


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_where_no_copy_is_good_each_is_named(tmp_path: Path, bad: Callable[[bytes], bytes]) -> None:
    layer, blob = _layer(app(1))
    with pytest.raises(LayerLostError) as caught:
        _source(_stored(layer, first=bad(blob))).extract([_locator(layer)], tmp_path / "tree")
    assert str(layer.digest) in str(caught.value)
    assert "repository first: it is damaged" in str(caught.value)
    assert "repository second: is not in the target" in str(caught.value)
    assert "publish --repair" in str(caught.value)


def test_of_several_layers_each_has_its_own_copies(tmp_path: Path) -> None:
    lower, lower_blob = _layer(other(1))
    upper, upper_blob = _layer(app(1), "zstd")
    target = _stored(lower, first=b"junk", second=lower_blob)
    target.contents |= _stored(upper, first=upper_blob[:-9], second=upper_blob).contents
    tree = _source(target).extract([_locator(lower), _locator(upper)], tmp_path / "tree")
    assert [source.path for source in tree.sources] == [b"bin/app", b"lib/other"]


def test_a_target_that_fails_while_it_is_read_has_a_bad_copy(tmp_path: Path) -> None:
    layer, blob = _layer(app(1))
    target = FailingTarget(_stored(layer, first=blob, second=blob), fail_at=1, mode="before")
    _source(target).unpack(_locator(layer), tmp_path / "tar")
    assert target.failed is not None
    assert (tmp_path / "tar").read_bytes() == app(1)


def test_what_right_bytes_show_is_concluded(tmp_path: Path) -> None:
    no_tar, blob = _layer(b"this is no tar at all" * 99)
    with pytest.raises(TarError):
        _source(_stored(no_tar, first=b"junk", second=blob)).extract([_locator(no_tar)], tmp_path / "tree")
    large, blob = _layer(bytes(3000))
    with pytest.raises(LayerTooLargeError, match="2,000 bytes"):
        _source(_stored(large, first=blob), Limits(layer=2000)).size(_locator(large))
    lied = replace(large, diff_id=DiffID.of(b"something else"))
    with pytest.raises(LayerChangedError, match="decompresses to"):
        _source(_stored(lied, first=blob)).size(_locator(lied))
    cut = compressed(app(1), "gzip")[:-9]
    broken = LayerRecord(diff_id=DiffID.of(app(1)), digest=Digest.of(cut), size=len(cut), media_type="")
    with pytest.raises(CompressionError, match="truncated"):
        _source(_stored(broken, first=cut)).size(_locator(broken))


def test_a_full_disk_is_no_bad_copy(tmp_path: Path) -> None:
    layer, blob = _layer(tar_of({"a": b"1"}))
    with pytest.raises(OSError, match="No space left"):
        _source(_stored(layer, first=blob, second=blob)).unpack(_locator(layer), Path("/dev/full"))
