"""What is to be pulled, from where, and what old image was named for it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import DeltapressError
from ..keys import manifest_key
from ..limits import Limits
from ..oci.descriptor import Platform
from ..oci.digest import Digest
from ..oci.manifest import Document
from ..progress import Progress
from ..targets.base import KeyMissingError, ReadableTarget
from .images import RemoteImage, image_of, resolve
from .reference import ImageName
from .repository import Repository, UnknownImageError
from .sources import OldImage, root_image


class NoSourceError(DeltapressError):
    """What was named as the folder of the old image cannot be one."""

    def __init__(self, root: Path) -> None:
        super().__init__(f"{root}: is no folder; --root names where the files of the old image are")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to pull.

    `repositories` are where `name` may be in `target`, the likeliest first. `root` is a folder with the files of the
    image `source`, which is its manifest or an index that leads to it.
    """

    name: ImageName
    target: ReadableTarget
    repositories: tuple[str, ...]
    platform: Platform
    limits: Limits
    root: Path | None = None
    source: Digest | None = None
    is_dry: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """The repository that has the image, and where the name leads to there, as far as that is told for nothing."""

    repository: Repository
    root: Digest | None


def locate(request: Request) -> Located:
    """Find the repository, with one look at each. Raises UnknownImageError, TargetError."""
    reference = request.name.reference
    for name in request.repositories:
        stored = request.target.stat(manifest_key(name, reference))
        if stored is not None:
            said = stored.headers.digest if stored.headers is not None else None
            root = reference if isinstance(reference, Digest) else said
            return Located(repository=Repository(target=request.target, name=name), root=root)
    raise UnknownImageError(request.target, str(request.name))


def read_root(request: Request, located: Located) -> Document:
    """The manifest or index that the name leads to. Raises UnknownImageError, WrongContentError, TargetError."""
    try:
        return located.repository.document(request.name.reference)
    except KeyMissingError as error:
        raise UnknownImageError(request.target, str(request.name)) from error


def wanted_image(request: Request, located: Located, root: Document) -> RemoteImage:
    """The image that `root` is or has. Raises as `resolve`."""
    return image_of(located.repository, root, request.platform, name=str(request.name))


def named_source(request: Request, repository: Repository, progress: Progress) -> Iterator[OldImage]:
    """The old image whose files were named, if the registry still tells what it is.

    Raises:
        NoSourceError: the folder is none.
    """
    if request.root is None or request.source is None:
        return
    if not request.root.is_dir():
        raise NoSourceError(request.root)
    try:
        old = resolve(repository, request.source, request.platform, name=str(request.source))
    except DeltapressError as error:
        progress.step(f"no delta from {request.root}: {error}")
        return
    yield root_image(request.root, old.record, digests=(old.manifest.digest,))
