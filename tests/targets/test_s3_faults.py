"""A bucket behind a bad network: storms of 503, silence, lost answers, cut bodies, credentials that expire.

Also what a run costs, in requests.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from pipeline.keys import IMMUTABLE, LEDGER_KEY, OCTET_STREAM, Headers, Key
from pipeline.oci.digest import Digest
from pipeline.publish import Outcome
from pipeline.targets.base import LOCK_KEY, LostUpdateError, TargetError, read_bytes
from pipeline.targets.objects.lease import Times
from pipeline.targets.s3.options import MIN_PART
from pipeline.targets.s3.target import S3Target

from ..client import problems
from ..interop.s3_servers import Storage
from ..runs import Shop, app, is_of_ledger, other
from .faulty_proxy import Fault, FaultyProxy, Request, faulty_proxy
from .test_contract import put
from .test_s3 import BIG

KEY = Key("v2/a/manifests/latest")
BLOB = Headers(content_type=OCTET_STREAM, cache_control=IMMUTABLE)

Opener = Callable[..., S3Target]


@pytest.fixture
def proxy(moto: Storage) -> Iterator[FaultyProxy]:
    with faulty_proxy(moto.port) as running:
        yield running


@pytest.fixture
def opener(moto: Storage, proxy: FaultyProxy, prefix: str) -> Opener:
    """Opens the same place through the proxy."""

    def open_target(**options: Any) -> S3Target:
        chosen = moto.options(endpoint=proxy.endpoint, multipart_threshold=MIN_PART, **options)
        return S3Target(moto.bucket, prefix, chosen, times=Times(pause=0.2))

    return open_target


def first(fault: Fault, *, of: Callable[[Request], bool] = lambda _: True, times: int = 1) -> Callable[[Request], Any]:
    """`fault` for the first requests that fit."""
    left = [fault] * times
    return lambda request: left.pop() if left and of(request) else None


@pytest.mark.parametrize("fault", ["busy", "drop", "lost", "hang"])
@pytest.mark.parametrize("data", [b"small", BIG], ids=["small", "in-parts"])
def test_a_write_survives_what_passes(opener: Opener, proxy: FaultyProxy, fault: Fault, data: bytes) -> None:
    target = opener(read_timeout=1)
    assert target.conditions.are_enforced
    put(target, KEY, b"old")
    writes = {"PUT", "POST"}
    proxy.fault = first(fault, of=lambda request: request.method in writes)
    put(target, KEY, data)
    proxy.fault = first(fault, of=lambda request: request.method == "POST" and "uploadId" in request.query)
    put(target, "blob", data, headers=BLOB)
    assert read_bytes(target, KEY, limit=len(data)) == data
    assert read_bytes(target, Key("blob"), limit=len(data)) == data
    put(target, KEY, b"and it goes on")


@pytest.mark.parametrize("fault", ["busy", "drop", "lost", "hang"])
def test_reading_and_deleting_survive_what_passes(opener: Opener, proxy: FaultyProxy, fault: Fault) -> None:
    target = opener(read_timeout=1)
    put(target, KEY, b"data")
    for action in (
        lambda: read_bytes(target, KEY, limit=4),
        lambda: target.stat(KEY),
        lambda: list(target.keys()),
        lambda: target.delete(KEY),
    ):
        proxy.fault = first(fault)
        action()
    assert target.stat(KEY) is None


def test_a_body_that_is_cut_is_read_on_where_it_ended(opener: Opener, proxy: FaultyProxy) -> None:
    target = opener()
    put(target, KEY, BIG)
    proxy.fault = first("cut", of=lambda request: request.method == "GET", times=3)
    assert read_bytes(target, KEY, limit=len(BIG)) == BIG
    reads = [request for request in proxy.requests if request.method == "GET" and request.path.endswith(KEY)]
    assert len(reads) == 4
    assert all(request.condition for request in reads[1:])


def test_a_body_that_is_cut_again_and_again_is_an_error(opener: Opener, proxy: FaultyProxy) -> None:
    target = opener()
    put(target, KEY, b"x")  # of which half is nothing
    proxy.fault = lambda request: "cut" if request.method == "GET" else None
    with pytest.raises(TargetError, match="latest: the connection broke while it was read"):
        read_bytes(target, KEY, limit=4)


def test_old_and_new_bytes_are_never_mixed(opener: Opener, proxy: FaultyProxy) -> None:
    target = opener()
    put(target, KEY, BIG)
    proxy.fault = first("cut", of=lambda request: request.method == "GET")
    with target.open(KEY) as stream:
        stream.read(10)
        put(target, KEY, BIG[::-1])
        with pytest.raises(TargetError, match="was replaced while it was read; run again"):
            stream.read()


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ("busy", r"latest: the server is overloaded \(SlowDown\), again and again; run again later"),
        ("drop", "latest: the server does not answer .ConnectionClosed"),
        ("hang", "latest: the server does not answer .ReadTimeout"),
        ("expired", "latest: the credentials have expired; renew them and run again"),
    ],
)
def test_what_does_not_pass_is_a_clear_error(opener: Opener, proxy: FaultyProxy, fault: Fault, problem: str) -> None:
    target = opener(read_timeout=1, attempts=2)
    assert target.conditions.are_enforced
    proxy.fault = lambda _: fault
    with pytest.raises(TargetError, match=problem) as caught:
        put(target, KEY, b"data")
    assert "S3CR3T" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_server_that_is_not_there_is_named(moto: Storage) -> None:
    target = S3Target("bucket", "", moto.options(endpoint="http://127.0.0.1:1", attempts=1))
    with pytest.raises(TargetError, match=r"does not answer \(EndpointConnection: .*target s3://bucket"):
        target.stat(KEY)


# -- whole runs ------------------------------------------------------------------------------------------------------


def contents(target: S3Target) -> dict[Key, bytes]:
    return {key: read_bytes(target, key, limit=1 << 20) for key in target.keys()}  # noqa: SIM118  # a target is no dict


def headers_of(storage: Storage, prefix: str, keys: Iterable[Key]) -> dict[Key, Headers]:
    """As a client is served them."""
    client, found = storage.client(), {}
    for key in keys:
        answer = client.head_object(Bucket=storage.bucket, Key=prefix + key)
        digest = answer["Metadata"].get("docker-content-digest")
        found[key] = Headers(
            content_type=answer["ContentType"],
            cache_control=answer.get("CacheControl", ""),  # SeaweedFS tells none of v2/, a folder to it
            digest=Digest.parse(digest) if digest else None,
        )
    return found


def found_problems(target: S3Target, storage: Storage, prefix: str, *, at_rest: bool = False) -> list[str]:
    """What a client of the bucket would stumble over."""
    found = contents(target)
    return problems(found, headers_of(storage, prefix, found), at_rest=at_rest)


def shop_at(target: S3Target, path: Path, version: int) -> Shop:
    shop = Shop(path=path, target=target, policy='versions = 2\ngrace = "0s"\nmax_delete = 1')
    shop.images({"latest": app(version)})
    return shop


def publish(target: S3Target, path: Path, *, versions: int = 2) -> Outcome:
    for version in range(versions):
        outcome = shop_at(target, path, version).run(version)
    return outcome


@pytest.fixture
def undisturbed(moto: Storage, tmp_path: Path) -> dict[Key, bytes]:
    """What two nights leave behind on a good network."""
    target = S3Target(moto.bucket, f"undisturbed-{tmp_path.name}/", moto.options())
    publish(target, tmp_path)
    return contents(target)


def published(tree: dict[Key, bytes]) -> dict[Key, bytes]:
    return {key: data for key, data in tree.items() if not is_of_ledger(key)}


@pytest.mark.parametrize("fault", ["busy", "lost", "drop", "cut", "hang", "slow"])
def test_a_run_over_a_bad_network_ends_in_the_same_tree(
    opener: Opener,
    proxy: FaultyProxy,
    undisturbed: dict[Key, bytes],
    tmp_path: Path,
    moto: Storage,
    prefix: str,
    fault: Fault,
) -> None:
    proxy.fault = lambda request: fault if request.number % 20 == 0 else None
    target = opener(read_timeout=1)
    publish(target, tmp_path)
    proxy.fault = lambda _: None
    assert found_problems(target, moto, prefix, at_rest=True) == []
    assert published(contents(target)) == published(undisturbed)


@pytest.mark.parametrize(
    ("fault", "problem", "good"),
    [
        *[("expired", "credentials have expired", good) for good in (3, 8, 13, 18)],
        *[("busy", r"overloaded \(SlowDown\), again and again", good) for good in (3, 10, 17)],
        *[("drop", r"does not answer \(ConnectionClosed", good) for good in (8, 15)],
        *[("hang", r"does not answer \(ReadTimeout", good) for good in (5, 16)],
    ],
)
def test_what_does_not_pass_in_the_middle_ends_the_run_and_not_the_tree(
    opener: Opener,
    proxy: FaultyProxy,
    undisturbed: dict[Key, bytes],
    tmp_path: Path,
    moto: Storage,
    prefix: str,
    fault: Fault,
    problem: str,
    good: int,
) -> None:
    publish(opener(), tmp_path, versions=1)
    begun = len(proxy.requests)
    proxy.fault = lambda request: fault if request.number > begun + good else None
    with pytest.raises(TargetError, match=problem) as caught:
        shop_at(opener(read_timeout=1, attempts=2), tmp_path, 1).run(1)
    assert "S3CR3T" not in str(caught.value)
    proxy.fault = lambda _: None
    assert found_problems(opener(), moto, prefix) == []
    # its lock could not be given back, and has three minutes to go
    moto.client().delete_object(Bucket=moto.bucket, Key=prefix + LOCK_KEY)
    shop_at(opener(), tmp_path, 1).run(1)
    assert published(contents(opener())) == published(undisturbed)


@pytest.mark.parametrize("repositories", [1, 3])
def test_a_run_with_nothing_new_costs_five_requests(
    opener: Opener, proxy: FaultyProxy, tmp_path: Path, repositories: int
) -> None:
    shop = Shop(path=tmp_path, target=opener(), repositories={f"app{number}": "" for number in range(repositories)})
    for number in range(repositories):
        shop.images({"1.0": app(number), "1.1": other(number)}, f"app{number}")
    shop.run()
    begun = len(proxy.requests)
    shop.target = opener()
    shop.run(1)
    assert [(request.method, request.path.rpartition("/")[2]) for request in proxy.requests[begun:]] == [
        ("GET", ".deltapress-conditions.json"),
        ("PUT", "lock"),
        ("GET", "ledger.json"),
        ("GET", "1"),  # the first entry of the journal, which is not there
        ("DELETE", "lock"),
    ]


@pytest.mark.parametrize(("versions", "more"), [(0, 16), (2, 35)])
@pytest.mark.parametrize("images", [3, 6])
def test_a_run_costs_one_request_a_key_and_few_more(
    opener: Opener, proxy: FaultyProxy, tmp_path: Path, images: int, versions: int, more: int
) -> None:
    """Of blobs that are sent in one request and not asked for first, on a server that is known.

    The lock is taken and given back, the conditions are read, the ledger and its journal are looked for, the bucket is
    listed because there is no ledger, and that is written twice: an entry of the journal, the document and the root
    are put, the entry and an older document deleted. Each delta has an entry of its own, and what lists the deltas is
    written again, between two more states of the ledger: `_deltaindex`, the referrers of the image, both pages. At last
    the root says that nothing is left to do. The manifest of the deltas is copied to be a blob too, after a look at it.
    """
    shop = Shop(path=tmp_path, target=opener(), policy=f"versions = {versions}")
    shop.images({f"1.{number}": app(number) for number in range(images)})
    assert opener().conditions.are_enforced
    begun = len(proxy.requests)
    outcome = shop.run()
    assert len(outcome.made) == versions
    assert len(proxy.requests) - begun == outcome.written.keys + more


def test_a_stolen_ledger_stops_the_run_before_it_writes_anything_else(
    opener: Opener, tmp_path: Path, moto: Storage, prefix: str
) -> None:
    publish(opener(), tmp_path, versions=1)
    before = contents(opener())
    rival = b'{"schema": 1}'

    class Intruded(S3Target):
        """Somebody who does not heed the lock writes the ledger as soon as we have read it."""

        def open(self, key: Key) -> BinaryIO:
            stream = super().open(key)
            if key == LEDGER_KEY:
                moto.client().put_object(Bucket=moto.bucket, Key=prefix + LEDGER_KEY, Body=rival)
            return stream

    with pytest.raises(LostUpdateError, match=r"ledger\.json: was changed by a process that left no name"):
        shop_at(Intruded(moto.bucket, prefix, moto.options()), tmp_path, 1).run(1)
    after = contents(opener())
    assert after[LEDGER_KEY] == rival
    assert published(after) == published(before)
