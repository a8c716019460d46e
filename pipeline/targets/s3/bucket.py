"""The one door of boto3: single requests, and its errors translated once.

Rule 1. Whatever goes wrong is a TargetError: KeyMissingError for a missing key, ConditionError where a condition was
        not met, UnsupportedError for what the server does not know. No message holds a secret; and since botocore's
        may (a URL with a password, an answer that repeats a token), none is chained where a traceback would show it.
Rule 2. Retries, their pauses and the time-outs are botocore's, in its adaptive mode. A request that was retried may
        have had its effect the first time: callers ask again after a ConditionError.
Rule 3. ETags are opaque, and stand here without quotes: Ceph refuses the quoted form of If-Match.
"""

import email.utils
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast

import botocore.session
from boto3.session import Session
from botocore import exceptions as boto
from botocore.config import Config
from botocore.loaders import create_loader
from botocore.response import StreamingBody
from urllib3.exceptions import HTTPError  # of TLS, in the middle of a body: botocore lets it pass

from ...keys import Key
from ..base import KeyMissingError, TargetError
from ..checks import MAX_KEY
from ..objects.store import (
    BrokenStreamError,
    ConditionError,
    Guard,
    Info,
    ObjectHeaders,
    Part,
    Unfinished,
    Version,
)
from .faults import SWITCH, answered, name_of, reason_of
from .options import S3Options
from .quick import UNMET, QuickPuts

_BROKEN: Final = (
    boto.ReadTimeoutError,
    boto.ResponseStreamingError,
    boto.IncompleteReadError,
    boto.ConnectionClosedError,
    HTTPError,
    OSError,
)
_UNREACHABLE: Final = (boto.HTTPClientError, boto.ConnectionError, HTTPError, OSError)
_UNCREDENTIALED: Final = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.ProfileNotFound,
    boto.TokenRetrievalError,
    boto.SSOError,
)


_WRITES: Final = ("PutObject", "CopyObject", "CompleteMultipartUpload", "DeleteObject")
_MODELS: Final = create_loader()  # the descriptions of the API: megabytes, and the same for every session
_TRIES: Final = 3
_MAX_PROBLEM: Final = 200  # characters of a message of botocore


class Body:
    """The rest of an object, as it comes."""

    def __init__(self, key: Key, stream: StreamingBody) -> None:
        self._key, self._stream = key, stream

    def read(self, size: int) -> bytes:
        """At most `size` bytes, none at the end. Raises BrokenStreamError, TargetError."""
        try:
            return self._stream.read(size)
        except _BROKEN as error:
            raise BrokenStreamError(
                f"the connection broke while it was read ({name_of(error)})", key=self._key
            ) from error
        except boto.BotoCoreError as error:
            raise TargetError(f"what was read is damaged ({name_of(error)})", key=self._key) from error

    def close(self) -> None:
        self._stream.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sdk:
    """Where credentials and defaults come from, for all the clients of a target: boto3's session, and that below it."""

    session: Session
    core: botocore.session.Session


def open_sdk(options: S3Options) -> Sdk:
    """As the environment says, and `options`. Raises TargetError."""
    with _translated("s3:", None):
        core = botocore.session.Session(profile=options.profile)
        core.register_component("data_loader", _MODELS)
        return Sdk(session=Session(botocore_session=core, region_name=options.region), core=core)


class Bucket:
    """The objects of the bucket `name` whose names begin with `prefix`, which is empty or ends with '/'.

    `guard` is called before every attempt, the first as well as a retry, of a request that changes what readers see;
    its error ends the request. One that `is_for_many` objects sends small ones the quick way.
    """

    def __init__(
        self,
        name: str,
        prefix: str,
        options: S3Options,
        sdk: Sdk,
        *,
        guard: Guard | None = None,
        is_for_many: bool = False,
    ) -> None:
        self.url = f"s3://{name}/{prefix}".rstrip("/")
        self.clock: datetime | None = None
        """What the server's clock said when it stored an object last, where it tells."""
        self._name, self._prefix = name, prefix
        chosen = {
            "StorageClass": options.storage_class,
            "ServerSideEncryption": options.sse,
            "SSEKMSKeyId": options.sse_kms_key,
            "ACL": options.acl,
        }
        self._chosen: dict[str, Any] = {key: value for key, value in chosen.items() if value is not None}
        config = Config(
            connect_timeout=options.connect_timeout,
            read_timeout=options.read_timeout,
            retries={"mode": "adaptive", "total_max_attempts": options.attempts},
            max_pool_connections=2 * options.concurrency + 2,
            s3={"addressing_style": options.addressing},
        )
        with self._translated(None):
            try:
                self._client = sdk.session.client("s3", endpoint_url=options.endpoint, config=config)
            except ValueError as error:  # of an endpoint that is no URL, from the configuration or the environment
                said = (
                    str(error)[:_MAX_PROBLEM] if isinstance(error, boto.BotoCoreError) else "the endpoint is not a URL"
                )
                raise TargetError(
                    f"{said}; correct `endpoint` or `region` in [target.s3], or the AWS_… variables"
                ) from None
        # the SDK's own switch, in the environment or its configuration file: some servers know no checksums
        is_summed = getattr(self._client.meta.config, "request_checksum_calculation", "") != "when_required"
        self._summed: Any = {"ChecksumAlgorithm": "CRC32"} if is_summed else {}
        if "@" in self._client.meta.endpoint_url:
            raise TargetError(
                "the endpoint holds a user name or a password, which no S3 server reads there; take it out of "
                f"AWS_ENDPOINT_URL (target {self.url})"
            )
        if guard is not None:
            for operation in _WRITES:
                self._client.meta.events.register(f"before-send.s3.{operation}", lambda **_: guard())
        self._guard = guard
        self._quick: QuickPuts | None = None
        if is_for_many:
            self._quick = QuickPuts(sdk.core, config)
            self._client.meta.events.register("before-send.s3.PutObject", self._quick.watch)

    @property
    def remedy(self) -> str:
        """What a person can do where objects do not come back as they were sent."""
        if self._summed:
            return f"If it does not know the checksums that the SDK adds (aws-chunked), {SWITCH}"
        return "Look at the gateways and proxies between this machine and the bucket"

    def get(self, key: Key, *, start: int = 0, etag: str | None = None) -> tuple[Info, Body]:
        """The object from the byte `start` on; ConditionError where its ETag is not `etag`."""
        asked: dict[str, Any] = {"Range": f"bytes={start}-"} if start else {}
        if etag is not None:
            asked["IfMatch"] = etag
        with self._translated(key):
            answer = self._client.get_object(**self._at(key), **asked)
            return _info(answer), Body(key, answer["Body"])

    def head(self, key: Key) -> Info | None:
        """None where it is missing."""
        try:
            with self._translated(key):
                return _info(self._client.head_object(**self._at(key)))
        except KeyMissingError:
            return None

    def put(self, key: Key, data: bytes | bytearray, headers: ObjectHeaders, *, over: Version | None = None) -> str:
        """Store `data`, in one request, and return its ETag; ConditionError where the key does not hold `over`."""
        if (etag := self._put_quickly(key, data, headers, over)) is not None:
            return etag
        for _ in range(_TRIES):
            try:
                with self._translated(key, over, is_summed=bool(self._summed)):
                    at = self._at(key)
                    answer = self._client.put_object(
                        **at, Body=cast(bytes, data), **self._kept(headers), **_condition(over)
                    )
                    if self._quick is not None:
                        self._quick.learn(at["Key"])
                    self.clock = _clock(_headers(answer))
                    return _bare(answer)
            except KeyMissingError as error:
                last = error  # gateways to a file system: somebody deleted the folder's last other file just now
        raise last

    def _put_quickly(
        self, key: Key, data: bytes | bytearray, headers: ObjectHeaders, over: Version | None
    ) -> str | None:
        """The ETag; None where the SDK must do it. Raises ConditionError."""
        if self._quick is None:
            return None
        if self._guard is not None:
            self._guard()
        answer = self._quick.put(
            self._at(key)["Key"],
            data,
            self._as_headers({**self._kept(headers), **_condition(over)}),
            is_summed=bool(self._summed),
        )
        if answer is None:
            return None
        if answer.status == UNMET:
            raise ConditionError(key)
        self.clock = _clock(answer.headers)
        return answer.headers.get("ETag", "").strip('"')

    def _as_headers(self, parameters: Mapping[str, Any]) -> dict[str, str]:
        """`parameters` of PutObject as the API's description says that they are sent."""
        shape: Any = self._client.meta.service_model.operation_model("PutObject").input_shape
        members = shape.members
        sent = {members[name].serialization["name"]: value for name, value in parameters.items() if name != "Metadata"}
        prefix = members["Metadata"].serialization["name"]
        return {**sent, **{f"{prefix}{name}": value for name, value in parameters["Metadata"].items()}}

    def copy(self, source: Key, key: Key, headers: ObjectHeaders, *, etag: str) -> str:
        """Store what `source` holds under `key`, in the server; ConditionError where it is not the one with `etag`."""
        with self._translated(source):
            answer = self._client.copy_object(
                **self._at(key),
                CopySource=self._at(source),
                CopySourceIfMatch=etag,
                MetadataDirective="REPLACE",
                **self._kept(headers),
            )
            return _bare(answer["CopyObjectResult"])

    def begin_upload(self, key: Key, headers: ObjectHeaders) -> "Upload":
        """An upload in parts. Nothing is visible before it is completed."""
        with self._translated(key, is_summed=bool(self._summed)):
            answer = self._client.create_multipart_upload(**self._at(key), **self._summed, **self._kept(headers))
            return Upload(self, key, answer["UploadId"])

    def delete(self, key: Key) -> None:
        """Nothing happens where it is missing."""
        try:
            # one by one: some servers refuse the request for many
            with self._translated(key):
                self._client.delete_object(**self._at(key))
        except KeyMissingError:
            return

    def names(self) -> Iterator[str]:
        """What follows the prefix, of every object, in the server's order; 1,000 a request."""
        with self._translated(None):
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._name, Prefix=self._prefix):
                yield from (found["Key"][len(self._prefix) :] for found in page.get("Contents", ()))

    def uploads(self) -> Iterator[Unfinished]:
        """The uploads below the prefix that were begun and not completed, also those of others."""
        with self._translated(None):
            pages = self._client.get_paginator("list_multipart_uploads")
            for page in pages.paginate(Bucket=self._name, Prefix=self._prefix):
                for found in page.get("Uploads", ()):
                    name = found["Key"][len(self._prefix) :]
                    upload = Upload(self, Key(name), found["UploadId"])
                    yield Unfinished(name=name, begun=found["Initiated"], upload=upload)

    def _at(self, key: Key) -> Any:
        name = self._prefix + key
        if len(name.encode()) > MAX_KEY:
            raise TargetError(f"has more than {MAX_KEY} bytes with the prefix of {self.url}; shorten one", key=key)
        return {"Bucket": self._name, "Key": name}

    def _kept(self, headers: ObjectHeaders) -> dict[str, Any]:
        return {
            "ContentType": headers.content_type,
            "CacheControl": headers.cache_control,
            "Metadata": dict(headers.metadata),
            **self._chosen,
        }

    def _translated(
        self, key: Key | None, over: Version | None = None, *, is_summed: bool = False
    ) -> AbstractContextManager[None]:
        return _translated(self.url, key, over, is_summed=is_summed)


class Upload:
    """An upload in parts, seen by nobody before `complete`. Parts may be sent from several threads."""

    def __init__(self, bucket: Bucket, key: Key, upload_id: str) -> None:
        self._bucket, self._key, self._id = bucket, key, upload_id

    def send(self, number: int, data: bytes | bytearray) -> Part:
        """Part `number`, from 1 on."""
        bucket = self._bucket
        with bucket._translated(self._key, is_summed=bool(bucket._summed)):
            answer = bucket._client.upload_part(
                **self._at(), PartNumber=number, Body=cast(bytes, data), **bucket._summed
            )
            return Part(number=number, etag=answer["ETag"], checksum=answer.get("ChecksumCRC32"))

    def copy(self, number: int, source: Key, *, etag: str, start: int, end: int) -> Part:
        """Part `number` from the bytes `start` to before `end` of what `source` holds."""
        bucket = self._bucket
        with bucket._translated(source):
            answer = bucket._client.upload_part_copy(
                **self._at(),
                PartNumber=number,
                CopySource=bucket._at(source),
                CopySourceIfMatch=etag,
                CopySourceRange=f"bytes={start}-{end - 1}",
            )["CopyPartResult"]
            return Part(number=number, etag=answer["ETag"], checksum=answer.get("ChecksumCRC32"))

    def complete(self, parts: Sequence[Part], *, over: Version | None = None) -> str:
        """Make the object visible, and return its ETag; ConditionError where the key does not hold `over`."""
        listed: list[Any] = [
            {"PartNumber": part.number, "ETag": part.etag}
            | ({"ChecksumCRC32": part.checksum} if part.checksum is not None else {})
            for part in parts
        ]
        with self._bucket._translated(self._key, over):
            answer = self._bucket._client.complete_multipart_upload(
                **self._at(), MultipartUpload={"Parts": listed}, **_condition(over)
            )
            return _bare(answer)

    def abort(self) -> None:
        """Forget the parts; nothing happens where that is done already."""
        with suppress(ConditionError), self._bucket._translated(self._key):
            self._bucket._client.abort_multipart_upload(**self._at())

    def _at(self) -> Any:
        return {**self._bucket._at(self._key), "UploadId": self._id}


def _condition(over: Version | None) -> Any:
    if over is None:
        return {}
    return {"IfNoneMatch": "*"} if over.etag is None else {"IfMatch": over.etag}


def _bare(answer: Any) -> str:
    """The ETag without quotes; empty for what JuiceFS takes for a folder."""
    return str(answer.get("ETag", "")).strip('"')


def _headers(answer: Any) -> Mapping[str, str]:
    """Those of HTTP, with small letters."""
    headers: Mapping[str, str] = answer["ResponseMetadata"].get("HTTPHeaders", {})
    return headers


def _clock(headers: Mapping[str, str]) -> datetime | None:
    try:
        clock = email.utils.parsedate_to_datetime(headers.get("date", ""))
    except ValueError:
        return None
    return clock if clock.tzinfo is not None else None


def _info(answer: Any) -> Info:
    return Info(
        size=answer["ContentLength"],
        etag=_bare(answer),
        modified=answer["LastModified"],
        date=_clock(_headers(answer)),
        headers=ObjectHeaders(
            content_type=answer.get("ContentType", ""),
            cache_control=answer.get("CacheControl", ""),
            metadata=dict(answer.get("Metadata", {})),
            content_encoding=answer.get("ContentEncoding") or None,
        ),
    )


@contextmanager
def _translated(url: str, key: Key | None, over: Version | None = None, *, is_summed: bool = False) -> Iterator[None]:
    """`over` is not None for a write under a condition: a missing key then means that the condition is not met.

    `is_summed` is for a request with a checksum, which a server may refuse for that alone.
    """
    try:
        yield
    except boto.ClientError as error:
        said, meta = error.response.get("Error", {}), error.response.get("ResponseMetadata", {})
        fault = answered(
            said.get("Code", ""),
            meta.get("HTTPStatusCode", 0),
            said.get("Message", ""),
            key=key,
            url=url,
            is_summed=is_summed,
        )
        if over is not None and isinstance(fault, KeyMissingError):
            fault = ConditionError(key)
        raise fault from None
    except _UNCREDENTIALED as error:
        raise TargetError(
            f"no credentials ({name_of(error)}); set `profile` in [target.s3], the AWS_… variables, or a role "
            f"(target {url})",
            key=key,
        ) from None
    except _UNREACHABLE as error:
        raise TargetError(
            f"the server does not answer ({reason_of(error)}; no retry helped); check `endpoint` and the "
            f"network, and run again (target {url})",
            key=key,
        ) from None
    except boto.BotoCoreError as error:
        problem = str(error).partition("\n")[0][:_MAX_PROBLEM]
        raise TargetError(f"{name_of(error)}: {problem} (target {url})", key=key) from None
