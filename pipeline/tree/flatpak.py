"""Pure: what flatpak clients read beside the registry: their index, icons, and the files that people click on.

Rule 1. A client neither filters nor sorts what a static host answers: so exactly one image per flatpak ref, the newest.
Rule 2. An image counts when its labels hold `org.flatpak.ref` and `org.flatpak.metadata`.
Rule 3. `Digest` is that of an image manifest of one platform, never of an index; `Registry` is relative, so that the
        tree works below any path.
Rule 4. Labels are an image's own, but for two: an icon is a file beside the index, because every client reads all of
        the index again when any of it has changed; and on request the index names the delta manifest of an image.
Rule 5. A remote, and what is said of it, is remembered with the repositories that belong to it: so any publisher of the
        target makes the same files. A ref in a label is untrusted: none becomes a key unless its grammar allows it.
"""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ..config.values import FlatpakRemote
from ..deltas.formats.delta_index import DeltaIndex
from ..history.ledger import Ledger
from ..history.records import PlatformRecord, RepositoryRecord
from ..history.versions import series_of
from ..keys import FLATPAK_INDEX_KEY, Key, classify, flatpak_icon_key, flatpak_ref_key, flatpak_repo_key, manifest_key
from ..oci.descriptor import Descriptor
from ..oci.digest import Digest
from ..oci.flatpak import FlatpakRef
from ..oci.manifest import Index, parse_document
from .contents import RepositoryContents

# flatpak, common/flatpak-oci-registry.c: an address in either is relative, to the index and to the registry
_ICONS: Final = ("org.freedesktop.appstream.icon-64", "org.freedesktop.appstream.icon-128")
_DELTA_URL: Final = "io.github.containers.DeltaUrl"
_PNG: Final = "data:image/png;base64,"
_PNG_MAGIC: Final = b"\x89PNG\r\n\x1a\n"
_MAX_ICON: Final = 1 << 20  # bytes; a larger one stays in its label


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedApp:
    """An app of a remote, and the file by which it is installed."""

    ref: FlatpakRef
    key: Key


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedRemote:
    """A remote, the file by which it is added, and its apps."""

    remote: FlatpakRemote
    key: Key
    apps: tuple[OfferedApp, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    """One image that could stand for a flatpak ref. `since`: when a tag came to point to it."""

    repository: str
    root: Digest
    image: PlatformRecord
    media_type: str
    is_latest: bool
    since: datetime
    position: int

    @property
    def rank(self) -> tuple[bool, datetime, int, str]:
        return self.is_latest, self.since, self.position, self.repository


def flatpak_files(ledger: Ledger, published: Iterable[RepositoryContents]) -> dict[Key, bytes]:
    """All of them, by key; the index lists nothing where no image is a flatpak."""
    delta_urls = {
        contents.name: _delta_urls(contents)
        for contents in published
        if (rules := ledger.repositories[contents.name].rules) is not None and rules.delta_url
    }
    files: dict[Key, bytes] = {}
    images: dict[str, list[dict[str, object]]] = {}
    for candidate in _newest(ledger.repositories).values():
        name, image = candidate.repository, candidate.image
        labels = dict(image.labels)
        for label in _ICONS:
            if (icon := _icon(labels.get(label, ""))) is not None:
                key = flatpak_icon_key(Digest.of(icon))
                files[key] = icon
                labels[label] = key.removeprefix("index/")
        if (delta_url := delta_urls.get(name, {}).get(image.manifest)) is not None:
            labels[_DELTA_URL] = delta_url
        images.setdefault(name, []).append(_image_json(candidate, ledger.repositories[name], labels))
    results = [{"Name": name, "Lists": [], "Images": found} for name, found in sorted(images.items())]
    document = {"Registry": "../", "Results": results}
    files[FLATPAK_INDEX_KEY] = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    for offered in offered_remotes(ledger):
        files[offered.key] = _repo_file(offered.remote)
        files |= {app.key: _ref_file(offered.remote, app.ref) for app in offered.apps}
    return files


def offered_remotes(ledger: Ledger) -> tuple[OfferedRemote, ...]:
    """The remotes to which repositories belong, by name, each with its apps: an app of several architectures once."""
    if not ledger.remotes:
        return ()
    apps: dict[str, dict[tuple[str, str], FlatpakRef]] = {}
    for record in ledger.repositories.values():
        if (remote := remote_of(record, ledger)) is not None:
            apps.setdefault(remote.name, {})
    for text, candidate in _newest(ledger.repositories).items():
        ref, remote = FlatpakRef.parse(text), remote_of(ledger.repositories[candidate.repository], ledger)
        if ref is not None and ref.kind == "app" and remote is not None:
            apps[remote.name].setdefault((ref.id, ref.branch), ref)
    taken: set[str] = set()
    return tuple(
        OfferedRemote(
            remote=ledger.remotes[name].remote,
            key=flatpak_repo_key(name),
            apps=tuple(_named(ledger.remotes[name].remote, found.values(), taken)),
        )
        for name, found in sorted(apps.items())
        if _is_free(flatpak_repo_key(name), taken)
    )


def remote_of(record: RepositoryRecord, ledger: Ledger) -> FlatpakRemote | None:
    """The remote to which a repository belongs, if any."""
    known = ledger.remotes.get(record.rules.remote or "") if record.rules is not None else None
    return known.remote if known is not None else None


def _named(remote: FlatpakRemote, refs: Iterable[FlatpakRef], taken: set[str]) -> Iterator[OfferedApp]:
    """An app goes by its name alone where its branch is the remote's own, and no other remote offers one so."""
    for ref in sorted(refs):
        short = flatpak_ref_key(ref.id)
        is_short = ref.branch == remote.branch and _is_free(short, taken)
        key = short if is_short else flatpak_ref_key(ref.id, ref.branch)
        if is_short or _is_free(key, taken):
            yield OfferedApp(ref=ref, key=key)


def _is_free(key: Key, taken: set[str]) -> bool:
    """True for the first that asks; a file system may not tell upper and lower case apart."""
    is_free = key.lower() not in taken
    taken.add(key.lower())
    return is_free


def _newest(repositories: Mapping[str, RepositoryRecord]) -> dict[str, _Candidate]:
    """The one image for each ref, in the order of the refs."""
    newest: dict[str, _Candidate] = {}
    for name, record in sorted(repositories.items()):
        for candidate in _candidates(name, record):
            ref = candidate.image.labels["org.flatpak.ref"]
            if ref not in newest or newest[ref].rank < candidate.rank:
                newest[ref] = candidate
    return dict(sorted(newest.items()))


def _delta_urls(contents: RepositoryContents) -> dict[Digest, str]:
    """Where the delta manifest of each image is, as its `_deltaindex` says."""
    listing = contents.tags.get(DeltaIndex.tag)
    index = parse_document(listing.content) if listing is not None and listing.content is not None else None
    entries = DeltaIndex().parse_listing(index).documents if isinstance(index, Index) else ()
    return {entry.target: manifest_key(contents.name, entry.descriptor.digest) for entry in entries}


def _icon(label: str) -> bytes | None:
    """The picture in the label; None where it is an address, or nothing that could be served as a PNG."""
    if not label.startswith(_PNG) or len(label) > 2 * _MAX_ICON:
        return None
    try:
        icon = base64.b64decode(label.removeprefix(_PNG), validate=True)
    except ValueError:
        return None
    return icon if icon.startswith(_PNG_MAGIC) and len(icon) <= _MAX_ICON else None


def linked_keys(labels: Mapping[str, str]) -> Iterator[Key]:
    """What of this tree the labels of the index lead to, beside the image itself."""
    for prefix, label in (("index/", _ICONS[0]), ("index/", _ICONS[1]), ("", _DELTA_URL)):
        key = Key(prefix + labels.get(label, ""))
        if classify(key) is not None:
            yield key


def _repo_file(remote: FlatpakRemote) -> bytes:
    """flatpak-flatpakrepo(5)."""
    return _key_file(
        "Flatpak Repo",
        Version="1",
        Title=remote.title or remote.name,
        Url=f"oci+{remote.url}",
        Homepage=remote.homepage,
        Comment=remote.comment,
        Description=remote.description,
        Icon=remote.icon,
        DefaultBranch=remote.branch,
    )


def _ref_file(remote: FlatpakRemote, ref: FlatpakRef) -> bytes:
    """flatpak-flatpakref(5)."""
    return _key_file(
        "Flatpak Ref",
        Version="1",
        Title=f"{ref.id} from {remote.title or remote.name}",
        Name=ref.id,
        Branch=ref.branch,
        IsRuntime="false",
        Url=f"oci+{remote.url}",
        SuggestRemoteName=remote.name,
        RuntimeRepo=remote.runtime_repo,
    )


def _key_file(group: str, **values: str) -> bytes:
    """In the format of GLib, in which a backslash stands for itself when it is doubled; without what is empty."""
    lines = [f"{name}={value.replace(chr(92), chr(92) * 2)}\n" for name, value in values.items() if value]
    return "".join([f"[{group}]\n", *lines]).encode("utf-8")


def _candidates(repository: str, record: RepositoryRecord) -> Iterator[_Candidate]:
    latest = {series.latest for series in series_of(record) if not series.is_of_line}
    for position, known in enumerate(record.tags.values()):
        image = record.images.get(known.image)
        if image is None:
            continue
        documents: dict[Digest, Descriptor] = {document.digest: document for document in image.documents}
        for platform in image.platforms:
            if platform.is_flatpak:
                yield _Candidate(
                    repository=repository,
                    root=known.image,
                    image=platform,
                    media_type=documents[platform.manifest].media_type,
                    is_latest=known.image in latest,
                    since=known.moves[-1].since,
                    position=position,
                )


def _image_json(candidate: _Candidate, record: RepositoryRecord, labels: Mapping[str, str]) -> dict[str, object]:
    return {
        "Digest": str(candidate.image.manifest),
        "MediaType": candidate.media_type,
        "OS": candidate.image.platform.os,
        "Architecture": candidate.image.platform.architecture,
        "Tags": sorted(tag for tag, known in record.tags.items() if known.image == candidate.root),
        "Annotations": {},
        "Labels": dict(sorted(labels.items())),
    }
