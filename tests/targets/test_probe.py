"""A store that keeps something else than it is sent is refused before anything is published."""

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.content import BytesContent
from pipeline.keys import IMMUTABLE, OCTET_STREAM, Headers, Key
from pipeline.oci.digest import Digest
from pipeline.targets.base import LOCK_KEY, TargetError
from pipeline.targets.objects.probe import AlteredError
from pipeline.targets.objects.store import ObjectHeaders, Version
from pipeline.targets.objects.target import ObjectTarget, Transfers
from pipeline.targets.s3.options import MIN_PART
from pipeline.targets.s3.target import S3Target

from ..interop.s3_servers import Storage
from ..runs import Shop, app
from .faulty_proxy import Fault, FaultyProxy, Request, faulty_proxy
from .memory_store import MemoryStore, Place, memory_objects
from .test_contract import NOW

BLOB = Headers(content_type=OCTET_STREAM, cache_control=IMMUTABLE)
BIG = bytes(range(256)) * (2 * MIN_PART // 256) + b"a third part"


class Gateway(MemoryStore):
    """Keeps the framing of what is sent in chunks, or forgets `lost` headers."""

    frames = True
    lost: tuple[str, ...] = ()

    def put(self, key: Key, data: bytes | bytearray, headers: ObjectHeaders, *, over: Version | None = None) -> str:
        if self.frames:
            data = b"%x\r\n%s\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n" % (len(data), data)
        if "content_type" in self.lost:
            headers = replace(headers, content_type="binary/octet-stream")
        if "cache_control" in self.lost:
            headers = replace(headers, cache_control="")
        if "metadata" in self.lost:
            headers = replace(headers, metadata={})
        if "content_encoding" in self.lost:
            headers = replace(headers, content_encoding="aws-chunked")
        return super().put(key, data, headers, over=over)


def behind(kind: type[Gateway], place: Place) -> ObjectTarget:
    transfers = Transfers(concurrency=1, part=1 << 20, max_copy=1 << 30)
    return ObjectTarget(lambda guard: kind(place, guard=guard), kind(place), transfers)


def test_a_gateway_that_keeps_the_framing_is_refused(tmp_path: Path) -> None:
    place = Place()
    shop = Shop(tmp_path, target=behind(Gateway, place))
    shop.images({"latest": app(1)})
    with pytest.raises(AlteredError, match=r"keeps \d+ bytes, with the framing of the transfer around them, where \d+"):
        shop.run()
    assert place.objects == {}


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("content_type", "Content-Type 'binary/octet-stream', where 'application/vnd.oci.image.index.v1"),
        ("cache_control", "Cache-Control '', where 'no-cache"),
        ("metadata", "the metadata deltapress-probe ''"),
        ("content_encoding", "Content-Encoding 'aws-chunked', where ''"),
    ],
)
def test_a_server_that_keeps_other_headers_is_refused(header: str, said: str) -> None:
    class Forgetful(Gateway):
        frames = False
        lost = (header,)

    place = Place()
    with pytest.raises(AlteredError, match=f"keeps {said}"):
        behind(Forgetful, place).lock(now=NOW, wait=0).__enter__()
    assert place.objects == {}


def test_a_server_that_was_asked_before_is_noticed_by_the_lock() -> None:
    place = Place()
    with memory_objects(place).lock(now=NOW, wait=0):
        pass
    known = dict(place.objects)
    with pytest.raises(AlteredError, match=f"^{LOCK_KEY}: the server keeps"):
        behind(Gateway, place).lock(now=NOW, wait=0).__enter__()
    assert place.objects == known


def test_etags_that_are_no_sums_are_no_reason_to_refuse() -> None:
    class Encrypting(Gateway):
        frames = False

        def put(self, key: Key, data: bytes | bytearray, headers: ObjectHeaders, *, over: Version | None = None) -> str:
            return super().put(key, data, headers, over=over)[::-1]

    place = Place(enforces_conditions=False)
    for _ in range(2):
        with behind(Encrypting, place).lock(now=NOW, wait=0) as taken:
            assert taken.caveats


def refuse_checksums(request: Request) -> Fault | None:
    return "unknown" if request.has_checksum and request.method in {"PUT", "POST"} else None


@pytest.mark.parametrize("where", ["environment", "file"])
def test_the_sdks_switch_is_obeyed_in_parts_too(
    moto: Storage, prefix: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, where: str
) -> None:
    if where == "environment":
        monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
    else:
        (tmp_path / "config").write_text("[default]\nrequest_checksum_calculation = when_required\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    with faulty_proxy(moto.port) as proxy:
        proxy.fault = refuse_checksums
        target = S3Target(moto.bucket, prefix, moto.options(endpoint=proxy.endpoint, multipart_threshold=MIN_PART))
        with target.lock(now=NOW, wait=0):
            for data in (b"small", BIG):
                target.put(Key("a"), BytesContent(data), BLOB, digest=Digest.of(data))
                stored = target.stat(Key("a"))
                assert stored is not None
                assert stored.size == len(data)


def test_without_the_switch_parts_carry_checksums(moto: Storage, prefix: str) -> None:
    with faulty_proxy(moto.port) as proxy:
        target = S3Target(moto.bucket, prefix, moto.options(endpoint=proxy.endpoint, multipart_threshold=MIN_PART))
        target.put(Key("a"), BytesContent(BIG), BLOB, digest=Digest.of(BIG))
        assert [request.has_checksum for request in _parts(proxy)] == [True] * 3


@pytest.mark.parametrize("data", [b"small", BIG], ids=["small", "in-parts"])
def test_a_refusal_names_the_switch(moto: Storage, prefix: str, data: bytes) -> None:
    with faulty_proxy(moto.port) as proxy:
        options = moto.options(endpoint=proxy.endpoint, multipart_threshold=MIN_PART)
        target = S3Target(moto.bucket, prefix, options)
        assert target.conditions.are_enforced
        proxy.fault = refuse_checksums
        with pytest.raises(TargetError, match="set AWS_REQUEST_CHECKSUM_CALCULATION=when_required, or request_"):
            target.put(Key("a"), BytesContent(data), BLOB, digest=Digest.of(data))


def _parts(proxy: FaultyProxy) -> list[Request]:
    return [request for request in proxy.requests if "partNumber" in request.query]
