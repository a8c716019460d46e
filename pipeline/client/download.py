"""A blob into a file, continued where an earlier run was killed."""

import os
from pathlib import Path
from typing import BinaryIO

from ..content import CHUNK, chunks
from ..keys import Key
from ..oci.descriptor import Descriptor
from ..oci.digest import Hasher
from ..progress import Task
from ..targets.base import ReadableTarget, ResumableTarget, TargetError
from .repository import Repository, WrongContentError


def download(repository: Repository, blob: Descriptor, file: Path, task: Task) -> int:
    """Have all of `blob`, verified, in `file`; return how many bytes came for that.

    What `file` already holds is taken for its beginning. The bytes of a run that is killed stay there.

    Raises:
        TargetError: it cannot be read, or ends too early.
        WrongContentError: it has another digest; then `file` is removed.
    """
    has_begun = file.exists() and 0 < file.stat().st_size <= blob.size
    try:
        return _download(repository, blob, file, task, is_fresh=not has_begun)
    except WrongContentError:
        if not has_begun:
            raise
    return _download(repository, blob, file, task, is_fresh=True)  # its beginning was damaged


def _download(repository: Repository, blob: Descriptor, file: Path, task: Task, *, is_fresh: bool) -> int:
    key = repository.key_of(blob)
    hasher = blob.digest.new_hasher()
    with file.open("wb" if is_fresh else "r+b") as out:
        have = sum(_hashed(data, hasher) for data in chunks(out)) if not is_fresh else 0
        task.advance(have)
        came = _append(repository.target, key, have, blob.size, out, hasher, task) if have < blob.size else 0
    if hasher.hexdigest() != blob.digest.hex:
        file.unlink()
        raise WrongContentError(repository.target, key, "what is there has another digest")
    return came


def _append(target: ReadableTarget, key: Key, start: int, end: int, out: BinaryIO, hasher: Hasher, task: Task) -> int:
    position = start
    with open_from(target, key, start) as stream:
        while data := stream.read(min(CHUNK, end + 1 - position)):
            position += len(data)
            if position > end:
                raise WrongContentError(target, key, f"has more than the promised {end:,} bytes")
            _hashed(data, hasher)
            out.write(data)
            task.advance(len(data))
    if position < end:
        raise TargetError(f"ends after {position:,} of {end:,} bytes; run again", key=key)
    return position - start


def open_from(target: ReadableTarget, key: Key, start: int) -> BinaryIO:
    """`target.open`, from the byte `start` on; what cannot seek is read up to there. Raises as it does."""
    if isinstance(target, ResumableTarget):
        return target.open_from(key, start)
    stream = target.open(key)
    try:
        if stream.seekable():
            stream.seek(start, os.SEEK_SET)
        else:
            left = start
            while left and (data := stream.read(min(CHUNK, left))):
                left -= len(data)
    except BaseException:  # whoever gets no stream closes none
        stream.close()
        raise
    return stream


def _hashed(data: bytes, hasher: Hasher) -> int:
    hasher.update(data)
    return len(data)
