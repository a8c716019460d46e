"""The wrappers that other tests rely on."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.content import BytesContent, chunks
from pipeline.keys import MUTABLE, OCTET_STREAM, Headers, Key
from pipeline.oci.digest import Digest
from pipeline.targets.base import Target, TargetError, read_bytes
from pipeline.targets.directory import DirectoryTarget
from pipeline.targets.memory import MemoryTarget

from .wrappers import FAILURE_MODES, Call, FailingTarget, FailureMode, InjectedError, RecordingTarget

HEADERS = Headers(content_type=OCTET_STREAM, cache_control=MUTABLE)
A, B = Key("a"), Key("b")


def put(target: Target, key: Key, data: bytes) -> None:
    target.put(key, BytesContent(data), HEADERS, digest=Digest.of(data))


@pytest.fixture(params=[MemoryTarget, DirectoryTarget])
def inner(request: pytest.FixtureRequest, tmp_path: Path) -> Target:
    target: Target = MemoryTarget() if request.param is MemoryTarget else DirectoryTarget(tmp_path)
    put(target, A, b"before")
    return target


def test_the_recorder_remembers_every_call(inner: Target) -> None:
    target = RecordingTarget(inner)
    put(target, B, b"123")
    target.stat(B)
    target.open(B).close()
    list(target.keys())
    target.delete(B)
    assert target.calls == [
        Call(method="put", key=B, size=3),
        Call(method="stat", key=B),
        Call(method="open", key=B),
        Call(method="keys", key=None),
        Call(method="delete", key=B),
    ]
    assert target.counts == {"put": 1, "stat": 1, "open": 1, "keys": 1, "delete": 1}


@pytest.mark.parametrize(("mode", "kept"), [("before", b"before"), ("after", b"after!"), ("torn", b"before")])
def test_a_failing_put_has_its_effect_or_none(inner: Target, mode: FailureMode, kept: bytes) -> None:
    target = FailingTarget(inner, fail_at=1, mode=mode)
    with pytest.raises(InjectedError, match="a: the put was made to fail"):
        put(target, A, b"after!")
    assert target.failed is not None
    assert read_bytes(inner, A, limit=10) == kept
    assert list(inner.keys()) == [A]


@pytest.mark.parametrize(("mode", "keys"), [("before", [A]), ("after", []), ("torn", [A])])
def test_a_failing_delete_has_its_effect_or_none(inner: Target, mode: FailureMode, keys: list[Key]) -> None:
    with pytest.raises(InjectedError):
        FailingTarget(inner, fail_at=1, mode=mode).delete(A)
    assert list(inner.keys()) == keys


def test_a_torn_stream_gives_half_and_then_the_error(inner: Target) -> None:
    with FailingTarget(inner, fail_at=1, mode="torn").open(A) as stream:
        assert stream.read(3) == b"bef"
        with pytest.raises(InjectedError):
            stream.read(1)
    with FailingTarget(inner, fail_at=1, mode="torn").open(A) as stream, pytest.raises(InjectedError):
        list(chunks(stream))


@pytest.mark.parametrize(("mode", "seen"), [("before", []), ("torn", [A]), ("after", [A, B])])
def test_a_failing_listing_ends_with_the_error(inner: Target, mode: FailureMode, seen: list[Key]) -> None:
    put(inner, B, b"")
    keys = FailingTarget(inner, fail_at=1, mode=mode).keys()
    assert [next(keys) for _ in seen] == seen
    with pytest.raises(InjectedError):
        next(keys)


_READS: list[Callable[[Target], object]] = [
    lambda target: target.open(A),
    lambda target: target.stat(A),
]


@pytest.mark.parametrize("mode", ["before", "after"])
@pytest.mark.parametrize("read", _READS, ids=["open", "stat"])
def test_a_failing_read_raises(inner: Target, read: Callable[[Target], object], mode: FailureMode) -> None:
    with pytest.raises(TargetError, match="made to fail"):
        read(FailingTarget(inner, fail_at=1, mode=mode))


@pytest.mark.parametrize("mode", FAILURE_MODES)
@pytest.mark.parametrize("stays_down", [False, True])
def test_only_the_chosen_call_fails_or_all_from_it_on(inner: Target, mode: FailureMode, stays_down: bool) -> None:
    target = FailingTarget(inner, fail_at=2, mode=mode, stays_down=stays_down)
    put(target, B, b"works")
    assert target.failed is None
    with pytest.raises(InjectedError):
        put(target, B, b"fails")
    if stays_down:
        with pytest.raises(InjectedError):
            target.stat(B)
    else:
        assert target.stat(B) is not None
