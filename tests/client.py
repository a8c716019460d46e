"""A reader that walks a published tree as registry clients do, and tells of every step that leads nowhere.

Written from the specifications and from what clients do, not from the code that writes the tree. A directory is read in
two ways: as Apache serves it, and as nginx does, from the links of tags and the typed copies. With `headers`, as a
bucket serves it.
"""

import gzip
import hashlib
import io
import json
import posixpath
import re
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import zstandard

from pipeline.keys import Headers, Key
from pipeline.tardiff.decoder import apply
from pipeline.tardiff.layer.tree import extract
from pipeline.targets.base import Target

from .tardiff.lab import lay_out

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
# in the order in which nginx looks
TYPES = {
    "oci-index": OCI_INDEX,
    "docker-list": "application/vnd.docker.distribution.manifest.list.v2+json",
    "oci-manifest": "application/vnd.oci.image.manifest.v1+json",
    "docker-manifest": "application/vnd.docker.distribution.manifest.v2+json",
}
_CONFIGS = ("application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json")
OCI_DELTA = "application/vnd.io.github.containers.oci-delta.v1"
DELTA = "io.github.containers.delta"
_DIGEST = re.compile(r"sha(256:[0-9a-f]{64}|512:[0-9a-f]{128})")
_TIME = re.compile(rb"\d{4}-\d\d-\d\d([ T][\d:]+(Z| UTC)?)?")
_RESERVED = re.compile(r"_deltaindex|sha256-[0-9a-f]{64}(\..*)?")

Contents = Mapping[Key, bytes]


@cache
def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@cache
def _parsed(raw: bytes) -> Any:
    return json.loads(raw)


def contents_of(target: Target, *, with_ledger: bool = False) -> dict[Key, bytes]:
    """Everything that a target holds, the publisher's own ledger aside."""
    found = {}
    for key in target.keys():  # noqa: SIM118  # a target is no dict
        if with_ledger or not key.startswith("_deltapress/ledger"):
            with target.open(key) as stream:
                found[key] = stream.read()
    return found


def without_times(contents: Contents) -> dict[Key, bytes]:
    """The same with pages that say of no time: those of two runs of a test may differ by a second."""
    return {
        key: _TIME.sub(b"", data) if key == "index.html" or key.startswith("pages/") else data
        for key, data in contents.items()
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedDelta:
    """A delta as a client finds it in a `_deltaindex`."""

    repository: str
    target: str
    from_diff_id: str
    to_diff_id: str
    digest: str
    size: int


class Client:
    """One walk over the contents of one moment. `headers` None means a directory, whose servers must find types.

    `absent` are manifests that an index may name and nobody has: clients fetch that of their platform alone.
    """

    def __init__(
        self, contents: Contents, headers: Mapping[Key, Headers] | None = None, *, absent: Collection[str] = ()
    ) -> None:
        self._contents, self._headers, self._absent = contents, headers, absent
        self._problems: list[str] = []
        self.repositories: dict[str, list[str]] = {}
        for key in contents:
            parts = key.split("/")
            if parts[0] == "v2" and len(parts) > 3 and parts[-2] == "manifests" and not parts[-1].startswith("."):
                self.repositories.setdefault("/".join(parts[1:-2]), []).append(parts[-1])

    def problems(self, *, at_rest: bool = False) -> list[str]:
        """What a client would stumble over. `at_rest`: no run is under way, so the copies must agree too."""
        for repository, references in self.repositories.items():
            for reference in references:
                self._reference(repository, reference)
                if at_rest:
                    self._copies(repository, reference)
            self._tags_list(repository, at_rest=at_rest)
            list(self.deltas(repository))
        for key in self._contents:
            if key.startswith("v2/") and key.split("/")[-2] == "referrers":
                self._referrers(key, at_rest=at_rest)
        self._flatpak_index()
        return self._problems

    def tags(self, repository: str) -> dict[str, str]:
        """The listed tags, and the digest that each leads to."""
        listing = self._json(f"v2/{repository}/tags/list", {"tags": []})
        return {tag: sha256(self._contents[Key(f"v2/{repository}/manifests/{tag}")]) for tag in listing["tags"]}

    def deltas(self, repository: str) -> Iterator[ListedDelta]:
        """What `_deltaindex` lists, checked as strictly as the strictest client reads."""
        index = self._json(f"v2/{repository}/manifests/_deltaindex", {"manifests": []})
        targets = [entry["annotations"][f"{DELTA}.target"] for entry in index["manifests"]]
        self._expect(len(set(targets)) == len(targets), f"{repository}: a target has two delta manifests")
        for entry, target in zip(index["manifests"], targets, strict=True):
            what = f"{repository}: the deltas into {target}"
            manifest = self._json(f"v2/{repository}/manifests/{entry['digest']}", {"layers": [], "annotations": {}})
            image = self._json(f"v2/{repository}/manifests/{target}", None)
            self._expect(manifest["annotations"] == {f"{DELTA}.target": target}, f"{what} name another target")
            if image is None:
                continue
            config = self._json(f"v2/{repository}/blobs/{image['config']['digest']}")
            sizes = dict(zip(config["rootfs"]["diff_ids"], (layer["size"] for layer in image["layers"]), strict=True))
            pairs = set()
            for layer in manifest["layers"]:
                delta = ListedDelta(
                    repository=repository,
                    target=target,
                    from_diff_id=layer["annotations"][f"{DELTA}.from"],
                    to_diff_id=layer["annotations"][f"{DELTA}.to"],
                    digest=layer["digest"],
                    size=layer["size"],
                )
                self._expect(layer["mediaType"] == "application/vnd.tar-diff", f"{what}: a layer is no delta")
                self._expect(delta.size < sizes.get(delta.to_diff_id, 0), f"{what}: {delta.digest} saves nothing")
                pairs.add((delta.from_diff_id, delta.to_diff_id))
                yield delta
            self._expect(len(pairs) == len(manifest["layers"]), f"{what}: a pair stands twice")

    def _reference(self, repository: str, reference: str) -> None:
        """A tag or a digest as each kind of server answers it."""
        key = Key(f"v2/{repository}/manifests/{reference}")
        media_type = None if self._headers is None else self._headers[key].content_type
        self._document(repository, reference, self._contents[key], media_type)
        if self._headers is not None:
            self._expect(self._headers[key].digest is not None, f"{key} is served without its digest")
            return
        served = self._nginx(repository, reference)
        if served is not None:
            self._document(repository, reference, *served)

    def _document(self, repository: str, reference: str, raw: bytes, media_type: str | None) -> None:
        what = f"v2/{repository}/manifests/{reference}"
        digest, document = sha256(raw), _parsed(raw)
        self._expect(media_type in {None, document["mediaType"]}, f"{what} is served as {media_type}")
        if _DIGEST.fullmatch(reference):
            self._expect(digest == reference, f"{what} has other bytes")
        elif not _RESERVED.fullmatch(reference):
            self._expect(self._has_manifest(repository, digest), f"{what}: {digest} does not stand under its digest")
            referrers = Key(f"v2/{repository}/referrers/{digest}")
            self._expect(referrers in self._contents, f"{referrers} is missing")
        for entry in document.get("manifests", []):
            if entry["digest"] in self._absent:
                self._expect(reference != "_deltaindex", f"{what} -> {entry['digest']}")
                continue
            child = self._contents.get(Key(f"v2/{repository}/manifests/{entry['digest']}"))
            self._expect(child is not None and len(child) == entry["size"], f"{what} -> {entry['digest']}")
            self._expect(self._has_manifest(repository, entry["digest"]), f"{what} -> {entry['digest']} for nginx")
        for layer in [document["config"], *document["layers"]] if "config" in document else []:
            if not layer.get("urls"):
                blob = self._contents.get(Key(f"v2/{repository}/blobs/{layer['digest']}"))
                is_whole = blob is not None and len(blob) == layer["size"] and sha256(blob) == layer["digest"]
                self._expect(is_whole, f"{what} -> blob {layer['digest']}")

    def _has_manifest(self, repository: str, digest: str) -> bool:
        is_there = Key(f"v2/{repository}/manifests/{digest}") in self._contents
        return is_there and (self._headers is not None or self._nginx(repository, digest) is not None)

    def _nginx(self, repository: str, reference: str) -> tuple[bytes, str] | None:
        """The bytes and the type; of a tag, those of the digest to which its link leads."""
        link = f"_deltapress/tags/v2/{repository}/manifests/{reference}"
        if (text := self._contents.get(Key(link))) is not None:
            place = posixpath.normpath(posixpath.join(posixpath.dirname(link), text.decode()))
            start, slash, digest = place.rpartition("/")
            self._expect(start == f"_deltapress/digests/v2/{repository}/manifests", f"{link} leads out of its place")
            self._expect(self._contents.get(Key(f"{place}{slash}{digest}")) == b"", f"{link} leads nowhere")
            found = self._nginx(repository, digest)
            self._expect(found is not None and sha256(found[0]) == digest, f"{link} leads to no manifest")
            return found
        for folder, media_type in TYPES.items():
            raw = self._contents.get(Key(f"_deltapress/typed/{folder}/v2/{repository}/manifests/{reference}"))
            if raw is not None:
                return raw, media_type
        return None

    def _copies(self, repository: str, reference: str) -> None:
        """Between runs: what Apache and nginx serve is the same, and each knows the type."""
        raw = self._contents[Key(f"v2/{repository}/manifests/{reference}")]
        is_digest = _DIGEST.fullmatch(reference) is not None
        # What a dead run left half done, and no later one needed, waits to be deleted: nothing names it.
        if is_digest:
            is_finished = Key(f"v2/{repository}/referrers/{reference}") in self._contents
        elif reference.startswith("sha256-"):
            is_finished = reference[7:71] in {digest[7:] for digest in self.tags(repository).values()}
        else:
            is_finished = reference == "_deltaindex" or reference in self.tags(repository)
        if self._headers is not None or not is_finished:
            return
        media_type = _parsed(raw)["mediaType"]
        what = f"v2/{repository}/manifests/{reference}"
        self._expect(self._nginx(repository, reference) == (raw, media_type), f"{what}: nginx has another")
        link = Key(f"_deltapress/tags/v2/{repository}/manifests/{reference}")
        is_listing = reference == "_deltaindex" or _DIGEST.fullmatch(reference.replace("-", ":", 1)) is not None
        self._expect((link in self._contents) != (is_digest or is_listing), f"{what}: the link of a tag")
        sidecar = self._contents.get(Key(f"v2/{repository}/manifests/.web/{reference}.meta"), b"").decode()
        self._expect(f"Content-Type: {media_type}\n" in sidecar, f"{what}: the sidecar has no or another type")
        self._expect(("Docker-Content-Digest" in sidecar) == is_digest, f"{what}: the sidecar's digest")
        self._expect(not is_digest or f"Digest: {reference}\n" in sidecar, f"{what}: the sidecar has another digest")

    def _tags_list(self, repository: str, *, at_rest: bool) -> None:
        key = Key(f"v2/{repository}/tags/list")
        if key not in self._contents:
            self._expect(not at_rest, f"{key} is missing")
            return
        listing = self._json(key)
        self._expect(listing["name"] == repository, f"{key} has another name")
        self._expect(listing["tags"] == sorted(listing["tags"]), f"{key} is not sorted")
        access = self._contents.get(Key(f"v2/{repository}/manifests/.htaccess"), b"").decode()
        for tag in listing["tags"]:
            self._expect(not _RESERVED.fullmatch(tag), f"{key} lists {tag}")
            is_there = tag in self.repositories[repository]
            is_there &= self._headers is not None or self._nginx(repository, tag) is not None
            self._expect(is_there, f"{key} lists {tag}, which is missing")
            if at_rest and self._headers is None and is_there:
                media_type = self._json(f"v2/{repository}/manifests/{tag}")["mediaType"]
                self._expect(f'<Files "{tag}">\nForceType {media_type}\n' in access, f".htaccess: {repository}:{tag}")

    def _referrers(self, key: Key, *, at_rest: bool) -> None:
        _, *names, _, subject = key.split("/")
        repository, listing = "/".join(names), self._json(key)
        self._expect(listing["mediaType"] == OCI_INDEX, f"{key} is no index")
        for entry in listing["manifests"]:
            raw = self._contents.get(Key(f"v2/{repository}/manifests/{entry['digest']}"))
            if raw is None:
                self._expect(False, f"{key} -> {entry['digest']}")
                continue
            attached = _parsed(raw)
            subjects = {subject}
            if entry["artifactType"] == OCI_DELTA:  # listed for the indexes that hold its subject, too
                index = self._json(f"v2/{repository}/manifests/{subject}", {})
                subjects |= {child["digest"] for child in index.get("manifests", ())}
            self._expect(attached["subject"]["digest"] in subjects, f"{key}: {entry['digest']} has another subject")
            self._expect(
                entry["artifactType"] == attached.get("artifactType", attached.get("config", {}).get("mediaType")),
                f"{key}: {entry['digest']} has another artifactType",
            )
            same = entry.get("annotations", {}) == attached.get("annotations", {})
            self._expect(same, f"{key}: {entry['digest']} has other annotations")
        if at_rest and listing["manifests"] and subject in self.tags(repository).values():
            tag = self._contents.get(Key(f"v2/{repository}/manifests/{subject.replace(':', '-')}"))
            self._expect(tag == self._contents[key], f"{key}: its fallback tag differs")

    def _flatpak_index(self) -> None:
        index = self._json("index/static", {"Results": []})
        refs: list[str] = []
        for result in index["Results"]:
            for image in result["Images"]:
                manifest = self._json(f"v2/{result['Name']}/manifests/{image['Digest']}", None)
                is_right = manifest is not None and manifest["mediaType"] == image["MediaType"]
                self._expect(is_right and "layers" in manifest, f"index/static -> {image['Digest']}")
                labels = image["Labels"]
                refs.append(labels["org.flatpak.ref"])
                for icon in (labels.get(f"org.freedesktop.appstream.icon-{size}", "data:") for size in (64, 128)):
                    self._expect(
                        icon.startswith("data:") or f"index/{icon}" in self._contents, f"index/static -> {icon}"
                    )
                if (delta_url := labels.get("io.github.containers.DeltaUrl")) is not None:
                    deltas = self._json(delta_url, {"annotations": {f"{DELTA}.target": delta_url}})
                    target = deltas["annotations"][f"{DELTA}.target"]
                    self._expect(target == image["Digest"], f"index/static -> the deltas of {target}")
        self._expect(len(refs) == len(set(refs)), "index/static has a ref twice")

    def _json(self, key: str, missing: Any = None) -> Any:
        raw = self._contents.get(Key(key))
        return missing if raw is None else _parsed(raw)

    def _expect(self, holds: bool, problem: str) -> None:
        if not holds:
            self._problems.append(problem)


def problems(contents: Contents, headers: Mapping[Key, Headers] | None = None, *, at_rest: bool = False) -> list[str]:
    """What a client would stumble over at this moment."""
    return Client(contents, headers).problems(at_rest=at_rest)


def deltas_of(contents: Contents, repository: str) -> list[ListedDelta]:
    return list(Client(contents).deltas(repository))


def unproven(contents: Contents) -> list[str]:
    """The listed deltas that do not make their layer from what a client has, each applied anew."""
    client, found = Client(contents), []
    for repository in client.repositories:
        images = list(_images(contents, repository))
        for delta in client.deltas(repository):
            is_flatpak = any("org.flatpak.ref" in labels for digest, labels, _ in images if digest == delta.target)
            chains = [
                chain if is_flatpak else chain[position : position + 1]
                for _, _, chain in images
                for position, (diff_id, _) in enumerate(chain)
                if diff_id == delta.from_diff_id and (not is_flatpak or position == len(chain) - 1)
            ]
            blob = contents[Key(f"v2/{repository}/blobs/{delta.digest}")]
            size = next(len(tar) for _, _, chain in images for diff_id, tar in chain if diff_id == delta.to_diff_id)
            results = {sha256(_patched([tar for _, tar in chain], blob, size)) for chain in chains}
            if results != {delta.to_diff_id}:
                found.append(f"{repository}: {delta.from_diff_id} -> {delta.to_diff_id}")
    return found


def _images(contents: Contents, repository: str) -> Iterator[tuple[str, dict[str, str], list[tuple[str, bytes]]]]:
    """Each image manifest: its digest, its labels, its layers as (DiffID, uncompressed tar)."""
    prefix = f"v2/{repository}/manifests/sha256:"
    for key, raw in contents.items():
        document = _parsed(raw) if key.startswith(prefix) else {}
        if not document.get("layers") or document["config"]["mediaType"] not in _CONFIGS:
            continue
        if not all(re.search(r"tar([.+](gzip|zstd))?$", layer["mediaType"]) for layer in document["layers"]):
            continue
        if any(layer.get("urls") for layer in document["layers"]):
            continue
        config = _parsed(contents[Key(f"v2/{repository}/blobs/{document['config']['digest']}")])
        blobs = [contents[Key(f"v2/{repository}/blobs/{layer['digest']}")] for layer in document["layers"]]
        tars = [_uncompressed(blob) for blob in blobs]
        labels = config.get("config", {}).get("Labels") or {}
        yield sha256(raw), labels, list(zip(config["rootfs"]["diff_ids"], tars, strict=True))


@cache
def _uncompressed(blob: bytes) -> bytes:
    if blob[:2] == b"\x1f\x8b":
        return gzip.decompress(blob)
    if blob[:4] == b"\x28\xb5\x2f\xfd":
        return zstandard.ZstdDecompressor().decompressobj().decompress(blob)
    return blob


def _patched(tars: Sequence[bytes], delta: bytes, size: int) -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "tree").mkdir()
        tree = extract([io.BytesIO(tar) for tar in tars], Path(directory) / "tree", max_bytes=1 << 24)
        lay_out(tree, Path(directory) / "files")
        out = io.BytesIO()
        apply(io.BytesIO(delta), Path(directory) / "files", out, expected_size=size)
        return out.getvalue()
