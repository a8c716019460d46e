"""The files of an image that has no folder of its own to be read from: a stopped container of it, exported.

Rule 1. Only what can be a source of a delta is kept: regular files, and hard links to them. No symbolic link is made,
        so no name of the image leads out of the folder.
Rule 2. They leave a tenth of what is free on the disk, whatever else their limit is.
"""

import os
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ...content import CHUNK
from ...scratch import scratch_folder
from .commands import Program
from .contract import ContainerRuntimeError


class ExportError(ContainerRuntimeError):
    """The files could not be laid out."""

    def __init__(self, image: str, problem: str) -> None:
        super().__init__(f"image {image}: {problem}")


@contextmanager
def exported(program: Program, image: str, *, max_bytes: int, place: Path | None) -> Iterator[Path]:
    """The files of `image` in a temporary folder in `place`, by the commands that docker and podman share.

    Raises:
        ContainerRuntimeError: the runtime refused, or the files have more than `max_bytes` or than there is room for.
    """
    try:
        with scratch_folder(place) as folder:
            # it is never started, so any command will do; images without one of their own want some
            answer = program.ask("create", "--pull=never", "--network=none", image, "none")
            container = answer.decode("utf-8", "replace").strip()
            try:
                files = folder / "files"
                files.mkdir()
                room = shutil.disk_usage(files).free
                with program.reading("export", container) as stream:
                    _extract(stream, files, image=image, most=min(max_bytes, room - room // 10))
                    while stream.read(CHUNK):  # what comes after the end of a tar; unread, it would fail the command
                        pass
            finally:
                program.ask("rm", "--volumes", container)
            yield files
    except (OSError, tarfile.TarError) as error:
        raise ExportError(image, str(error)) from error


def _extract(stream: BinaryIO, folder: Path, *, image: str, most: int) -> None:
    left = most
    with tarfile.open(fileobj=stream, mode="r|", errors="surrogateescape") as archive:
        for member in archive:
            if not (member.isreg() or member.islnk()):
                continue
            path = _place(folder, member.name)
            if path is None:
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            if member.islnk():
                first = _place(folder, member.linkname)
                if first is not None and first.is_file():
                    os.link(first, path)
                continue
            left -= member.size
            if left < 0:
                raise ExportError(image, f"its files have more than the {most:,} bytes that are allowed, or free")
            content = archive.extractfile(member)
            assert content is not None  # it is a regular file
            with content, path.open("xb") as out:
                shutil.copyfileobj(content, out, CHUNK)


def _place(folder: Path, name: str) -> Path | None:
    """Where the file of this name goes; None for a name that no source can have."""
    parts = name.removeprefix("./").split("/")
    return None if set(parts) & {"", ".", ".."} else folder.joinpath(*parts)
