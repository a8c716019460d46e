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
        version = self._text("version").rpartition("Version:")[2].split()[0]  # the daemon's, which comes last
        major = version.removeprefix("v").split(".")[0]
        if major.isdigit() and int(major) >= _FIRST_THAT_LOOKS:
            return None
        return f"containerd {version} fetches all layers before it looks which it has; 2.0 and later do not"

    def images(self) -> tuple[InstalledImage, ...]:
        blobs = set(self._text("content", "ls", "--quiet").split())
        chains = {line.split()[0] for line in self._text("snapshots", "ls").splitlines() if line.strip()}
        found: dict[Digest, InstalledImage] = {}
        for line in self._text("images", "ls").splitlines()[1:]:  # the first is the head of a table
            name, _, digest, *_ = line.split()
            try:
                images = list(self._images_of(name, Digest.parse(digest), blobs))
            except (FieldError, DigestError):
                continue  # an artifact, or damaged: nothing that sources could be read from
            for image in images:
                if image.config and _chain_of(image.diff_ids) in chains:  # it is unpacked
                    have = found.get(image.config, image)
                    found[image.config] = replace(have, names=tuple(dict.fromkeys((*have.names, name))))
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
        lines = [line.split() for line in self._text("images", "ls", f"name=={reference}").splitlines()[1:]]
        return tuple(Digest.parse(fields[2]) for fields in lines)

    def accept(self, layout: Path, reference: str, pairs: Sequence[LayerPair]) -> tuple[Digest, ...]:
        image = RebuiltImage.read(layout)
        self.program.ask("images", "import", "-", seconds=LONG, feed=image.write_oci_archive)
        try:
            return self.pull(reference)
        finally:
            self.program.ask("images", "rm", "--sync", image.private_name)

    def _images_of(self, name: str, digest: Digest, blobs: set[str]) -> Iterator[InstalledImage]:
        """The images that the name leads to and that are there: of an index, that of this platform as a rule."""
        document = parse_document(self._blob(digest), digest=digest)
        if isinstance(document, Index):
            there = [entry.digest for entry in document.manifests if str(entry.digest) in blobs][:_PLATFORMS]
            inner = [parse_document(self._blob(entry), digest=entry) for entry in there]
        else:
            inner = [document]
        for manifest in inner:
            if isinstance(manifest, Manifest) and manifest.is_image and str(manifest.config.digest) in blobs:
                yield InstalledImage(
                    identity=name,
                    names=(name,),
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
