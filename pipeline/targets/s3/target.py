"""A bucket that speaks S3, under the rules of `objects`."""

from dataclasses import replace
from typing import Final

from ..objects.lease import Times
from ..objects.target import ObjectTarget, Transfers
from .bucket import Bucket, open_sdk
from .options import S3Options

_MAX_COPY: Final = 5 << 30  # bytes in one request (API reference, CopyObject)
_LOCK_TIMEOUT: Final = 20  # seconds


class S3Target(ObjectTarget):
    """The objects of `bucket` below `prefix`; `max_copy` is the size above which a copy is made in parts."""

    def __init__(
        self, bucket: str, prefix: str, options: S3Options, *, times: Times | None = None, max_copy: int = _MAX_COPY
    ) -> None:
        sdk = open_sdk(options)
        # on its own: a renewal must not queue behind the brake that botocore puts on after a 503
        lock_options = replace(options, read_timeout=min(options.read_timeout, _LOCK_TIMEOUT), concurrency=1)
        super().__init__(
            lambda guard: Bucket(bucket, prefix, options, sdk, guard=guard, is_for_many=True),
            Bucket(bucket, prefix, lock_options, sdk),
            Transfers(
                concurrency=options.concurrency,
                part=options.multipart_threshold,
                max_copy=max_copy,
                cache_control=options.cache_control,
            ),
            times=times,
        )
