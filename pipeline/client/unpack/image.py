"""An image's files in a folder: written into a new one beside it, which takes its place when it is whole.

Rule. What a folder holds is remembered in a small file beside it, `.NAME.deltapress`. A folder without one is somebody
      else's, and is not replaced, unless it is empty.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Final, cast

from ...compression import decompressed
from ...content import FileContent
from ...errors import DeltapressError
from ...limits import Limits
from ...oci.digest import Digest
from ...progress import Progress
from ...tardiff.layer.tar import TarReader
from ...text import one_line
from .layer import Unpacking
from .rooted import Place, Root, remove_tree

_MAX_NOTE: Final = 200


class ForeignFolderError(DeltapressError):
    """What is in the place of the files was not unpacked by us."""


def holds(folder: Path, config: Digest) -> bool:
    """True where `folder` has the files of the image with that configuration."""
    note = _note(folder)
    return folder.is_dir() and note.is_file() and note.read_text("utf-8", "replace")[:_MAX_NOTE] == str(config)


def unpack_image(layers: Sequence[Path], config: Digest, folder: Path, *, limits: Limits, progress: Progress) -> None:
    """Have the files of `layers`, tars that may be compressed, the lowest first, in `folder`.

    Raises:
        ForeignFolderError: something else is there.
        UnpackError, TarError, CompressionError: a layer cannot be unpacked.
        OSError: the disk is full, say.
    """
    folder = folder.absolute()
    note = _note(folder)
    if not note.is_file() and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ForeignFolderError(
            f"{folder}: is not empty, and was not unpacked by deltapress; name a folder that may be replaced"
        )
    new, old = (folder.with_name(f".{folder.name}.{ending}") for ending in ("new", "old"))
    folder.parent.mkdir(parents=True, exist_ok=True)
    if note.is_file():  # then these two are ours, too
        if old.exists() and not folder.exists():
            old.rename(folder)
        for leftover in (new, old):
            _remove(leftover)
    else:
        note.write_text("", "utf-8")
    new.mkdir(mode=0o700)
    try:
        _write(new, layers, limits, progress)
    except BaseException:  # a disk that it has filled is needed, after an interrupt too
        _remove(new)
        raise
    os.sync()  # what the note calls whole must be that after a power cut; a call for each file would take longer
    note.write_text("", "utf-8")  # in between, the folder holds what nobody has noted
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    note.write_text(str(config), "utf-8")
    _remove(old)


def _write(folder: Path, layers: Sequence[Path], limits: Limits, progress: Progress) -> None:
    with Root(folder) as root, progress.task("unpack", len(layers)) as task:
        unpacking = Unpacking(root, is_root=os.geteuid() == 0)
        for layer in layers:
            size = layer.stat().st_size
            stored = FileContent(path=layer, size=size).open()
            with stored, decompressed(stored, max_bytes=max(limits.layer_of(size), size)) as tar:
                unpacking.layer(TarReader(cast(BinaryIO, tar)))
            task.advance()
        unpacking.finish()
        if () not in unpacking.folders:
            folder.chmod(0o755)
    for what, count in sorted(unpacking.left_out.items()):
        progress.step(one_line(f"{folder}: {count:,} {what} were left out; only root can make all of them"))


def _note(folder: Path) -> Path:
    return folder.absolute().with_name(f".{folder.absolute().name}.deltapress")


def _remove(path: Path) -> None:
    above = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        remove_tree(Place(folder=above, name=os.fsencode(path.name), path=()))
    finally:
        os.close(above)
