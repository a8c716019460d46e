"""Images by the commands to which docker and podman answer alike: `image ls`, `image inspect` and `pull`."""

from typing import Final

from ...oci.digest import Digest, DigestError
from ...oci.fields import Fields
from .commands import LONG, CommandFailedError, Program
from .contract import InstalledImage

_AT_ONCE: Final = 100  # images that one command is asked for


def all_images(program: Program) -> tuple[InstalledImage, ...]:
    """All images of a runtime, each once. Raises ContainerRuntimeError."""
    answer = program.ask("image", "ls", "--quiet", "--no-trunc").decode("utf-8", "replace")
    identities = tuple(dict.fromkeys(answer.split()))
    found: list[InstalledImage] = []
    for start in range(0, len(identities), _AT_ONCE):
        found += _inspect(program, *identities[start : start + _AT_ONCE])
    return tuple(found)


def pull(program: Program, reference: str) -> tuple[Digest, ...]:
    """Pull `reference`; the digests by which the runtime knows it then. Raises ContainerRuntimeError."""
    program.ask("pull", "--quiet", reference, seconds=LONG)
    found = _inspect(program, reference)
    if len(found) != 1:
        command = program.shown(("image", "inspect", reference))
        raise CommandFailedError(command, f"answers with {len(found)} images instead of one")
    return found[0].digests


def _inspect(program: Program, *images: str) -> tuple[InstalledImage, ...]:
    """These images, by identity or name. Raises ContainerRuntimeError."""
    return program.ask_json("image", "inspect", *images, read=_installed)


def _installed(fields: Fields) -> InstalledImage:
    identity = fields.text("Id")
    names = fields.list_of_texts("RepoDigests")
    digests = [_digest(fields, "RepoDigests", name.rpartition("@")[2]) for name in names]
    if fields.text("Digest", ""):  # podman's, also of an image that was never pulled
        digests.append(fields.digest("Digest"))
    rootfs = fields.object("RootFS")
    return InstalledImage(
        identity=identity,
        names=fields.list_of_texts("RepoTags"),
        digests=tuple(dict.fromkeys(digests)),
        config=_digest(fields, "Id", identity if ":" in identity else f"sha256:{identity}"),
        diff_ids=rootfs.diff_ids("Layers") if rootfs.has("Layers") else (),
    )


def _digest(fields: Fields, name: str, text: str) -> Digest:
    try:
        return Digest.parse(text)
    except DigestError as error:
        raise fields.error(name, str(error)) from error
