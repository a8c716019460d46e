"""Who we are to a registry: the files that `podman login`, `skopeo login` and `docker login` write.

Rule. A file's entry for the longest part of HOST/PATH wins, then the earlier file (containers-auth.json(5)); a helper
      that a file names for a host comes before its entries, a store for all hosts after them.
"""

import base64
import binascii
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from ...content import open_plain
from ...oci.fields import FieldError, Fields, parse_json_object
from ..base import TargetError
from .programs import ask_helper

_MAX_FILE: Final = 1 << 20
_DOCKER_HUB: Final = "docker.io"
_DOCKER_HUB_ALIASES: Final = frozenset({"index.docker.io", "registry-1.docker.io"})
# the name under which docker itself keeps what is for its hub
_DOCKER_HUB_SERVER: Final = "https://index.docker.io/v1/"
_TOKEN_USER: Final = "<token>"  # the secret beside it is an identity token


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A user with a password, or an identity token, which a token server exchanges. Never shown."""

    user: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)

    @property
    def basic(self) -> str:
        """The value of an Authorization header (RFC 7617)."""
        return f"Basic {base64.b64encode(f'{self.user}:{self.password}'.encode()).decode()}"


def find_login(files: Sequence[Path], host: str, repository: str) -> Login | None:
    """The login for `repository` at `host` (with its port, if any); None for nobody in particular.

    Raises:
        TargetError: a file cannot be read, or a credential helper fails.
    """
    host = _host_of(host)
    read = [(file, fields) for file in files if (fields := _read(file)) is not None]
    places = [host, *(f"{host}/{'/'.join(repository.split('/')[:end])}" for end in _lengths(repository))]
    for place in reversed(places):
        for file, entries in read:
            try:
                if (found := _in_file(entries, place, host)) is not None:
                    return found
            except FieldError as error:
                raise TargetError(f"{file}: {error}; log in again, or correct it") from error
    return None


def _lengths(repository: str) -> range:
    return range(1, repository.count("/") + 2) if repository else range(0)


def _host_of(text: str) -> str:
    """The host of an entry such as `https://index.docker.io/v1/`, which docker writes."""
    host = urlsplit(text).netloc if "://" in text else text.partition("/")[0]
    return _DOCKER_HUB if host in _DOCKER_HUB_ALIASES else host


def _read(file: Path) -> Fields | None:
    try:
        with open_plain(file.resolve()) as stream:  # a login file may be a link, such as a mounted secret
            raw = stream.read(_MAX_FILE + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise TargetError(f"{file}: cannot be read ({error.strerror}); it holds the credentials") from error
    if len(raw) > _MAX_FILE:
        raise TargetError(f"{file}: has more than {_MAX_FILE:,} bytes, so it is no file of credentials")
    if not raw.strip():
        return None
    try:
        return Fields(parse_json_object(raw))
    except FieldError as error:
        raise TargetError(f"{file}: {error}; it should hold credentials: log in again, or correct it") from error


def _in_file(fields: Fields, place: str, host: str) -> Login | None:
    helpers = fields.texts("credHelpers")
    if place == host:
        for name in _names_of(host):
            if helpers.get(name):
                return _from_helper(helpers[name], host)
    auths = fields.object("auths") if fields.has("auths") else None
    if auths is not None:
        for entry in _entries_for(auths, place, host):
            if (found := _login(auths.object(entry))) is not None:
                return found
    if place == host and fields.text("credsStore", ""):
        return _from_helper(fields.text("credsStore"), host)
    return None


def _entries_for(auths: Fields, place: str, host: str) -> Iterator[str]:
    if auths.has(place):
        yield place
    if place == host:
        yield from (name for name in auths.names() if name != place and _is_for(name, host) and auths.has(name))


def _is_for(entry: str, host: str) -> bool:
    """True for the ways in which docker names a host: with a scheme, or with the path of its old API."""
    path = entry.partition("://")[2].partition("/")[2] if "://" in entry else entry.partition("/")[2]
    return _host_of(entry) == host and path.strip("/") in {"", "v1", "v2"}


def _names_of(host: str) -> Iterator[str]:
    yield host
    if host == _DOCKER_HUB:
        yield _DOCKER_HUB_SERVER
        yield from sorted(_DOCKER_HUB_ALIASES)


def _from_helper(name: str, host: str) -> Login | None:
    answer = ask_helper(name, _DOCKER_HUB_SERVER if host == _DOCKER_HUB else host)
    if answer is None:
        return None
    user, secret = answer
    return Login(identity_token=secret) if user == _TOKEN_USER else Login(user=user, password=secret)


def _login(entry: Fields) -> Login | None:
    """None for an empty entry, which docker leaves where a store holds the secret."""
    token = entry.text("identitytoken", "")
    if token:
        return Login(identity_token=token)
    encoded = entry.text("auth", "")
    if not encoded:
        user, password = entry.text("username", ""), entry.text("password", "")
        return Login(user=user, password=password) if user else None
    try:
        user, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        colon = ""
    if not colon:
        raise entry.error("auth", "is not user:password in base64")
    return Login(user=user, password=password.strip("\0"))
