"""The lock of a bucket: an object that expires by the server's clock."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import pytest

from pipeline.keys import LEDGER_KEY, Key
from pipeline.oci.digest import Digest
from pipeline.targets.base import LOCK_KEY, LockHeldError, TargetError
from pipeline.targets.objects.lease import LockLostError, Times
from pipeline.targets.s3.target import S3Target

from ..interop.s3_servers import Storage
from .faulty_proxy import FaultyProxy, Request, faulty_proxy
from .processes import running_code
from .test_contract import NOW, put

SHORT = Times(lasts=2.0, pause=0.2)  # servers tell their time in whole seconds

Opener = Callable[..., S3Target]


@pytest.fixture(params=["moto", pytest.param("juicefs", marks=pytest.mark.interop)])
def storage(request: pytest.FixtureRequest) -> Storage:
    storage: Storage = request.getfixturevalue(request.param)
    return storage


@pytest.fixture
def proxy(storage: Storage) -> Iterator[FaultyProxy]:
    with faulty_proxy(storage.port) as running:
        yield running


@pytest.fixture
def opener(storage: Storage, prefix: str) -> Opener:
    def open_target(times: Times = SHORT, **options: Any) -> S3Target:
        return S3Target(storage.bucket, prefix, storage.options(**options), times=times)

    return open_target


def write_lock(storage: Storage, prefix: str, body: bytes) -> None:
    storage.client().put_object(Bucket=storage.bucket, Key=prefix + LOCK_KEY, Body=body)


def put_again_and_again(target: S3Target, *, meanwhile: Callable[[], None] = lambda: None) -> None:
    for _ in range(600):
        meanwhile()
        put(target, "meanwhile", b"")
        threading.Event().wait(0.1)


HOLDER = """
import sys, time
from datetime import UTC, datetime
from pipeline.targets.objects.lease import Times
from pipeline.targets.s3.options import S3Options
from pipeline.targets.s3.target import S3Target

endpoint, bucket, prefix = sys.argv[1:]
target = S3Target(bucket, prefix, S3Options(endpoint=endpoint, addressing="path"), times=Times(lasts=4.0))
with target.lock(now=datetime(2025, 6, 1, tzinfo=UTC), wait=0):
    print("ready", flush=True)
    time.sleep(600)
"""


def test_a_killed_holders_lock_is_free_when_it_has_expired(opener: Opener, storage: Storage, prefix: str) -> None:
    with running_code(HOLDER, storage.endpoint, storage.bucket, prefix) as process:
        with pytest.raises(LockHeldError, match=rf"process {process.pid} on .*\(if that has died, the lock is free in"):
            opener().lock(now=NOW, wait=0).__enter__()
        process.kill()
        process.wait()
    client = storage.client()
    ours = [f"v2/team/app/blobs/{Digest.of(b'')}", LEDGER_KEY, "v2/app/tags/list"]
    foreign = [
        "backup.tar",
        "v2/backup.tar",
        "v2/app/blobs/backup",
        "docker/registry/v2/blobs/data",
        "team/v2/app/tags/list",
    ]
    for key in (*ours, *foreign):
        client.create_multipart_upload(Bucket=storage.bucket, Key=prefix + key)
    with opener().lock(now=NOW, wait=30):
        left = client.list_multipart_uploads(Bucket=storage.bucket, Prefix=prefix).get("Uploads", [])
        assert sorted(found["Key"].removeprefix(prefix) for found in left) == sorted(foreign)
    with opener().lock(now=NOW, wait=0):
        pass


def test_a_lock_that_is_in_use_does_not_expire(opener: Opener) -> None:
    times = Times(lasts=4.0, pause=0.5)  # renewed six times as often: a machine may be slow
    with opener(times).lock(now=NOW, wait=0), pytest.raises(LockHeldError):
        opener(times).lock(now=NOW, wait=1.5 * times.lasts).__enter__()


@pytest.mark.parametrize("now", [datetime(1999, 1, 1, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC)], ids=str)
def test_the_clocks_of_the_publishers_decide_nothing(opener: Opener, now: datetime) -> None:
    with opener().lock(now=NOW, wait=0), pytest.raises(LockHeldError):
        opener().lock(now=now, wait=0).__enter__()
    with opener().lock(now=now, wait=0), pytest.raises(LockHeldError):
        opener().lock(now=NOW, wait=0).__enter__()


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"nonce": 1, "seconds": "x"}', b"\xff" * 5000], ids=repr)
def test_a_lock_that_cannot_be_read_is_held(opener: Opener, storage: Storage, prefix: str, body: bytes) -> None:
    write_lock(storage, prefix, body)
    with pytest.raises(LockHeldError, match="held by a process that left no name"):
        opener(Times()).lock(now=NOW, wait=0).__enter__()


def test_who_has_lost_the_lock_writes_nothing_more(opener: Opener, storage: Storage, prefix: str) -> None:
    target = opener()
    rival = {"host": "elsewhere", "pid": 7, "since": NOW.isoformat(), "nonce": "theirs", "seconds": 600}
    with target.lock(now=NOW, wait=0):
        put(target, "before", b"")
        with pytest.raises(LockLostError, match="taken over by process 7 on elsewhere"):
            # again and again: where a server ignores conditions, a renewal under way may replace one of them
            put_again_and_again(target, meanwhile=lambda: write_lock(storage, prefix, json.dumps(rival).encode()))
        with pytest.raises(LockLostError):
            put(target, "after", b"")
        with pytest.raises(LockLostError):
            target.delete(Key("before"))
    assert "after" not in set(opener().keys())
    with pytest.raises(LockHeldError, match="process 7 on elsewhere"):  # it was not given back for them either
        opener().lock(now=NOW, wait=0).__enter__()


def test_who_cannot_renew_stops(opener: Opener, proxy: FaultyProxy) -> None:
    target = opener(endpoint=proxy.endpoint, attempts=1)
    with target.lock(now=NOW, wait=0):
        proxy.fault = lambda request: "busy" if request.path.endswith(LOCK_KEY) else None
        with pytest.raises(LockLostError, match="could not be renewed for"):
            put_again_and_again(target)


def test_a_write_that_is_tried_again_stops_when_the_lock_is_lost(opener: Opener, proxy: FaultyProxy) -> None:
    target = opener(endpoint=proxy.endpoint, attempts=10)
    tries: list[Request] = []

    def fault(request: Request) -> Any:
        if request.path.endswith(LOCK_KEY):
            return "busy"
        if request.path.endswith("/a"):
            tries.append(request)
            threading.Event().wait(0.5)
            return "drop"
        return None

    with target.lock(now=NOW, wait=0):
        proxy.fault = fault
        with pytest.raises(LockLostError):
            put(target, "a", b"")
    assert 1 <= len(tries) < 10


def test_a_lock_whose_answer_was_lost_is_ours_all_the_same(opener: Opener, proxy: FaultyProxy) -> None:
    lost: list[Request] = []

    def fault(request: Request) -> Any:
        if request.method == "PUT" and request.path.endswith(LOCK_KEY) and not lost:
            lost.append(request)
            return "lost"
        return None

    proxy.fault = fault
    with opener(endpoint=proxy.endpoint).lock(now=NOW, wait=0), pytest.raises(LockHeldError):
        opener().lock(now=NOW, wait=0).__enter__()
    assert len(lost) == 1
    with opener().lock(now=NOW, wait=0):
        pass


def test_a_lock_whose_taking_fails_late_is_given_back(opener: Opener, proxy: FaultyProxy) -> None:
    def fault(request: Request) -> Any:
        return "lost" if request.method == "PUT" and request.path.endswith(LOCK_KEY) else None

    target = opener(Times(), endpoint=proxy.endpoint, attempts=1)
    assert target.conditions is not None  # found out before the network fails
    proxy.fault = fault
    with pytest.raises(TargetError, match="does not answer"):
        target.lock(now=NOW, wait=0).__enter__()
    methods = [request.method for request in proxy.requests if request.path.endswith(LOCK_KEY)]
    assert methods[-3:] == ["PUT", "GET", "DELETE"]
    with opener().lock(now=NOW, wait=0):
        pass


@pytest.mark.interop
def test_of_many_who_come_at_once_one_gets_the_lock(seaweedfs: Storage, prefix: str) -> None:
    targets = [S3Target(seaweedfs.bucket, prefix, seaweedfs.options()) for _ in range(6)]
    assert targets[0].conditions.are_enforced
    barrier = threading.Barrier(len(targets))

    with ExitStack() as held:

        def take(target: S3Target) -> bool:
            lock = target.lock(now=NOW, wait=0)
            barrier.wait()
            try:
                lock.__enter__()
            except LockHeldError:
                return False
            held.push(lock)
            return True

        with ThreadPoolExecutor(len(targets)) as pool:
            assert sum(pool.map(take, targets)) == 1


def test_a_target_that_fails_while_the_lock_is_taken_is_an_error_of_the_target(
    opener: Opener, proxy: FaultyProxy
) -> None:
    proxy.fault = lambda _: "expired"
    with pytest.raises(TargetError, match="credentials have expired"):
        opener(endpoint=proxy.endpoint).lock(now=NOW, wait=0).__enter__()
