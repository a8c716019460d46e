"""What only a bucket promises: headers kept with the objects, large blobs in parts, copies, conditional writes."""

import io
import threading
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest

from pipeline.content import BytesContent
from pipeline.keys import IMMUTABLE, MUTABLE, OCTET_STREAM, Headers, Key
from pipeline.limits import Limits
from pipeline.oci.digest import Digest
from pipeline.oci.media_types import OCI_INDEX
from pipeline.progress import Silent
from pipeline.targets.base import ContentChangedError, KeyMissingError, LostUpdateError, Stored, TargetError, read_bytes
from pipeline.targets.objects.conditions import ANSWER_KEY, Conditions
from pipeline.targets.objects.lease import Times
from pipeline.targets.s3.options import MIN_PART
from pipeline.targets.s3.target import S3Target
from pipeline.verify import verify

from ..interop.s3_servers import Storage
from ..runs import Shop, app
from .faulty_proxy import faulty_proxy
from .test_contract import NOW, put

BLOB = Headers(content_type=OCTET_STREAM, cache_control=IMMUTABLE)
TAG_KEY = Key("v2/team/app/manifests/latest")
BIG = bytes(range(256)) * (2 * MIN_PART // 256) + b"a third part"

Opener = Callable[..., S3Target]


@pytest.fixture(params=["moto", pytest.param("seaweedfs", marks=pytest.mark.interop)])
def storage(request: pytest.FixtureRequest) -> Storage:
    storage: Storage = request.getfixturevalue(request.param)
    return storage


@pytest.fixture
def opener(storage: Storage, prefix: str) -> Opener:
    """Opens the same place again and again, with the options that are named."""

    def open_target(max_copy: int = 5 << 30, **options: Any) -> S3Target:
        chosen = storage.options(multipart_threshold=MIN_PART, **options)
        return S3Target(storage.bucket, prefix, chosen, times=Times(pause=0.2), max_copy=max_copy)

    return open_target


@dataclass(frozen=True)
class Unreadable:
    """Content that must not be needed."""

    size: int

    def open(self) -> BinaryIO:
        raise AssertionError("it was read")


@dataclass(frozen=True)
class Zeros:
    """Content that needs no memory."""

    size: int

    def open(self) -> BinaryIO:
        return cast(BinaryIO, io.BufferedReader(_ZeroStream(self.size)))


class _ZeroStream(io.RawIOBase):
    def __init__(self, size: int) -> None:
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # Buffer needs Python 3.12
        count = min(len(buffer), self._left)
        buffer[:count] = bytes(count)
        self._left -= count
        return count


def head(storage: Storage, prefix: str, key: str) -> dict[str, Any]:
    answer: dict[str, Any] = storage.client().head_object(Bucket=storage.bucket, Key=prefix + key)
    return answer


def uploads(storage: Storage, prefix: str) -> list[Any]:
    answer = storage.client().list_multipart_uploads(Bucket=storage.bucket, Prefix=prefix)
    return list(answer.get("Uploads", []))


@pytest.mark.parametrize("data", [b"{}", BIG], ids=["small", "in-parts"])
def test_an_object_carries_what_clients_need(opener: Opener, storage: Storage, prefix: str, data: bytes) -> None:
    headers = Headers(content_type=OCI_INDEX, cache_control=MUTABLE, digest=Digest.of(data))
    opener().put(TAG_KEY, BytesContent(data), headers, digest=Digest.of(data))
    stored = head(storage, prefix, TAG_KEY)
    assert stored["ContentType"] == OCI_INDEX
    assert stored["CacheControl"] == "no-cache, no-transform"
    assert stored["Metadata"]["docker-content-digest"] == str(Digest.of(data))
    assert not stored.get("ContentEncoding")


def test_a_digest_that_clients_must_not_see_is_not_shown(opener: Opener, storage: Storage, prefix: str) -> None:
    put(opener(), TAG_KEY, b"[]")
    assert "docker-content-digest" not in head(storage, prefix, TAG_KEY)["Metadata"]


def test_the_options_reach_every_object(opener: Opener, storage: Storage, prefix: str) -> None:
    target = opener(storage_class="REDUCED_REDUNDANCY", cache_control="s-maxage=60")
    put(target, "a", b"small")
    put(target, "b", BIG, headers=BLOB)
    put(target, "c", b"small", same_as="a")
    assert [head(storage, prefix, key)["StorageClass"] for key in "abc"] == ["REDUCED_REDUNDANCY"] * 3
    assert head(storage, prefix, "a")["CacheControl"] == "no-cache, no-transform, s-maxage=60"
    assert head(storage, prefix, "b")["CacheControl"] == f"{IMMUTABLE}, s-maxage=60"


@pytest.mark.parametrize("size", [2 * MIN_PART, 2 * MIN_PART + 1])
def test_parts_of_what_is_not_the_promised_content_are_given_up(
    opener: Opener, storage: Storage, prefix: str, size: int
) -> None:
    with pytest.raises(ContentChangedError, match="does not have the digest"):
        opener().put(Key("a"), Zeros(size), BLOB, digest=Digest.of(b"other"))
    assert opener().stat(Key("a")) is None
    assert uploads(storage, prefix) == []


@pytest.mark.parametrize("max_copy", [5 << 30, MIN_PART], ids=["at-once", "in-parts"])
def test_a_copy_is_made_in_the_server_and_has_its_own_headers(
    opener: Opener, storage: Storage, prefix: str, max_copy: int
) -> None:
    data = BIG if max_copy < len(BIG) else b"small"
    target, digest = opener(max_copy=max_copy), Digest.of(data)
    put(target, "source", data, headers=BLOB)
    headers = Headers(content_type=OCI_INDEX, cache_control=IMMUTABLE, digest=digest)
    target.put(Key("copy"), Unreadable(len(data)), headers, digest=digest, same_as=Key("source"))
    assert read_bytes(target, Key("copy"), limit=len(data)) == data
    stored = head(storage, prefix, "copy")
    assert (stored["ContentType"], stored["CacheControl"]) == (OCI_INDEX, IMMUTABLE)
    assert stored["Metadata"]["docker-content-digest"] == str(digest)
    assert uploads(storage, prefix) == []


def test_a_large_blob_that_is_there_is_not_sent_again(opener: Opener) -> None:
    put(opener(), "a", BIG, headers=BLOB)
    opener().put(Key("a"), Unreadable(len(BIG)), BLOB, digest=Digest.of(BIG))
    with pytest.raises(AssertionError, match="it was read"):
        opener().put(Key("a"), Unreadable(len(BIG)), BLOB, digest=Digest.of(b"other"))


@pytest.mark.parametrize("data", [b"small", BIG], ids=["small", "in-parts"])
@pytest.mark.parametrize("damage", ["other bytes", "same bytes, other headers"])
def test_what_somebody_put_in_the_place_of_a_blob_is_replaced(
    opener: Opener, storage: Storage, prefix: str, data: bytes, damage: str
) -> None:
    put(opener(), "a", data, headers=BLOB)
    body = data if damage.startswith("same") else data[::-1]
    storage.client().put_object(Bucket=storage.bucket, Key=f"{prefix}a", Body=body, ContentType="text/plain")
    put(opener(), "a", data, headers=BLOB)
    assert read_bytes(opener(), Key("a"), limit=len(data)) == data
    assert head(storage, prefix, "a")["ContentType"] == OCTET_STREAM


@pytest.mark.parametrize("appended", [None, "s-maxage=60"])
def test_what_a_restored_object_is_served_with_is_told(
    opener: Opener, storage: Storage, prefix: str, appended: str | None
) -> None:
    digest = Digest.of(b"data")
    headers = Headers(content_type=OCI_INDEX, cache_control=MUTABLE, digest=digest)
    opener(cache_control=appended).put(TAG_KEY, BytesContent(b"data"), headers, digest=digest)
    assert opener().stat(TAG_KEY) == Stored(size=4, headers=headers)  # what was appended then is nobody's mistake now

    at = {"Bucket": storage.bucket, "Key": prefix + TAG_KEY}
    storage.client().put_object(
        **at, Body=b"data", ContentType="binary/octet-stream", CacheControl="no-cache, no-store"
    )
    lost = Headers(content_type="binary/octet-stream", cache_control="no-cache, no-store")
    assert opener().stat(TAG_KEY) == Stored(size=4, headers=lost)

    storage.client().put_object(**at, Body=b"data", ContentType=OCI_INDEX, ContentEncoding="gzip")
    stored = opener().stat(TAG_KEY)
    assert stored is not None
    assert stored.problem == "is served with Content-Encoding 'gzip', which clients undo"


def test_what_is_not_ours_is_not_shown(opener: Opener, storage: Storage, prefix: str) -> None:
    target, client = opener(), storage.client()
    put(target, "a", b"")
    for name in (f"{prefix}d/", f"{prefix.rstrip('/')}0", f"other-{prefix}e"):
        client.put_object(Bucket=storage.bucket, Key=name, Body=b"")
    with target.lock(now=NOW, wait=0):
        assert list(target.keys()) == ["a"]


def test_a_listing_of_many_pages_is_whole(moto: Storage, prefix: str) -> None:
    client = moto.client()
    names = [f"{number:04}" for number in range(1001)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: client.put_object(Bucket=moto.bucket, Key=prefix + name, Body=b""), names))
    assert list(S3Target(moto.bucket, prefix, moto.options()).keys()) == names


def test_uploads_hold_a_bounded_number_of_parts_in_memory(opener: Opener) -> None:
    concurrency, size = 2, 4 * MIN_PART
    hasher = Digest.of(b"").new_hasher()
    hasher.update(bytes(size))
    digest = Digest.of_hasher("sha256", hasher)
    target = opener(concurrency=concurrency)
    put(target, "warm", b"up")
    tracemalloc.start()
    try:
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda name: target.put(Key(name), Zeros(size), BLOB, digest=digest), "abcdef"))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert {key: stored.size for key in "abcdef" if (stored := target.stat(Key(key)))} == dict.fromkeys("abcdef", size)
    # beside the parts, each of the six threads holds a chunk or two of 1 MiB that it reads; in all, 120 MiB were sent
    assert peak < (concurrency + 1) * MIN_PART + 6 * (3 << 20) + (4 << 20)


@pytest.fixture(params=["moto", *(pytest.param(name, marks=pytest.mark.interop) for name in ("seaweedfs", "juicefs"))])
def any_storage(request: pytest.FixtureRequest) -> Storage:
    storage: Storage = request.getfixturevalue(request.param)
    return storage


@pytest.fixture
def rivals(any_storage: Storage, prefix: str) -> tuple[S3Target, S3Target]:
    first, second = (
        S3Target(any_storage.bucket, prefix, any_storage.options(), times=Times(pause=0.2)) for _ in range(2)
    )
    return first, second


def test_what_appears_where_nothing_was_is_not_overwritten(rivals: tuple[S3Target, S3Target]) -> None:
    ours, theirs = rivals
    with pytest.raises(KeyMissingError):
        ours.open(TAG_KEY)
    with theirs.lock(now=NOW, wait=0):
        put(theirs, TAG_KEY, b"theirs")
        with pytest.raises(LostUpdateError, match=r"was changed by process \d+ on .* since 2025-06-01") as caught:
            put(ours, TAG_KEY, b"ours")
    assert caught.value.rival is not None
    assert read_bytes(theirs, TAG_KEY, limit=10) == b"theirs"


def test_under_a_new_lock_a_run_begins_with_what_is_there(rivals: tuple[S3Target, S3Target]) -> None:
    ours, theirs = rivals
    put(ours, TAG_KEY, b"first")
    put(theirs, TAG_KEY, b"second")
    with ours.lock(now=NOW, wait=0):
        put(ours, TAG_KEY, b"third")
    assert read_bytes(theirs, TAG_KEY, limit=10) == b"third"


def test_a_restored_bucket_is_named_and_mended(any_storage: Storage, prefix: str, tmp_path: Path) -> None:
    def named() -> set[str]:
        target = S3Target(any_storage.bucket, prefix, any_storage.options())
        return {problem.key for problem in verify(target, jobs=1, limits=Limits(), progress=Silent()).problems}

    def opened() -> S3Target:
        return S3Target(any_storage.bucket, prefix, any_storage.options(), times=Times(pause=0.2))

    shop = Shop(path=tmp_path, target=opened())
    for number in (1, 2):
        shop.images({"latest": app(number)})
        shop.run(number)
    assert named() == set()
    assert shop.run(2, target=opened(), repair=True).repairs == ()

    client, manifests = any_storage.client(), [key for key in list(opened().keys()) if "/manifests/" in key]
    for key in manifests:
        body = client.get_object(Bucket=any_storage.bucket, Key=prefix + key)["Body"].read()
        client.put_object(Bucket=any_storage.bucket, Key=prefix + key, Body=body, ContentType="binary/octet-stream")
    assert named() == set(manifests)

    repaired = shop.run(2, target=opened(), repair=True)

    assert {repair.key for repair in repaired.repairs} == set(manifests)
    assert named() == set()


ENFORCED = Conditions(if_none_match=True, if_match=True)
IGNORED = Conditions(if_none_match=False, if_match=False)


def test_what_a_server_does_with_conditions_is_found_out_once(any_storage: Storage, prefix: str) -> None:
    with faulty_proxy(any_storage.port) as proxy:
        options = any_storage.options(endpoint=proxy.endpoint)
        found = S3Target(any_storage.bucket, prefix, options).conditions
        asked = len(proxy.requests)
        again = S3Target(any_storage.bucket, prefix, options)
        assert [again.conditions, again.conditions] == [found, found]
        assert [request.method for request in proxy.requests[asked:]] == ["GET"]
        any_storage.client().put_object(Bucket=any_storage.bucket, Key=prefix + ANSWER_KEY, Body=b"[torn")
        assert S3Target(any_storage.bucket, prefix, options).conditions == found
        assert list(again.keys()) == []


@pytest.mark.parametrize("name", ["moto", pytest.param("seaweedfs", marks=pytest.mark.interop)])
def test_a_server_that_enforces_conditions(name: str, request: pytest.FixtureRequest, prefix: str) -> None:
    storage: Storage = request.getfixturevalue(name)
    conditions = S3Target(storage.bucket, prefix, storage.options()).conditions
    assert conditions == ENFORCED
    assert conditions.lost is None


@pytest.mark.interop
def test_a_server_that_ignores_conditions(juicefs: Storage, prefix: str) -> None:
    conditions = S3Target(juicefs.bucket, prefix, juicefs.options()).conditions
    assert conditions == IGNORED
    assert conditions.lost is not None
    assert conditions.lost.startswith("the server does not enforce If-None-Match and If-Match: two publishers")


@pytest.mark.interop
def test_who_takes_the_lock_is_told_what_is_not_guaranteed(juicefs: Storage, prefix: str, tmp_path: Path) -> None:
    target = S3Target(juicefs.bucket, prefix, juicefs.options(), times=Times(pause=0.2))
    shop = Shop(path=tmp_path, target=target)
    shop.images({"1.0": app(0)})
    shop.run()
    with target.lock(now=NOW, wait=0) as taken:
        [caveat] = taken.caveats
    assert caveat.startswith(f"s3://tree/{prefix.rstrip('/')}: the server does not enforce")
    shop.images({"1.0": app(0), "1.1": app(1)})
    shop.run(1)
    assert {Key("v2/"), Key("v2/app/manifests/1.1")} <= set(target.keys())


def test_a_server_that_does_not_know_conditions(moto: Storage, prefix: str) -> None:
    with faulty_proxy(moto.port) as proxy:
        proxy.fault = lambda request: "unknown" if request.condition and request.method == "PUT" else None
        target, rival = (
            S3Target(moto.bucket, prefix, moto.options(endpoint=proxy.endpoint), times=Times(pause=0.2))
            for _ in range(2)
        )
        assert target.conditions == IGNORED
        with target.lock(now=NOW, wait=0):
            put(target, "a", b"blob", headers=BLOB)
            for data in (b"1", b"2"):
                put(target, TAG_KEY, data)
            put(rival, TAG_KEY, b"3")
            with pytest.raises(LostUpdateError):
                put(target, TAG_KEY, b"4")
        assert list(target.keys()) == ["a", TAG_KEY]


def test_a_run_says_what_the_server_does_not_protect(moto: Storage, prefix: str, tmp_path: Path) -> None:
    with faulty_proxy(moto.port) as proxy:
        proxy.fault = lambda request: "unknown" if request.condition and request.method == "PUT" else None
        target = S3Target(moto.bucket, prefix, moto.options(endpoint=proxy.endpoint), times=Times(pause=0.2))
        shop = Shop(tmp_path, target=target)
        shop.images({"latest": app(1)})
        for number in (1, 2):
            [note] = shop.run(number).notes
            assert f"{target.url}: the server does not enforce If-None-Match and If-Match" in note


def test_a_key_that_is_too_long_with_the_prefix_is_refused(moto: Storage) -> None:
    target = S3Target(moto.bucket, "p" * 1000 + "/", moto.options())
    with pytest.raises(TargetError, match="has more than 1024 bytes with the prefix"):
        put(target, "k" * 24, b"")


def test_a_bucket_that_is_not_there_is_named(moto: Storage) -> None:
    target = S3Target("missing-bucket", "", moto.options())
    with pytest.raises(TargetError, match=r"no such bucket; create it.*s3://missing-bucket"):
        list(target.keys())
    with pytest.raises(TargetError, match="no such bucket"):
        put(target, "a", b"")


@pytest.mark.interop
def test_credentials_that_the_server_does_not_know(
    seaweedfs: Storage, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "SOMEBODY-ELSE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    target = S3Target(seaweedfs.bucket, prefix, seaweedfs.options())
    with pytest.raises(TargetError, match="does not know these credentials") as caught:
        put(target, "a", b"")
    assert "SOMEBODY-ELSE" not in str(caught.value)


def test_without_credentials_the_message_says_where_they_come_from(
    moto: Storage, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    target = S3Target(moto.bucket, prefix, moto.options())
    with pytest.raises(TargetError, match=r"no credentials .*; set `profile` in \[target.s3\], the AWS_… variables"):
        put(target, "a", b"")


def test_two_threads_that_write_the_same_blob_agree(opener: Opener) -> None:
    target, barrier = opener(), threading.Barrier(4)

    def work(_: int) -> None:
        barrier.wait()
        put(target, "a", b"the same", headers=BLOB)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert read_bytes(target, Key("a"), limit=10) == b"the same"
