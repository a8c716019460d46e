"""The Authorization that a registry asks for: basic, or a token from the server that it names.

Sources: distribution-spec, "Authentication"; distribution's docs/content/spec/auth/{token,oauth}.md.
"""

import threading
from collections.abc import Callable
from typing import Final
from urllib.parse import urlencode, urlsplit

from ...oci.fields import FieldError, Fields, parse_json_object
from ..base import TargetError
from .challenge import Challenge, parse_challenges
from .connections import Answer, Connections, host_of, joined
from .credentials import Login

_MAX_TOKEN: Final = 1 << 20


class Authorization:
    """What is sent to one registry, by repository: nothing until it has asked. Safe for threads."""

    def __init__(self, connections: Connections, login_of: Callable[[str], Login | None], url: str) -> None:
        self._connections, self._login_of, self._url = connections, login_of, url
        self._known: dict[str, str] = {}
        self._logins: dict[str, Login | None] = {}
        self._lock = threading.Lock()

    def known(self, repository: str) -> str | None:
        """The value of the header as it was answered last; None before."""
        return self._known.get(repository)

    def answer(self, refusal: Answer, repository: str, used: str | None) -> str | None:
        """The value that a 401 asks for, None where there is nothing new to say. `used` was refused just now.

        Raises:
            TargetError: the credentials, or the token server, failed.
        """
        with self._lock:
            known = self._known.get(repository)
            if known != used and known is not None:
                return known  # another thread has asked meanwhile
            for challenge in parse_challenges(refusal.headers("WWW-Authenticate")):
                if (value := self._meet(challenge, repository)) is not None and value != used:
                    self._known[repository] = value
                    return value
            return None

    def _meet(self, challenge: Challenge, repository: str) -> str | None:
        if challenge.scheme == "bearer":
            return f"Bearer {self._token(challenge, repository)}"
        if challenge.scheme == "basic" and (login := self._login(repository)) is not None and login.user:
            return login.basic
        return None

    def _login(self, repository: str) -> Login | None:
        if repository not in self._logins:
            self._logins[repository] = self._login_of(repository)
        return self._logins[repository]

    def _token(self, challenge: Challenge, repository: str) -> str:
        realm = joined(self._url, challenge.parameters.get("realm", ""))
        if urlsplit(realm).scheme not in ("https", urlsplit(self._url).scheme):
            raise TargetError(f"{host_of(self._url)}: names a token server without https, to which nothing is sent")
        login = self._login(repository)
        default = f"repository:{repository}:pull" if repository else ""
        asked = {
            name: value
            for name, value in (
                ("service", challenge.parameters.get("service", "")),
                ("scope", challenge.parameters.get("scope", default)),
            )
            if value
        }
        if login is not None and login.identity_token:
            form = {"grant_type": "refresh_token", "refresh_token": login.identity_token, "client_id": "deltapress"}
            answer = self._connections.request(realm, method="POST", form=form | asked)
        else:
            url = f"{realm}{'&' if urlsplit(realm).query else '?'}{urlencode(asked)}" if asked else realm
            answer = self._connections.request(url, authorization=None if login is None else login.basic)
        return _read_token(answer, realm, is_anonymous=login is None)


def _read_token(answer: Answer, realm: str, *, is_anonymous: bool) -> str:
    host = host_of(realm)
    try:
        if answer.status in {401, 403}:
            whom = "anonymous readers; log in" if is_anonymous else "this user; log in again"
            raise TargetError(f"{host}: gives no token to {whom} (podman login, skopeo login or docker login)")
        if answer.status != 200:
            raise TargetError(f"{host}: the token server answered {answer.status}; try again later")
        raw = b""
        while len(raw) <= _MAX_TOKEN and (data := answer.read(_MAX_TOKEN + 1 - len(raw))):
            raw += data
    finally:
        answer.close()
    try:
        if len(raw) > _MAX_TOKEN:
            raise FieldError("", f"has more than {_MAX_TOKEN:,} bytes")
        fields = Fields(parse_json_object(raw))
        token = fields.text("token", "") or fields.text("access_token", "")
        if not token.isascii() or not token.isprintable() or not token:
            raise fields.error("token", "is no token")
    except FieldError:
        # not quoted: a part of it may be a secret
        raise TargetError(f"{host}: the token server's answer cannot be read") from None
    return token
