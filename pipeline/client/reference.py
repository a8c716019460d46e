"""Names of images as podman, skopeo and docker write them: `HOST[:PORT]/PATH:TAG`, `…@DIGEST` (containers/image,
"docker/reference": normalised names)."""

from dataclasses import dataclass
from typing import Final, Self

from ..errors import DeltapressError, ExitCode
from ..oci.digest import Digest, DigestError
from ..oci.reference import NameGrammarError, check_repository, is_tag

_DOCKER_HUB: Final = "docker.io"
_DOCKER_HUB_SERVER: Final = "registry-1.docker.io"
_LATEST: Final = "latest"


class BadReferenceError(DeltapressError):
    """A text that names no image."""

    exit_code = ExitCode.BAD_CONFIGURATION

    def __init__(self, text: str, problem: str) -> None:
        super().__init__(f"{text[:200]!r}: {problem}; write HOST/NAME:TAG or HOST/NAME@sha256:…")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageName:
    """`host` with its port, empty where none was given; the `repository` there; a `tag`, a `digest`, or both, of which
    the digest counts."""

    host: str
    repository: str
    tag: str | None
    digest: Digest | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what a person wrote. Without tag and digest, the tag is `latest`.

        Raises:
            BadReferenceError: it names no image.
        """
        if "://" in text:
            raise BadReferenceError(text, "an image has no scheme (`--from http://HOST` reaches one without TLS)")
        name, at, digest_text = text.partition("@")
        try:
            digest = Digest.parse(digest_text) if at else None
        except DigestError as error:
            raise BadReferenceError(text, str(error)) from error
        head, colon, tag = name.rpartition(":")
        if not colon or "/" in tag:
            head, tag = name, "" if digest is not None else _LATEST
        if tag and not is_tag(tag):
            raise BadReferenceError(text, f"{tag[:130]!r} is no tag")
        first, slash, rest = head.partition("/")
        host, repository = (first, rest) if slash and _is_host(first) else ("", head)
        if (host and not (host.isascii() and host.isprintable())) or set(host) & set(" @?#\\"):
            raise BadReferenceError(text, f"{host[:80]!r} is no host")
        try:
            check_repository(repository)
        except NameGrammarError as error:
            raise BadReferenceError(text, str(error)) from error
        return cls(host=host, repository=repository, tag=tag or None, digest=digest)

    @property
    def reference(self) -> str | Digest:
        """What a registry is asked for."""
        return self.digest if self.digest is not None else (self.tag or _LATEST)

    @property
    def _qualified(self) -> tuple[str, str]:
        """Host and repository with what docker's short names leave out."""
        host = self.host or _DOCKER_HUB
        is_short = host == _DOCKER_HUB and "/" not in self.repository
        return host, f"library/{self.repository}" if is_short else self.repository

    @property
    def registry_url(self) -> str:
        """The base URL of the registry that is meant."""
        host, _ = self._qualified
        return f"https://{_DOCKER_HUB_SERVER if host == _DOCKER_HUB else host}"

    @property
    def registry_repository(self) -> str:
        """The repository there."""
        return self._qualified[1]

    @property
    def names_in_tree(self) -> tuple[str, ...]:
        """Which repositories of a mirror may be meant, the likeliest first: a tree may have the host in its names."""
        with_host = (f"{self.host}/{self.repository}",) if self.host and ":" not in self.host else ()
        return (self.repository, *with_host)

    @property
    def full(self) -> str:
        """The whole name, as a container runtime takes it: `HOST/NAME:TAG` or `HOST/NAME@DIGEST`."""
        host, repository = self._qualified
        return f"{host}/{repository}" + (f"@{self.digest}" if self.digest is not None else f":{self.tag}")

    def __str__(self) -> str:
        name = f"{self.host}/{self.repository}" if self.host else self.repository
        return name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest is not None else "")


def _is_host(first: str) -> bool:
    """docker's rule: what has a dot or a port, or is the machine itself."""
    return "." in first or ":" in first or first == "localhost"
