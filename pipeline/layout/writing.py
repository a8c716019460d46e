"""A layout that images come into, one after the other: a directory, as image-layout.md draws it.

Rule 1. One process writes at a time: the folder itself is locked, with a lock that ends with the process.
Rule 2. A blob gets its name when it is whole, verified by the caller, and flushed; `index.json` names it only then. So
        a reader, and whoever goes on after a kill or a power cut, sees the old state or the new one.
Rule 3. Entries of `index.json` that are not ours stay as they are, whatever stands in them.
Rule 4. What is unfinished lies in one folder of its own, under names that the caller chooses, and stays for the next
        run to go on with; so do the notes of blobs that no entry may lead to, of a killed run or of an old image.
"""

import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..errors import ExitCode
from ..oci.digest import Digest
from ..oci.fields import FieldError, Fields, parse_json_object
from ..oci.media_types import OCI_INDEX
from ..oci.writing import write_json
from .refs import INDEX, MARKER, MARKER_CONTENT, MAX_INDEX_SIZE
from .storage import DirectoryStorage, LayoutError, blob_name, read_small

_UNFINISHED: Final = ".deltapress-unfinished"
_SCRATCH: Final = "scratch"
_LOOSE: Final = "loose-"  # the beginning of a note's name; the digest of the blob follows


class LayoutHeldError(LayoutError):
    """Another process writes the layout."""

    exit_code = ExitCode.TARGET_FAILED


@dataclass(frozen=True, slots=True, kw_only=True)
class WritableLayout:
    """A layout whose lock is held; or one that is only looked at, and may be missing."""

    path: Path

    @property
    def storage(self) -> DirectoryStorage:
        """The same, for those who read layouts."""
        return DirectoryStorage.at(self.path)

    def blob_path(self, digest: Digest) -> Path:
        """Where the blob is, or would be."""
        return self.path / blob_name(digest)

    def unfinished(self, name: str) -> Path:
        """Where a file may grow that is to become a blob, or to help with one."""
        folder = self.path / _UNFINISHED
        folder.mkdir(exist_ok=True)
        return folder / name

    @property
    def scratch(self) -> Path:
        """A folder for what is needed while a run lasts; it may be missing, or hold what a killed run left."""
        return self.path / _UNFINISHED / _SCRATCH

    def clear_scratch(self) -> None:
        """Remove it."""
        shutil.rmtree(self.scratch, ignore_errors=True)

    def keep(self, file: Path, digest: Digest) -> None:
        """Make `file`, which holds the verified bytes of `digest`, a blob, and note that it may be loose."""
        self.note_loose([digest])
        place = self.blob_path(digest)
        place.parent.mkdir(parents=True, exist_ok=True)
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
        file.replace(place)
        _flush(place.parent)

    def write(self, data: bytes, digest: Digest) -> None:
        """Make `data`, a small document, the blob `digest`."""
        place = self.blob_path(digest)
        if not place.is_file() or place.read_bytes() != data:
            file = self.unfinished(f"{digest.algorithm}-{digest.hex}")
            file.write_bytes(data)
            self.keep(file, digest)

    def entries(self) -> tuple[Mapping[str, Any], ...]:
        """The entries of `index.json`, as they are. Raises LayoutError."""
        content = self.storage.find(INDEX)
        if content is None:
            return ()
        try:
            document = parse_json_object(read_small(self.storage, INDEX, content, limit=MAX_INDEX_SIZE))
            Fields(document).objects("manifests")
        except FieldError as error:
            raise LayoutError(self.path, f"{INDEX}: {error}.") from error
        return tuple(document.get("manifests") or ())

    def commit(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """Make `entries` those of `index.json`, at once; with the first, it is a layout."""
        if not (self.path / MARKER).exists():
            (self.path / MARKER).write_bytes(MARKER_CONTENT)
        new = self.unfinished(INDEX)
        with new.open("wb") as file:
            file.write(write_json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(entries)}))
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.path / INDEX)
        _flush(self.path)

    def forget_unfinished(self, *, but: Set[str] = frozenset()) -> None:
        """Remove what was not finished, with which nothing will go on; all of it, `but` for files of these names, and
        then for notes."""
        folder = self.path / _UNFINISHED
        if not but:
            shutil.rmtree(folder, ignore_errors=True)
        elif folder.is_dir():
            for file in folder.iterdir():
                if file.name not in but and not file.name.startswith(_LOOSE) and not file.is_dir():
                    file.unlink()

    def note_loose(self, digests: Iterable[Digest]) -> None:
        """Note blobs that no entry may lead to after this run, or if it is killed."""
        for digest in digests:
            self.unfinished(f"{_LOOSE}{digest}").touch()

    def remove_loose(self, kept: Set[Digest]) -> None:
        """Remove the blobs of which that was noted, now or by a run that was killed, but for those in `kept`."""
        folder = self.path / _UNFINISHED
        for note in folder.iterdir() if folder.is_dir() else ():
            if note.name.startswith(_LOOSE) and (digest := Digest.parse(note.name.removeprefix(_LOOSE))) not in kept:
                self.blob_path(digest).unlink(missing_ok=True)


@contextmanager
def writable_layout(path: Path) -> Iterator[WritableLayout]:
    """The layout at `path`, which is made where nothing is yet, for as long as the context. Where nothing came of it,
    the folder goes again.

    Raises:
        LayoutError: something else is there.
        LayoutHeldError: another process writes it.
        OSError: it cannot be made.
    """
    is_new = not path.exists()
    path.mkdir(parents=True, exist_ok=True)
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LayoutHeldError(
                path, "is being written by another process.", advice="Wait until it has finished."
            ) from None
        if not (path / INDEX).exists() and any(child.name not in _ours() for child in path.iterdir()):
            raise LayoutError(
                path, "is neither empty nor an OCI image layout.", advice="Name a folder of its own for the layout."
            )
        try:
            yield WritableLayout(path=path)
        finally:
            if is_new:
                with suppress(OSError):  # it is not empty, as a rule
                    path.rmdir()
    finally:
        os.close(folder)


def _ours() -> set[str]:
    """What a first run that was killed may have left."""
    return {MARKER, "blobs", _UNFINISHED}


def _flush(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # some file systems flush no folders
            os.fsync(handle)
    finally:
        os.close(handle)
