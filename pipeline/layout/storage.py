"""Where the files of a layout lie, and the error of whatever is wrong with them.

Rule 1. A name is made here or from a `Digest`, never from the layout's own text, so it cannot leave the layout; what
        lies under it can (a symbolic link), and is refused then.
Rule 2. Only regular files are content: a FIFO would hang the run, a device would never end.
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from ..content import Content, FileContent
from ..errors import DeltapressError
from ..oci.digest import DiffID, Digest
from ..text import one_line

REBUILD: Final = "The tool that made it wrote something wrong; build the image again."
COPY_AGAIN: Final = "Probably an interrupted copy. Copy the image into the layout again."
MAX_PROBLEM: Final = 1000  # characters


class LayoutError(DeltapressError):
    """Something is wrong with the layout at `path`.

    `problem` says what, `advice` what to do about it; `digest` and `tag` say which content and which ref are concerned,
    where one is.
    """

    def __init__(
        self, path: Path, problem: str, *, advice: str = "", digest: Digest | None = None, tag: str | None = None
    ) -> None:
        self.path, self.digest, self.tag = path, digest, tag
        # both may quote the layout's own words, of any length and with any control characters
        self.problem, self.advice = one_line(problem, most=MAX_PROBLEM), one_line(advice, most=MAX_PROBLEM)
        super().__init__(f"{path}: {self.problem}" + (f"\n  {self.advice}" if advice else ""))


def blob_name(digest: Digest | DiffID) -> str:
    """image-layout.md, "Blobs"."""
    return f"blobs/{digest.algorithm}/{digest.hex}"


class BlobSource(Protocol):
    """What images are read from: a layout, a repository of a published tree, or whatever else holds blobs."""

    @property
    def path(self) -> Path:
        """As the user wrote it, for messages."""
        ...

    def blob(self, digest: Digest) -> Content | None:
        """The bytes that stand under `digest`, which are not compared with it; None where there are none.

        Raises LayoutError for no plain file, and what the place itself raises.
        """
        ...


class Storage(BlobSource, Protocol):
    """The files of one layout."""

    def find(self, name: str) -> Content | None:
        """The file of that `/`-separated name; None where there is none. Raises LayoutError for no plain file."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryStorage:
    """A layout as its specification draws it."""

    path: Path
    root: Path

    @classmethod
    def at(cls, path: Path) -> "DirectoryStorage":
        """`path` itself may be a symbolic link; links inside must stay inside."""
        return cls(path=path, root=path.resolve())

    def blob(self, digest: Digest) -> Content | None:
        return self.find(blob_name(digest))

    def find(self, name: str) -> Content | None:
        try:
            real, status = self._followed(name)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise LayoutError(self.path, f"{name} cannot be read: {error.strerror or error}.") from error
        except RuntimeError as error:  # pathlib's word for a loop of links, until Python 3.13
            raise LayoutError(self.path, f"{name} is a symbolic link that leads to itself.") from error
        if not real.is_relative_to(self.root):
            raise LayoutError(
                self.path,
                f"{name} is a symbolic link that leads out of the layout.",
                advice="Put the file itself there; nothing outside of a layout is published.",
            )
        if not stat.S_ISREG(status.st_mode):
            raise LayoutError(self.path, f"{name} must be a file, not {_kind(status.st_mode)}.")
        return FileContent(path=real, size=status.st_size)

    def _followed(self, name: str) -> tuple[Path, os.stat_result]:
        """The file itself, behind any links. There are none in the way to `root`, so only the rest is looked at."""
        path = str(self.root)
        for part in name.split("/"):
            path = f"{path}/{part}"
            status = os.lstat(path)  # a Path for each part takes longer than the call
            if stat.S_ISLNK(status.st_mode):
                real = (self.root / name).resolve(strict=True)
                return real, real.stat()
        return Path(path), status


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a directory"
    return "a named pipe" if stat.S_ISFIFO(mode) else "a device or socket"


def read_small(storage: BlobSource, name: str, content: Content, *, limit: int) -> bytes:
    """All bytes of a document of at most `limit` bytes.

    Raises:
        LayoutError: it is larger, shrank meanwhile, or cannot be read.
    """
    if content.size > limit:
        raise LayoutError(storage.path, f"{name} is {content.size:,} bytes, but at most {limit:,} are read.")
    try:
        with content.open() as stream:
            data = stream.read(content.size)
    except OSError as error:
        raise LayoutError(storage.path, f"{name} cannot be read: {error.strerror or error}.") from error
    if len(data) != content.size:
        raise LayoutError(
            storage.path,
            f"{name} ends after {len(data):,} of {content.size:,} bytes.",
            advice="Was it being written? Try again when that is done.",
        )
    return data
