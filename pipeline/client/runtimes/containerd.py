"""containerd: its content store keeps blobs, a snapshotter keeps layers by the chain of their DiffIDs.

A pull that unpacks as it fetches leaves out layers whose chain has a snapshot (containerd, core/unpack/unpacker.go). To
import the layers makes the snapshots; the pulled image then holds them, and the imported one goes.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from ...oci.digest import DiffID, Digest, DigestError
from ...oci.fields import FieldError
from ...oci.manifest import Index, Manifest, parse_document, parse_image_config
from ...scratch import scratch_folder
from .commands import LONG, CommandFailedError, Program
from .contract import InstalledImage, LayerPair
from .rebuilt import RebuiltImage

_FIRST_THAT_LOOKS: Final = 2  # the major version whose ctr looks what is there before it fetches
_DIGESTS: Final = ("sha256:", "sha512:")
_PLATFORMS: Final = 100  # of one index that are looked at


@dataclass(frozen=True, slots=True, kw_only=True)
class Containerd:
    """`program` is `ctr`, whose daemon and namespace its environment names. Old images are mounted in `place` (None:
    where temporary files are), which takes root."""

    program: Program
    place: Path | None = None

    @property
    def name(self) -> str:
        return "containerd"

    def obstacle(self) -> str | None:
        words = self._text("version").rpartition("Version:")[2].split()  # the daemon's, which comes last
        version = words[0] if words else "without a version"
        major = version.removeprefix("v").split(".")[0]
        if major.isdigit() and int(major) >= _FIRST_THAT_LOOKS:
            return None
        return f"containerd {version} fetches all layers before it looks which it has; 2.0 and later do not"

    def images(self) -> tuple[InstalledImage, ...]:
        blobs = set(self._text("content", "ls", "--quiet").split())
        chains = {line.split()[0] for line in self._text("snapshots", "ls").splitlines() if line.strip()}
        found: dict[Digest, InstalledImage] = {}
        for digest, names in self._names().items():
            try:
                images = list(self._images_of(digest, names, blobs))
            except FieldError:
                continue  # an artifact, or damaged: nothing that sources could be read from
            for image in images:
                if image.config and _chain_of(image.diff_ids) in chains:  # it is unpacked
                    have = found.get(image.config)
                    found[image.config] = image if have is None else replace(have, names=(*have.names, *image.names))
        return tuple(found.values())

    @contextmanager
    def mounted(self, image: InstalledImage) -> Iterator[Path]:
        try:
            with scratch_folder(self.place) as folder:
                files = folder / "files"
                files.mkdir()
                self.program.ask("images", "mount", image.identity, str(files))
                try:
                    yield files
                finally:
                    # with the mount goes the snapshot that was made for it, which is named after the folder
                    self.program.ask("images", "unmount", "--rm", str(files))
        except OSError as error:
            raise CommandFailedError(self.program.shown(("images", "mount", image.identity)), str(error)) from error

    def pull(self, reference: str) -> tuple[Digest, ...]:
        self.program.ask("images", "pull", reference, seconds=LONG)
        return tuple(self._names(f"name=={reference}"))

    def accept(self, layout: Path, reference: str, pairs: Sequence[LayerPair]) -> tuple[Digest, ...]:
        image = RebuiltImage.read(layout)
        self.program.ask("images", "import", "-", seconds=LONG, feed=image.write_oci_archive)
        try:
            return self.pull(reference)
        finally:
            self.program.ask("images", "rm", "--sync", image.private_name)

    def _names(self, *filters: str) -> dict[Digest, tuple[str, ...]]:
        """What names lead to: to manifests, indexes, or whatever it is."""
        found: dict[Digest, tuple[str, ...]] = {}
        lines = self._text("images", "ls", *filters).splitlines()[1:]  # the first is the head of a table
        for line in lines:
            name, _, rest = line.partition(" ")
            # behind the type; labels, which come last, may have digests too
            text = next((word for word in rest.split() if word.startswith(_DIGESTS)), "")
            try:
                digest = Digest.parse(text)
            except DigestError as error:
                raise CommandFailedError(self.program.shown(("images", "ls")), f"answers {line!r}: {error}") from error
            found[digest] = (*found.get(digest, ()), name)
        return found

    def _images_of(self, digest: Digest, names: tuple[str, ...], blobs: set[str]) -> Iterator[InstalledImage]:
        """The images that a digest leads to and that are there: of an index, that of this platform as a rule."""
        document = parse_document(self._blob(digest), digest=digest)
        if isinstance(document, Index):
            there = [entry.digest for entry in document.manifests if str(entry.digest) in blobs][:_PLATFORMS]
            inner = [parse_document(self._blob(entry), digest=entry) for entry in there]
        else:
            inner = [document]
        for manifest in inner:
            if isinstance(manifest, Manifest) and manifest.is_image and str(manifest.config.digest) in blobs:
                yield InstalledImage(
                    identity=names[0],
                    names=names,
                    digests=tuple(dict.fromkeys((digest, manifest.digest))),
                    config=manifest.config.digest,
                    diff_ids=parse_image_config(self._blob(manifest.config.digest)).diff_ids,
                )

    def _blob(self, digest: Digest) -> bytes:
        return self.program.ask("content", "get", str(digest))

    def _text(self, *arguments: str) -> str:
        return self.program.ask(*arguments).decode("utf-8", "replace")


def _chain_of(layers: Sequence[DiffID]) -> str:
    """image-spec, config.md, "Layer ChainID"."""
    chain = ""
    for layer in layers:
        chain = f"sha256:{hashlib.sha256(f'{chain} {layer}'.encode()).hexdigest()}" if chain else str(layer)
    return chain
