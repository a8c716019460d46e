"""What `[target.s3]` says. Credentials are not part of it: they come from boto3's standard chain alone."""

from dataclasses import dataclass
from typing import Final, Literal

Addressing = Literal["auto", "path", "virtual"]
Encryption = Literal["AES256", "aws:kms", "aws:kms:dsse"]
# the canned ones with which nobody else can write (S3 user guide, "Canned ACL")
ACL = Literal["private", "public-read", "authenticated-read", "bucket-owner-read", "bucket-owner-full-control"]

# bytes of a part, and of what goes up in one request (S3 user guide, "Amazon S3 multipart upload limits")
MIN_PART: Final = 5 << 20
MAX_PART: Final = 5 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Options:
    """How to reach a bucket, and how objects are stored in it. Times in seconds, sizes in bytes.

    None leaves a matter to the SDK's own configuration, or to the bucket. `cache_control` is appended to ours.
    A blob above `multipart_threshold` is sent in parts of that size: `concurrency` times it is what uploads hold in
    memory. `attempts` counts the first one.
    """

    endpoint: str | None = None
    region: str | None = None
    profile: str | None = None
    addressing: Addressing = "auto"
    storage_class: str | None = None
    sse: Encryption | None = None
    sse_kms_key: str | None = None
    acl: ACL | None = None
    cache_control: str | None = None
    concurrency: int = 8
    multipart_threshold: int = 16 << 20
    connect_timeout: int = 10
    read_timeout: int = 60
    attempts: int = 6
