"""What a bucket answers, and what kept it from answering, in our words.

Rule. The texts of a refusal (status 401 and 403) are ours alone: what a server says there may repeat a credential.
      Other texts of a server are cut short and made printable, and what could be a key or a token is left out.
"""

import re
from typing import Final

from ..base import KeyMissingError, TargetError
from ..objects.store import ConditionError, UnsupportedError

_MAX_MESSAGE: Final = 160
# long words of which a digit, a sign of base64 or of a query is part; the shortest key of AWS has 16 characters
_SECRET: Final = re.compile(r"(?=[^\s]*[0-9+/=%])[\w+/=%-]{16,}")
_MISSING: Final = frozenset({"NoSuchKey", "NotFound", "404"})
_CONDITION: Final = frozenset({"PreconditionFailed", "412", "ConditionalRequestConflict", "NoSuchUpload"})
_EXPIRED: Final = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"})
_REFUSED: Final = frozenset({"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "InvalidClientTokenId"})
_BUSY: Final = frozenset({"SlowDown", "ServiceUnavailable", "503", "Throttling", "RequestLimitExceeded", "429"})
_FULL: Final = frozenset({"QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "507"})
# What servers say to a checksum that they do not know: Cloudflare and Swift, Backblaze, older MinIO and Ceph, Google.
_UNKNOWN_SUM: Final = frozenset(
    {
        *("NotImplemented", "501", "InvalidArgument", "InvalidRequest", "BadRequest", "400", "MissingContentLength"),
        *("XAmzContentSHA256Mismatch", "SignatureDoesNotMatch", "MalformedTrailerError", "BadDigest"),
    }
)
_SUM: Final = re.compile("checksum|trailer|chunked|content-sha256", re.IGNORECASE)
SWITCH: Final = (
    "set AWS_REQUEST_CHECKSUM_CALCULATION=when_required, or request_checksum_calculation = when_required in the profile"
)
_KEPT: Final = "what is complete was kept"


def answered(
    code: str, status: int, message: str, *, key: str | None, url: str, is_summed: bool = False
) -> TargetError:
    """The error for an answer: S3's error `code`, the HTTP `status`, and the text of the server.

    `is_summed` where the request had a checksum, for which servers that know none have many errors.
    """
    if code in _MISSING and key is not None:
        return KeyMissingError(key)
    if code in _CONDITION:
        return ConditionError(key)
    hint = f"; if it does not know the SDK's checksums, {SWITCH}" if is_summed and _may_be_sum(code, message) else ""
    if code == "NotImplemented" or status == 501:
        return UnsupportedError(f"the server does not implement this request{hint} (target {url})", key=key)
    return TargetError(f"{_advice(code, status, message)}{hint} (target {url})", key=key)


def _may_be_sum(code: str, message: str) -> bool:
    return code in _UNKNOWN_SUM or _SUM.search(message) is not None


def name_of(error: BaseException) -> str:
    """The kind of an error of the library, which holds no secret, unlike its text."""
    return type(error).__name__.removesuffix("Error")


def reason_of(error: BaseException) -> str:
    """The kind of an error of the network, and what the system said of it: that knows neither URLs nor headers."""
    words = ""
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, OSError) and below.strerror:
            words = f": {below.strerror}"
        below = below.__cause__ or below.__context__
    return name_of(error) + words


def _advice(code: str, status: int, message: str) -> str:
    if code == "NoSuchBucket" or (code in _MISSING and status == 404):
        return "there is no such bucket; create it, or correct `url` or `endpoint`"
    if code in _EXPIRED:
        return f"the credentials have expired; renew them and run again, {_KEPT}"
    if code in _REFUSED:
        return "the server does not know these credentials; check the profile or the AWS_… variables"
    if code == "RequestTimeTooSkewed":
        return "this machine's clock differs too much from the server's; set it right"
    if code in _FULL:
        return f"the storage is full; make room and run again, {_KEPT}"
    if code in _BUSY:
        return f"the server is overloaded ({_short(code)}), again and again; run again later, {_KEPT}"
    if status in {301, 307} or code in {"AuthorizationHeaderMalformed", "PermanentRedirect"}:
        return "the bucket is in another region; set `region` in [target.s3]"
    if status in {401, 403}:
        return (
            f"access denied ({_short(code)}); a publisher may s3:GetObject, s3:PutObject, s3:DeleteObject, "
            "s3:AbortMultipartUpload and s3:ListBucket (without the last, what is missing looks forbidden)"
        )
    return f"the server answered {status} {_short(code)}: {_short(message)}"


def _short(text: str) -> str:
    """A server's text, fit for one line of a log."""
    return "".join(char if char.isprintable() else " " for char in _SECRET.sub("…", text)[:_MAX_MESSAGE])
