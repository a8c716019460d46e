"""Access logs -> requests for manifests, line by line.

Rule 1. Three forms are told by their lines: the combined log of nginx and Apache, and all that begins like it; the
        server access log of S3, which has the time in brackets and the request in quotes, too; and the standard log of
        CloudFront, whose `#Fields` names its columns.
Rule 2. Only a GET that was answered with 200 or 304 counts: then the client has the manifest. A HEAD asks whether there
        is something new.
Rule 3. What is not such a line is passed over: logs are cut, rotated and mixed. A line above 64 KiB is passed over
        without being held.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO, Final
from urllib.parse import unquote

_MAX_LINE: Final = 1 << 16
_LINE: Final = re.compile(
    rb"\[(\d{2}/[A-Z][a-z]{2}/\d{4}:\d{2}:\d{2}:\d{2} [+-]\d{4})\](?: [^ \"]{1,2000}){0,8}"
    rb' "GET ([^ "]{1,4000})(?: HTTP/[0-9.]{1,3})?" (\d{3}) '
)
_MONTHS: Final = {
    name: number
    for number, name in enumerate(
        (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"), start=1
    )
}
_ANSWERED: Final = frozenset({b"200", b"304"})
_FIELDS: Final = b"#Fields:"
_COLUMNS: Final = (b"date", b"time", b"cs-method", b"cs-uri-stem", b"sc-status")
_MANIFESTS: Final = "/manifests/"


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestRequest:
    """A manifest that a client got. `path` is decoded, and leads from some root to `v2/NAME/manifests/REFERENCE`."""

    time: datetime
    path: str

    def names(self) -> Iterator[tuple[str, str]]:
        """The repository and the reference that may be meant: more than one where a prefix has a `v2/` too."""
        start = 0
        while (start := self.path.find("/v2/", start)) >= 0:
            name, found, reference = self.path[start + 4 :].rpartition(_MANIFESTS)
            if found and name and reference:
                yield name, reference
            start += 1


def manifest_requests(log: BinaryIO) -> Iterator[ManifestRequest]:
    """Those of one log, decompressed. Raises what reading it raises."""
    columns: Sequence[bytes] | None = None
    for line in _lines(log):
        if line.startswith(_FIELDS):
            columns = line[len(_FIELDS) :].split()
        elif b"manifests" not in line:
            continue
        elif (found := _of_cloudfront(line, columns) if columns else _of_server(line)) is not None:
            yield found


def _lines(log: BinaryIO) -> Iterator[bytes]:
    is_rest = False
    while line := log.readline(_MAX_LINE):
        is_whole = line.endswith(b"\n") or len(line) < _MAX_LINE
        if is_whole and not is_rest:
            yield line
        is_rest = not is_whole


def _of_server(line: bytes) -> ManifestRequest | None:
    match = _LINE.search(line)
    if match is None or match[3] not in _ANSWERED:
        return None
    return _request(_server_time(match[1]), match[2])


def _of_cloudfront(line: bytes, columns: Sequence[bytes]) -> ManifestRequest | None:
    values = dict(zip(columns, line.rstrip(b"\r\n").split(b"\t"), strict=False))
    date, time, method, path, status = (values.get(name, b"") for name in _COLUMNS)
    if method != b"GET" or status not in _ANSWERED:
        return None
    try:
        moment = datetime.fromisoformat(f"{date.decode()}T{time.decode()}+00:00")
    except ValueError:
        return None
    return _request(moment, path)


def _server_time(text: bytes) -> datetime | None:
    day, month, rest = text.split(b"/", 2)
    year, clock = rest.split(b":", 1)
    try:
        moment = f"{year.decode()}-{_MONTHS[month]:02}-{day.decode()}T{clock[:8].decode()}{clock[9:].decode()}"
        return datetime.strptime(moment, "%Y-%m-%dT%H:%M:%S%z").astimezone(UTC)
    except (KeyError, ValueError, OverflowError):
        return None


def _request(time: datetime | None, target: bytes) -> ManifestRequest | None:
    path = target.partition(b"?")[0].decode("ascii", "replace")
    # CloudFront encodes what was encoded already
    path = unquote(unquote(path))
    if time is None or _MANIFESTS not in path or "/v2/" not in path:
        return None
    return ManifestRequest(time=time, path=path)
