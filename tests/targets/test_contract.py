"""The contract of a target, run against every kind of target there is."""

import io
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import pytest

from pipeline.content import BytesContent, Content, FileContent
from pipeline.keys import IMMUTABLE, MUTABLE, OCTET_STREAM, PING, PING_FOLDER_KEY, PING_KEY, Headers, Key
from pipeline.oci.digest import Digest
from pipeline.oci.media_types import OCI_INDEX
from pipeline.targets.base import (
    LOCK_KEY,
    ContentChangedError,
    KeyMissingError,
    LockHeldError,
    LostUpdateError,
    Target,
    TargetError,
    TooLargeError,
    read_bytes,
)
from pipeline.targets.directory import DirectoryTarget
from pipeline.targets.memory import MemoryTarget
from pipeline.targets.objects.lease import Times
from pipeline.targets.s3.options import MIN_PART
from pipeline.targets.s3.target import S3Target

from ..interop import s3_servers
from .memory_store import Place, memory_objects
from .wrappers import FailingTarget, RecordingTarget

NOW = datetime(2025, 6, 1, 2, 30, tzinfo=UTC)
BLOB = Headers(content_type=OCTET_STREAM, cache_control=IMMUTABLE)
TAG = Headers(content_type=OCTET_STREAM, cache_control=MUTABLE)
KEY = Key("v2/team/app/manifests/latest")

Opener = Callable[[], Target]


@pytest.fixture(
    params=[
        "memory",
        "directory",
        "objects",
        "careless objects",
        "recording",
        "failing",
        "moto",
        pytest.param("seaweedfs", marks=pytest.mark.interop),
        pytest.param("juicefs", marks=pytest.mark.interop),
    ]
)
def opener(request: pytest.FixtureRequest, tmp_path: Path, prefix: str) -> Opener:
    """Opens the same storage again and again, as several publishers do."""
    if request.param in s3_servers.ALL:
        storage: s3_servers.Storage = request.getfixturevalue(request.param)
        options = storage.options(multipart_threshold=MIN_PART)
        return lambda: S3Target(storage.bucket, prefix, options, times=Times(pause=0.2))
    memory, place, careless = MemoryTarget(), Place(), Place(enforces_conditions=False)
    openers: dict[str, Opener] = {
        "memory": lambda: MemoryTarget(memory),
        "directory": lambda: DirectoryTarget(tmp_path / "tree"),
        "objects": lambda: memory_objects(place),
        "careless objects": lambda: memory_objects(careless),
        "recording": lambda: RecordingTarget(MemoryTarget(memory)),
        "failing": lambda: FailingTarget(DirectoryTarget(tmp_path / "tree"), fail_at=0),
    }
    return openers[request.param]


@pytest.fixture
def target(opener: Opener) -> Target:
    return opener()


def put(target: Target, key: str, data: bytes, *, headers: Headers = TAG, same_as: str | None = None) -> None:
    source = None if same_as is None else Key(same_as)
    target.put(Key(key), BytesContent(data), headers, digest=Digest.of(data), same_as=source)


def get(target: Target, key: str) -> bytes:
    with target.open(Key(key)) as stream:
        return stream.read()


def size_of(target: Target, key: str) -> int | None:
    stored = target.stat(Key(key))
    return None if stored is None else stored.size


def test_a_missing_key_is_told_apart_from_an_empty_one(target: Target) -> None:
    assert target.stat(KEY) is None
    with pytest.raises(KeyMissingError, match="latest: is not in the target"):
        target.open(KEY)
    target.delete(KEY)
    assert list(target.keys()) == []

    put(target, KEY, b"")

    assert size_of(target, KEY) == 0
    assert get(target, KEY) == b""


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1, 3_000_000, 2 * MIN_PART, 2 * MIN_PART + 1])
def test_the_bytes_that_were_put_come_back(target: Target, size: int) -> None:
    data = bytes(range(251)) * (size // 251 + 1)
    put(target, KEY, data[:size])
    assert get(target, KEY) == data[:size]
    assert size_of(target, KEY) == size


def test_a_window_of_a_file_is_stored_alone(target: Target, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    archive.write_bytes(b"before|member|after")
    target.put(KEY, FileContent(path=archive, offset=7, size=6), TAG, digest=Digest.of(b"member"))
    assert get(target, KEY) == b"member"


def test_a_sha512_digest_is_verified_too(target: Target) -> None:
    digest = Digest.parse("sha512:" + "0" * 128)
    with pytest.raises(ContentChangedError, match="sha512:000"):
        target.put(KEY, BytesContent(b"x"), TAG, digest=digest)


def test_a_put_replaces_and_a_second_equal_one_changes_nothing(opener: Opener) -> None:
    put(opener(), KEY, b"old")
    for _ in range(2):
        put(opener(), KEY, b"new")
        assert get(opener(), KEY) == b"new"
    assert list(opener().keys()) == [KEY]


def test_a_reader_keeps_the_bytes_that_it_began_with(target: Target) -> None:
    old, new = b"a" * 3_000_000, b"b" * 3_000_000
    put(target, KEY, old)
    with target.open(KEY) as stream:
        first = stream.read(10)
        put(target, KEY, new)
        assert first + stream.read() == old
    assert get(target, KEY) == new


@dataclass(frozen=True)
class _Promising:
    """A source whose size is not what it gives."""

    source: Content
    size: int

    def open(self) -> BinaryIO:
        return self.source.open()


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (BytesContent(b"goo"), "has 3 bytes instead of the promised 4"),
        (BytesContent(b"good+"), "has more than the promised 4 bytes"),
        (BytesContent(b"evil"), "does not have the digest"),
        (None, "cannot be read"),
    ],
    ids=["short", "long", "other", "unreadable"],
)
@pytest.mark.parametrize("before", [None, b"left alone"], ids=["new", "replacing"])
def test_content_that_is_not_the_promised_one_changes_nothing(
    target: Target, tmp_path: Path, content: BytesContent | None, fault: str, before: bytes | None
) -> None:
    if before is not None:
        put(target, KEY, before)
    offered = _Promising(content or FileContent(path=tmp_path / "gone", size=4), size=4)
    with pytest.raises(ContentChangedError, match=fault):
        target.put(KEY, offered, TAG, digest=Digest.of(b"good"))
    assert list(target.keys()) == ([] if before is None else [KEY])
    if before is not None:
        assert get(target, KEY) == before


def test_delete_takes_one_key_and_may_be_repeated(target: Target) -> None:
    put(target, "v2/a/blobs/one", b"1")
    put(target, "v2/a/blobs/two", b"2")
    for _ in range(2):
        target.delete(Key("v2/a/blobs/one"))
        assert list(target.keys()) == ["v2/a/blobs/two"]
    assert get(target, "v2/a/blobs/two") == b"2"
    target.delete(Key("v2/a/blobs/two"))
    assert list(target.keys()) == []
    put(target, "v2/a/blobs/one", b"1 again")
    assert get(target, "v2/a/blobs/one") == b"1 again"


def test_the_beginning_of_a_key_is_no_key(target: Target) -> None:
    put(target, "v2/a/blobs/one", b"1")
    for prefix in ("v2", "v2/a", "v2/a/blobs"):
        assert target.stat(Key(prefix)) is None
        with pytest.raises(KeyMissingError):
            target.open(Key(prefix))
        target.delete(Key(prefix))
    assert list(target.keys()) == ["v2/a/blobs/one"]


def test_what_lies_below_a_key_is_missing(target: Target) -> None:
    put(target, "v2/a", b"1")
    below = Key("v2/a/b/c")
    assert target.stat(below) is None
    with pytest.raises(KeyMissingError):
        target.open(below)
    target.delete(below)
    assert get(target, "v2/a") == b"1"


def test_keys_come_in_the_order_of_their_code_points(target: Target) -> None:
    names = ["v2/a-b/c", "v2/a.b/c", "v2/a/b", "v2/a/b-", "v2/a0", "v2/a/.htaccess", "index.html", "v2/ä", "v2/Z"]
    for name in names:
        put(target, name, name.encode())
    assert list(target.keys()) == sorted(names)


@pytest.mark.parametrize("headers", [BLOB, TAG], ids=["immutable", "mutable"])
@pytest.mark.parametrize("before", [None, b"old bytes!", b"same size!"], ids=["new", "replacing", "present"])
def test_same_as_spares_the_transfer_and_never_the_truth(
    target: Target, headers: Headers, before: bytes | None
) -> None:
    put(target, "v2/a/blobs/good", b"same size!", headers=BLOB)
    put(target, "v2/a/blobs/damaged", b"SAME SIZE!", headers=BLOB)
    for source in ("v2/a/blobs/good", "v2/a/blobs/damaged", "v2/a/blobs/missing", "v2/a", "v2/b/blobs/own"):
        if before is not None:
            put(target, "v2/b/blobs/own", before, headers=headers)
        put(target, "v2/b/blobs/own", b"same size!", headers=headers, same_as=source)
        assert get(target, "v2/b/blobs/own") == b"same size!"
        target.delete(Key("v2/b/blobs/own"))
    assert get(target, "v2/a/blobs/good") == b"same size!"
    assert get(target, "v2/a/blobs/damaged") == b"SAME SIZE!"


def test_what_was_put_same_as_another_lives_on_its_own(target: Target) -> None:
    put(target, "v2/a/blobs/x", b"shared", headers=BLOB)
    put(target, "v2/b/blobs/x", b"shared", headers=BLOB, same_as="v2/a/blobs/x")
    put(target, "v2/a/blobs/x", b"another", headers=BLOB)
    assert get(target, "v2/b/blobs/x") == b"shared"
    target.delete(Key("v2/a/blobs/x"))
    assert get(target, "v2/b/blobs/x") == b"shared"


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/etc/passwd",
        "..",
        "v2/../../outside",
        "v2/./a",
        "v2//a",
        "v2/a\0b",
        "v2/a\nb",
        "v2/\udc80",
        "v2/" + "x/" * 511 + "x",
        "v2/.deltapress-0123456789abcdef.tmp",
        LOCK_KEY,
    ],
    ids=lambda key: repr(key[:40]),
)
def test_a_text_that_could_leave_the_tree_is_no_key(target: Target, key: str) -> None:
    put(target, KEY, b"data")
    if key == PING_FOLDER_KEY and target.properties.stores_headers:
        pytest.skip("a store without folders answers /v2/ with a key of this name")
    attempts: list[Callable[[], object]] = [
        lambda: put(target, key, b"data"),
        lambda: put(target, "v2/link", b"data", headers=BLOB, same_as=key),
        lambda: target.open(Key(key)),
        lambda: target.stat(Key(key)),
        lambda: target.delete(Key(key)),
    ]
    for attempt in attempts:
        with pytest.raises(TargetError, match="cannot be a key"):
            attempt()
    assert list(target.keys()) == [KEY]


def test_a_store_without_folders_answers_v2_itself(target: Target, prefix: str) -> None:
    if not target.properties.stores_headers:
        with pytest.raises(TargetError, match="cannot be a key"):
            put(target, PING_FOLDER_KEY, b"")
        return
    put(target, PING_KEY, b"{}")
    for _ in range(2):
        put(target, PING_FOLDER_KEY, b"")
        assert get(target, PING_FOLDER_KEY) == b""
        assert size_of(target, PING_FOLDER_KEY) == 0
    assert list(target.keys()) == [PING_FOLDER_KEY, PING_KEY]
    target.delete(PING_FOLDER_KEY)
    assert get(target, PING_KEY) == b"{}"


def test_the_lock_is_for_one_and_says_whose_it_is(opener: Opener) -> None:
    with opener().lock(now=NOW, wait=0):
        with pytest.raises(LockHeldError, match=r"held by process \d+ on .* since 2025-06-01T02:30:00") as caught:
            opener().lock(now=NOW, wait=0.2).__enter__()
        assert caught.value.holder is not None
        assert caught.value.holder.since == NOW
        assert list(opener().keys()) == []
    with opener().lock(now=NOW, wait=0):
        put(opener(), KEY, b"mine now")
    assert list(opener().keys()) == [KEY]


@pytest.mark.parametrize("error", [ValueError("mine"), OSError(28, "mine too"), KeyboardInterrupt()], ids=repr)
def test_an_error_of_the_holder_passes_unchanged_and_frees_the_lock(opener: Opener, error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, opener().lock(now=NOW, wait=0):
        raise error
    assert caught.value is error
    with opener().lock(now=NOW, wait=0):
        pass


def test_who_waits_gets_the_lock_when_it_is_free(opener: Opener) -> None:
    order: list[str] = []
    started = threading.Event()

    def wait() -> None:
        started.set()
        with opener().lock(now=NOW, wait=60):
            order.append("second")

    with ThreadPoolExecutor(1) as pool:
        with opener().lock(now=NOW, wait=0):
            waiting = pool.submit(wait)
            assert started.wait(60)
            order.append("first")
        waiting.result(60)
    assert order == ["first", "second"]


@pytest.mark.parametrize("seen", ["missing", "read", "written"])
@pytest.mark.parametrize("theirs", [b"new", b"another size", None], ids=["as long", "longer", "deleted"])
def test_what_a_rival_wrote_is_not_overwritten(opener: Opener, seen: str, theirs: bytes | None) -> None:
    """Two who both believe that they hold the lock."""
    ours, rival = opener(), opener()
    if seen == "missing":
        with pytest.raises(KeyMissingError):
            ours.open(KEY)
        put(rival, KEY, b"for a moment")
    else:
        put(opener(), KEY, b"old")
        assert get(ours, KEY) == b"old"
        if seen == "written":
            put(ours, KEY, b"our")
    if theirs is not None:
        put(rival, KEY, theirs)
    elif seen == "missing":
        theirs = b"for a moment"
    else:
        rival.delete(KEY)

    with pytest.raises(LostUpdateError, match="was changed by a process that left no name during this run"):
        put(ours, KEY, b"and")

    assert list(rival.keys()) == ([] if theirs is None else [KEY])
    assert theirs is None or get(rival, KEY) == theirs
    with ours.lock(now=NOW, wait=0):
        put(ours, KEY, b"and")
        put(ours, KEY, b"and more")
    assert get(opener(), KEY) == b"and more"


def test_a_rival_who_wrote_the_same_did_no_harm(opener: Opener) -> None:
    ours, rival = opener(), opener()
    put(ours, KEY, b"old")
    assert get(ours, KEY) == b"old"
    put(rival, KEY, b"new")
    put(ours, KEY, b"new")
    put(ours, KEY, b"newer")
    assert get(rival, KEY) == b"newer"


@pytest.mark.parametrize("before", [None, MUTABLE, IMMUTABLE], ids=["new", "over mutable", "over immutable"])
@pytest.mark.parametrize(
    "headers",
    [
        Headers(content_type=OCI_INDEX, cache_control=MUTABLE, digest=Digest.of(b"data")),
        Headers(content_type=OCTET_STREAM, cache_control=IMMUTABLE, digest=Digest.of(b"data")),
        Headers(content_type="application/json", cache_control=PING),
    ],
    ids=["tag", "blob", "ping"],
)
def test_a_target_says_how_it_would_serve_a_key(target: Target, headers: Headers, before: str | None) -> None:
    if before is not None:
        put(target, KEY, b"data", headers=Headers(content_type="text/plain", cache_control=before))
    put(target, KEY, b"data", headers=headers)
    stored = target.stat(KEY)
    assert stored is not None
    assert (stored.size, stored.problem) == (4, None)
    assert stored.headers == (headers if target.properties.stores_headers else None)


def test_threads_may_put_and_delete_neighbours_at_once(target: Target) -> None:
    def work(worker: int) -> None:
        for step in range(20):
            key = f"v2/a/blobs/{worker}"
            put(target, key, bytes([worker]) * step)
            if step < 19:
                target.delete(Key(key))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert {key: get(target, key) for key in target.keys()} == {  # noqa: SIM118  # a target is no dict
        f"v2/a/blobs/{worker}": bytes([worker]) * 19 for worker in range(4)
    }


class _Greedy(MemoryTarget):
    """Sets aside all that it is asked for, as a buffered file does."""

    def open(self, key: Key) -> BinaryIO:
        class Stream(io.BytesIO):
            def read(self, size: int | None = -1, /) -> bytes:
                assert size is not None
                assert 0 < size <= 1 << 20
                return super().read(size)

        return Stream(self.contents[key])


@pytest.mark.parametrize("size", [0, 10, 1 << 20, (3 << 20) + 1])
def test_a_document_is_read_in_pieces_however_large_it_may_be(size: int) -> None:
    target = _Greedy()
    put(target, KEY, bytes(size))
    assert read_bytes(target, KEY, limit=1 << 40) == bytes(size)
    assert read_bytes(target, KEY, limit=max(size, 1)) == bytes(size)
    if size:
        with pytest.raises(TooLargeError):
            read_bytes(target, KEY, limit=size - 1)


def test_a_document_of_more_than_the_limit_is_not_read(target: Target) -> None:
    put(target, KEY, b"x" * 11)
    assert read_bytes(target, KEY, limit=11) == b"x" * 11
    with pytest.raises(TargetError, match="has more than 10 bytes"):
        read_bytes(target, KEY, limit=10)
