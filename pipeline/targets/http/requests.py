"""Requests for keys below one base URL: with the right headers and credentials, and each refusal put into words."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from ...keys import Key, endpoint_of
from ...oci.fields import FieldError, Fields, parse_json_object
from ...oci.media_types import INDEXES, MANIFESTS
from ...text import one_line
from ..base import DeniedError, KeyMissingError, TargetError, TooLargeError
from .authorization import Authorization
from .connections import Answer, BrokenBodyError, Connections, host_of
from .credentials import find_login
from .options import HTTPOptions

ACCEPT: Final = ", ".join([*sorted(INDEXES | MANIFESTS), "*/*;q=0.1"])
_SAFE: Final = "/:@!$&'()*+,;=~"
_MAX_ERROR: Final = 65_536  # bytes of the body of a refusal
_MAX_SHOWN: Final = 200
_MAX_BREAKS: Final = 5


class Requests:
    """GET and HEAD below `base`, a URL that ends with '/'. Safe for threads."""

    def __init__(self, base: str, options: HTTPOptions) -> None:
        self.base = base
        self._connections = Connections(options)
        host = host_of(base)
        self._authorization = Authorization(
            self._connections, lambda name: find_login(options.credential_files, host, name), base
        )

    def url_of(self, key: str) -> str:
        return self.base + quote(key, safe=_SAFE)

    def send(
        self, key: Key, *, url: str | None = None, method: str = "GET", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """An answer of status 200 or 206. `url` is another than that of `key`, such as that of its next page.

        Raises:
            KeyMissingError: 404 or 410.
            DeniedError: 401 or 403, with what credentials there are.
            TargetError: any other answer, or none.
        """
        repository = repository_in(key)
        url = url or self.url_of(key)
        sent = {"Accept": ACCEPT, **(headers or {})}
        for _ in range(3):  # without, with what is known, and with what is new since that has expired
            used = self._authorization.known(repository)
            answer = self._connections.request(url, method=method, headers=sent, authorization=used)
            if answer.status in {200, 206}:
                return answer
            try:
                fresh = self._authorization.answer(answer, repository, used) if answer.status == 401 else None
                if fresh is None:
                    raise self._refusal(key, answer)
            finally:
                answer.close()
        raise DeniedError(f"{host_of(self.base)} takes none of its own tokens; try later", key=key)

    def read(self, key: Key, *, limit: int, url: str | None = None) -> tuple[Answer, bytes]:
        """A document of at most `limit` bytes, and the answer that it came with. Raises as `send`; TooLargeError."""
        for left in reversed(range(_MAX_BREAKS)):
            answer = self.send(key, url=url)
            encoding = answer.header("Content-Encoding") or "identity"
            data = b""
            try:
                if encoding.lower() != "identity":
                    raise TargetError(
                        f"{host_of(self.base)} compresses it ({one_line(encoding, most=40)}) though nobody asked; turn "
                        "that off in the server or the proxy before it",
                        key=key,
                    )
                while len(data) <= limit and (piece := answer.read(limit + 1 - len(data))):
                    data += piece
            except BrokenBodyError:
                if not left:
                    raise
                continue
            finally:
                answer.close()
            if len(data) > limit:
                raise TooLargeError(key, limit)
            return answer, data
        raise AssertionError  # the last round returns or raises

    def _refusal(self, key: Key, answer: Answer) -> TargetError:
        host, status = host_of(self.base), answer.status
        if status in {404, 410}:
            return KeyMissingError(key)
        said = _said(answer)
        if status in {401, 403}:
            return DeniedError(
                f"{host} denies access ({status}{said}); log in (podman login, skopeo login or docker login), or "
                "correct the name. Where it is a bucket that does not let everybody list it, the key may be missing",
                key=key,
            )
        if status == 429 or status >= 500:
            return TargetError(f"{host} is overloaded or broken ({status}{said}), again and again; try later", key=key)
        return TargetError(f"{host} answered {status}{said}", key=key)


def repository_in(key: str) -> str:
    """The repository that a key asks for; empty for what belongs to none."""
    if endpoint_of(key) is None:
        return ""
    return "/".join(key.split("/")[1:-2])


def _said(answer: Answer) -> str:
    """The registry's own words, where it has some (distribution-spec, "Error Codes")."""
    try:
        fields = Fields(parse_json_object(answer.read(_MAX_ERROR)))
        for error in fields.objects("errors"):
            return ", " + one_line(f"{error.text('code', '')} {error.text('message', '')}".strip(), most=_MAX_SHOWN)
    except (FieldError, BrokenBodyError):
        return ""
    return ""
