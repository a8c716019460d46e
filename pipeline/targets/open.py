"""From the URL in a configuration to a target: which kinds there are stands here and nowhere else."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from ..errors import DeltapressError, ExitCode
from .base import Target
from .directory import DirectoryTarget


class TargetURLError(DeltapressError):
    """A URL that names no target."""

    exit_code = ExitCode.BAD_CONFIGURATION

    def __init__(self, url: str, problem: str) -> None:
        self.url, self.problem = url, problem
        super().__init__(f"target {url!r}: {problem}")


def open_target(url: str, base: Path) -> Target:
    """The target of `url`: a path, relative to the folder `base`, or a `file:` URL (RFC 8089). Touches nothing yet.

    Raises:
        TargetURLError: of any other kind, or incomplete.
    """
    if url.startswith("file:"):
        return DirectoryTarget(_path_of(url))
    if "://" in url:
        raise TargetURLError(url, "is of no known kind; give the path of a folder, or file:///…")
    if not url or "\0" in url:
        raise TargetURLError(url, "is no path; give the path of a folder, or file:///…")
    return DirectoryTarget(base / url)


def _path_of(url: str) -> Path:
    parts = urlsplit(url)
    path = unquote(parts.path)
    if parts.netloc not in {"", "localhost"} or parts.query or parts.fragment or "\0" in path:
        raise TargetURLError(url, "has more than a path; write file:///path, with %23 for '#' and %3F for '?'")
    if not path.startswith("/"):
        raise TargetURLError(url, "has no absolute path; write file:///path, or a relative path without 'file:'")
    return Path(path)
