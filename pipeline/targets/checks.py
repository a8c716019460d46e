"""What every target checks before it believes its caller.

Keys are made by `keys` from validated names; they are checked here again, because a mistake anywhere else must not
become a file outside of the tree.
"""

from collections.abc import Iterator
from typing import Final

from ..content import CHUNK, Content
from ..keys import PING_FOLDER_KEY, Key
from ..oci.digest import Digest
from .base import LOCK_KEY, TEMPORARY_PREFIX, ContentChangedError, TargetError

MAX_KEY: Final = 1024  # bytes; the limit of S3 (user guide, "Object key naming guidelines")


def is_key(text: str) -> bool:
    """True for what a caller may put, delete and be shown."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:  # a file name that is not UTF-8 reads as surrogates
        return False
    parts = text.split("/")
    return (
        size <= MAX_KEY
        and text.isprintable()
        and not any(part in {"", ".", ".."} for part in parts)
        and not parts[-1].startswith(TEMPORARY_PREFIX)
        and text != LOCK_KEY
    )


def check_key(key: Key) -> list[str]:
    """The parts of `key`.

    Raises:
        TargetError: it is empty, absolute, too long, has an empty part, `..` or a control character, or is one of the
            names that belong to the target.
    """
    if not is_key(key):
        raise TargetError(
            f"{key[:80]!r} cannot be a key: it must be up to {MAX_KEY} bytes of printable names joined by '/', "
            f"none of them '.' or '..', nor {LOCK_KEY}, nor {TEMPORARY_PREFIX}…; this is a mistake in the program"
        )
    return key.split("/")


def is_object_key(text: str) -> bool:
    """`is_key` for a store without folders, which answers /v2/ with a key of that name."""
    return text == PING_FOLDER_KEY or is_key(text)


def check_object_key(key: Key) -> None:
    """`check_key` for a store without folders. Raises TargetError."""
    if key != PING_FOLDER_KEY:
        check_key(key)


def verified(key: Key, content: Content, digest: Digest) -> Iterator[bytes]:
    """All of `content` in chunks, reading one byte too many at most; commit nothing before the iterator has ended.

    Raises:
        ContentChangedError: its size or digest is not the promised one, or it cannot be read.
    """
    hasher, left = digest.new_hasher(), content.size
    try:
        with content.open() as stream:
            while data := stream.read(min(CHUNK, left + 1)):
                left -= len(data)
                if left < 0:
                    raise _changed(key, f"has more than the promised {content.size:,} bytes")
                hasher.update(data)
                yield data
    except OSError as error:
        raise _changed(key, f"cannot be read ({error})") from error
    if left:
        raise _changed(key, f"has {content.size - left:,} bytes instead of the promised {content.size:,}")
    if hasher.hexdigest() != digest.hex:
        raise _changed(key, f"does not have the digest {digest}")


def _changed(key: Key, fault: str) -> ContentChangedError:
    return ContentChangedError(
        f"what was to be stored {fault}; its source is damaged or was changed meanwhile: restore it and run again",
        key=key,
    )
