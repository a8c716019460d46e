"""The tree, from values and from layouts: keys, exact bytes, headers, order, collisions."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Policy, Repository
from pipeline.config.values import FlatpakRemote, FormatName, Site
from pipeline.deltas.formats import FORMATS, DeltaDocument, DeltaListing, Offer
from pipeline.deltas.formats.contract import ParsedDeltas
from pipeline.deltas.plan import Rules, Wanted, plan_deltas
from pipeline.history.ledger import Ledger
from pipeline.history.records.deltas import DeltaKey, DeltaRecord
from pipeline.history.records.images import PlatformRecord
from pipeline.history.records.repositories import RepositoryRecord
from pipeline.history.records.rules import RemoteRecord, RulesRecord
from pipeline.history.scan import scan_repository
from pipeline.history.versions import advance
from pipeline.keys import IMMUTABLE, MUTABLE, Key, Kind, Phase, classify, referrers_tag
from pipeline.layout.check import Known
from pipeline.limits import Limits
from pipeline.oci.digest import DiffID, Digest
from pipeline.oci.manifest import Index, Manifest, parse_document
from pipeline.oci.media_types import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from pipeline.oci.writing import write_json
from pipeline.tree.contents import EMPTY_INDEX, CollisionError, published_contents
from pipeline.tree.pages import page_files
from pipeline.tree.servers import server_files
from pipeline.tree.static import Entry, Tree, assemble

from ..layouts.builder import Json, LayoutBuilder, on, sha256
from ..runs import Shop, app, night, other, read_again

EMPTY = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


def record_of(path: Path, *nights: dict[str, Json], build: LayoutBuilder, layout: str = "layout") -> RepositoryRecord:
    """What the ledger knows after the layout had each of these tags; `build` has made all of their images."""
    record = RepositoryRecord()
    for number, tags in enumerate(nights):
        build.entries = [entry for entry in build.entries if "annotations" not in entry]
        for tag, descriptor in tags.items():
            build.tag(tag, descriptor)
        repository = Repository(name="app", layout=build.write(path / layout))
        seen = scan_repository(repository, known=Known(), limits=Limits(), jobs=1)
        record = advance(record, seen.observation, now=night(number))
    return record


def tree_of(
    record: RepositoryRecord,
    *deltas: DeltaRecord,
    wanted: tuple[Wanted, ...] = (),
    name: str = "app",
    extras: dict[Key, bytes] | None = None,
    stores_headers: bool = False,
) -> Tree:
    ledger = Ledger(repositories={name: record}, deltas={delta.key: delta for delta in deltas})
    return assemble(ledger, wanted, extras=extras or {}, stores_headers=stores_headers)


def wanted_of(record: RepositoryRecord) -> tuple[Wanted, ...]:
    rules = {"app": Rules(policy=Policy(versions=2, formats=("deltaindex",)))}
    return plan_deltas(Ledger(repositories={"app": record}), rules, generator="", options="", now=night(9)).wanted


def made(old: bytes, new: bytes, *, size: int = 100, below: tuple[DiffID, ...] = ()) -> DeltaRecord:
    key = DeltaKey(from_diff_id=DiffID.of(old), to_diff_id=DiffID.of(new), below=below)
    digest = Digest.of(f"delta {key}".encode())
    return DeltaRecord(key=key, generator="g", options="o", size=size, digest=digest)


def entry(tree: Tree, key: str) -> Entry:
    return tree.entries[Key(key)]


def content(tree: Tree, key: str) -> Any:
    raw = entry(tree, key).content
    assert raw is not None
    return json.loads(raw)


def test_delta_index_and_delta_manifest_are_what_clients_read(tmp_path: Path) -> None:
    build = LayoutBuilder()
    old, new = build.image(app(1)), build.image(app(2))
    record = record_of(tmp_path, {"latest": old}, {"latest": new}, build=build)
    delta = made(app(1), app(2), size=123)
    tree = tree_of(record, delta, wanted=wanted_of(record))
    manifest = (
        '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",'
        f'"config":{{"mediaType":"application/vnd.redhat.delta.config.v1+json","digest":"{EMPTY}","size":2}},'
        f'"layers":[{{"mediaType":"application/vnd.tar-diff","digest":"{delta.digest}","size":123,'
        f'"annotations":{{"io.github.containers.delta.from":"{sha256(app(1))}",'
        f'"io.github.containers.delta.to":"{sha256(app(2))}"}}}}],'
        f'"annotations":{{"io.github.containers.delta.target":"{new["digest"]}"}}}}'
    ).encode()
    index = (
        '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json",'
        f'"manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{sha256(manifest)}",'
        f'"size":{len(manifest)},"platform":{{"architecture":"amd64","os":"linux"}},'
        f'"annotations":{{"io.github.containers.delta.target":"{new["digest"]}"}}}}]}}'
    ).encode()
    assert entry(tree, f"v2/app/manifests/{sha256(manifest)}").content == manifest
    assert entry(tree, "v2/app/manifests/_deltaindex").content == index
    assert entry(tree, f"v2/app/blobs/{EMPTY}").content == b"{}"
    assert entry(tree, f"v2/app/blobs/{delta.digest}").size == 123
    assert content(tree, f"v2/app/referrers/{sha256(manifest)}")["manifests"] == []


def test_without_deltas_the_delta_index_is_empty(tmp_path: Path) -> None:
    build = LayoutBuilder()
    record = record_of(tmp_path, {"latest": build.image(app(1))}, build=build)
    tree = tree_of(record)
    raw = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
    assert entry(tree, "v2/app/manifests/_deltaindex").content == raw
    assert not [key for key in tree.entries if "vnd.tar-diff" in str(tree.entries[key].content)]


def test_one_delta_manifest_for_each_target_and_one_entry_for_each_pair(tmp_path: Path) -> None:
    build = LayoutBuilder()

    def both(number: int, base: int) -> Json:
        amd = build.image(other(base), app(number))
        arm = build.image(other(base), app(number), architecture="arm64")
        return build.index(on(amd, "linux/amd64"), on(arm, "linux/arm64"))

    # two old versions with the same last layer want the same pair
    record = record_of(tmp_path, *({"latest": both(*pair)} for pair in ((1, 1), (1, 2), (2, 2))), build=build)
    wanted = wanted_of(record)
    pairs = [(want.key.from_diff_id, want.key.to_diff_id) for want in wanted]
    assert len(pairs) > len(set(pairs))
    tree = tree_of(record, made(app(1), app(2)), made(other(1), other(2)), wanted=wanted)
    listed = content(tree, "v2/app/manifests/_deltaindex")["manifests"]
    assert [found["platform"]["architecture"] for found in listed] in (["amd64", "arm64"], ["arm64", "amd64"])
    targets = [found["annotations"]["io.github.containers.delta.target"] for found in listed]
    assert targets == sorted({str(want.target) for want in wanted})
    for found, target in zip(listed, targets, strict=True):
        manifest = content(tree, f"v2/app/manifests/{found['digest']}")
        assert manifest["annotations"] == {"io.github.containers.delta.target": target}
        annotations = [layer["annotations"] for layer in manifest["layers"]]
        found_pairs = [
            tuple(annotation[f"io.github.containers.delta.{end}"] for end in ("from", "to"))
            for annotation in annotations
        ]
        assert found_pairs == sorted({(str(one), str(two)) for one, two in pairs})


@pytest.mark.parametrize("share", [0.91, 1.0, 1.5])
def test_what_does_not_save_enough_is_not_listed(tmp_path: Path, share: float) -> None:
    build = LayoutBuilder()
    record = record_of(tmp_path, {"latest": build.image(app(1))}, {"latest": build.image(app(2))}, build=build)
    wanted = wanted_of(record)
    size = wanted[0].layer.size
    tree = tree_of(record, made(app(1), app(2), size=round(size * share)), wanted=wanted)
    assert content(tree, "v2/app/manifests/_deltaindex")["manifests"] == []
    tree = tree_of(record, made(app(1), app(2), size=int(size * 0.9)), wanted=wanted)
    assert len(content(tree, "v2/app/manifests/_deltaindex")["manifests"]) == 1


class _Counted(tuple[Wanted, ...]):
    """Counts how often somebody goes through it."""

    times = 0

    def __iter__(self) -> Iterator[Wanted]:
        type(self).times += 1
        return super().__iter__()


def test_the_wants_are_gone_through_once_however_many_repositories_there_are(tmp_path: Path) -> None:
    build = LayoutBuilder()
    record = record_of(tmp_path, {"latest": build.image(app(1))}, {"latest": build.image(app(2))}, build=build)
    delta = made(app(1), app(2))
    ledger = Ledger(repositories={f"app{number}": record for number in range(20)}, deltas={delta.key: delta})
    rules = {name: Rules(policy=Policy(versions=2, formats=("deltaindex",))) for name in ledger.repositories}
    wanted = _Counted(plan_deltas(ledger, rules, generator="", options="", now=night(9)).wanted)
    _Counted.times = 0
    tree = assemble(ledger, wanted, extras={}, stores_headers=True)
    assert _Counted.times == 1
    assert len([key for key in tree.entries if str(delta.digest) in key]) == len(wanted) == 20


def test_what_nobody_wants_any_more_is_not_listed(tmp_path: Path) -> None:
    build = LayoutBuilder()
    record = record_of(tmp_path, {"latest": build.image(app(1))}, {"latest": build.image(app(2))}, build=build)
    tree = tree_of(record, made(app(0), app(2)), made(app(0), app(1)), wanted=wanted_of(record))
    assert content(tree, "v2/app/manifests/_deltaindex")["manifests"] == []


def test_referrers_for_every_manifest_and_the_fallback_tag(tmp_path: Path) -> None:
    build = LayoutBuilder()
    amd, arm = build.image(app(1)), build.image(app(1), architecture="arm64")
    index = build.index(on(amd, "linux/amd64"), on(arm, "linux/arm64"))
    signature = build.artifact(subject=index)
    build.entry(signature)
    sbom = build.manifest(
        build.blob(b"config", "application/vnd.example.sbom.config"), subject=amd, annotations={"made": "by hand"}
    )
    build.entry(sbom)
    tree = tree_of(record_of(tmp_path, {"latest": index}, build=build))
    for digest in (arm["digest"], signature["digest"], sbom["digest"]):
        assert content(tree, f"v2/app/referrers/{digest}")["manifests"] == []
        assert Key(f"v2/app/manifests/{digest.replace(':', '-')}") not in tree.entries
    described = {**signature, "artifactType": "text/plain"}
    assert content(tree, f"v2/app/referrers/{index['digest']}")["manifests"] == [described]
    # an artifact without a type is listed by the type of its config (distribution-spec, "Listing Referrers")
    described = {**sbom, "artifactType": "application/vnd.example.sbom.config", "annotations": {"made": "by hand"}}
    assert content(tree, f"v2/app/referrers/{amd['digest']}")["manifests"] == [described]
    for subject in (index, amd):
        fallback = entry(tree, f"v2/app/manifests/{subject['digest'].replace(':', '-')}")
        assert fallback.content == entry(tree, f"v2/app/referrers/{subject['digest']}").content
        assert fallback.headers.content_type == OCI_INDEX


class _Attached:
    """A format that is no `_deltaindex`: an artifact a pair of images, found by the referrers of the target."""

    name: FormatName = "deltaindex"  # takes the same offers
    tag = None

    def documents(self, record: RepositoryRecord, offers: Sequence[Offer]) -> Iterator[DeltaDocument]:
        for offer in offers:
            [target] = {image.manifest: image for image in record.platform_images()}.keys() & {offer.want.target}
            holders = tuple(
                image.digest for image in record.images.values() if target in {d.digest for d in image.documents[:-1]}
            )
            layers = [{"mediaType": "application/vnd.tar-diff", "digest": str(offer.digest), "size": offer.size}]
            raw = write_json(
                {
                    "schemaVersion": 2,
                    "mediaType": OCI_MANIFEST,
                    "artifactType": "application/vnd.example.delta",
                    "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": EMPTY, "size": 2},
                    "layers": layers,
                    "subject": {"mediaType": OCI_MANIFEST, "digest": str(target), "size": 1},
                }
            )
            document = parse_document(raw)
            descriptor = replace(document.descriptor(), artifact_type=document.artifact_type)
            yield DeltaDocument(document=document, descriptor=descriptor, listed_for=holders)

    def owns(self, manifest: Manifest) -> bool:
        return manifest.artifact_type == "application/vnd.example.delta"

    def parse_listing(self, listing: Index) -> DeltaListing:
        raise NotImplementedError

    def parse(self, manifest: Manifest, images: Mapping[Digest, PlatformRecord]) -> ParsedDeltas:
        raise NotImplementedError


def test_delta_documents_are_referrers_of_their_subjects(tmp_path: Path) -> None:
    build = LayoutBuilder()
    old, new = (build.index(on(build.image(app(number)), "linux/amd64")) for number in (1, 2))
    record = record_of(tmp_path, {"latest": old}, {"latest": new}, build=build)
    delta, wanted = made(app(1), app(2)), wanted_of(record)
    ledger = Ledger(repositories={"app": record}, deltas={delta.key: delta})
    both = (*FORMATS, _Attached())
    [contents] = published_contents(ledger, wanted, formats=both)
    [target], index = {want.target for want in wanted}, Digest.parse(new["digest"])
    for subject in (target, index):
        listed = json.loads(contents.referrers[subject])["manifests"]
        assert [entry["artifactType"] for entry in listed] == ["application/vnd.example.delta"]
        artifact = Digest.parse(listed[0]["digest"])
        assert contents.documents[artifact].subjects == (target, index)
        assert contents.referrers[artifact] == EMPTY_INDEX
        assert contents.tags[referrers_tag(subject)].content == contents.referrers[subject]
    assert delta.digest is not None
    assert contents.blobs[delta.digest].size == delta.size  # one blob for both formats
    [alone] = published_contents(ledger, wanted)
    assert contents.tags["_deltaindex"] == alone.tags["_deltaindex"]
    assert contents.blobs == alone.blobs
    assert contents.documents.keys() - alone.documents.keys() == {artifact}


def test_tags_list_leaves_out_what_is_no_image(tmp_path: Path) -> None:
    build = LayoutBuilder()
    image = build.image(app(1))
    build.entry(build.artifact(subject=image))
    cosign = f"{image['digest'].replace(':', '-')}.sig"
    record = record_of(tmp_path, {"b": image, "a": image, cosign: build.artifact(data=b"old")}, build=build)
    tree = tree_of(record)
    assert entry(tree, "v2/app/tags/list").content == b'{"name":"app","tags":["a","b"]}'
    assert Key(f"v2/app/manifests/{cosign}") in tree.entries


def test_headers(tmp_path: Path) -> None:
    build = LayoutBuilder()
    image, docker = build.image(app(1)), build.image(app(2), docker=True)
    index = build.index(on(image, "linux/amd64"))
    record = record_of(tmp_path, {"oci": image, "docker": docker, "index": index}, build=build)
    tree = tree_of(record, extras={Key("index.html"): b"page", Key("x"): b"y"}, stores_headers=True)
    found = {
        key: (entry.headers.content_type, entry.headers.cache_control, entry.headers.digest)
        for key, entry in tree.entries.items()
    }
    digest = Digest.parse
    for descriptor, tag, media_type in (
        (image, "oci", OCI_MANIFEST),
        (docker, "docker", DOCKER_MANIFEST),
        (index, "index", OCI_INDEX),
    ):
        own = digest(descriptor["digest"])
        assert found[Key(f"v2/app/manifests/{tag}")] == (media_type, MUTABLE, own)
        assert found[Key(f"v2/app/manifests/{own}")] == (media_type, IMMUTABLE, own)
        assert found[Key(f"v2/app/referrers/{own}")] == (OCI_INDEX, MUTABLE, None)
    blob = record.images[digest(image["digest"])].blobs[0].digest
    assert found[Key(f"v2/app/blobs/{blob}")] == ("application/octet-stream", IMMUTABLE, blob)
    assert found[Key("v2/app/tags/list")] == ("application/json", MUTABLE, None)
    assert found[Key("index/static")] == ("application/json", MUTABLE, None)
    assert found[Key("v2/index.html")] == ("application/json", "public, max-age=86400", None)
    assert found[Key("index.html")] == ("text/html; charset=utf-8", MUTABLE, None)
    assert all("no-transform" in cache or key in {"v2/", "v2/index.html"} for key, (_, cache, _) in found.items())
    assert not [key for key in found if "/.web/" in key or "/typed/" in key or "htaccess" in key]


def test_a_directory_has_typed_copies_and_sidecars(tmp_path: Path) -> None:
    build = LayoutBuilder()
    image = build.image(app(1))
    tree = tree_of(record_of(tmp_path, {"latest": image}, build=build))
    digest = image["digest"]
    for reference in ("latest", digest):
        copy = entry(tree, f"_deltapress/typed/oci-manifest/v2/app/manifests/{reference}")
        original = entry(tree, f"v2/app/manifests/{reference}")
        assert (copy.digest, copy.phase, copy.rank) == (original.digest, original.phase, original.rank)
    typed = f"Content-Type: {OCI_MANIFEST}\n"
    # a tag's sidecar and the tag cannot be switched together: no digest there
    assert entry(tree, "v2/app/manifests/.web/latest.meta").content == typed.encode()
    with_digest = typed + f"Docker-Content-Digest: {digest}\n"
    assert entry(tree, f"v2/app/manifests/.web/{digest}.meta").content == with_digest.encode()
    access = entry(tree, "v2/app/manifests/.htaccess").content or b""
    assert f'<Files "latest">\nForceType {OCI_MANIFEST}\n</Files>\n'.encode() in access
    assert f'<Files "{digest}">\nForceType {OCI_MANIFEST}\n</Files>\n'.encode() in access
    assert f'<Files "_deltaindex">\nForceType {OCI_INDEX}\n</Files>\n'.encode() in access


def test_a_tag_evicts_its_copies_of_other_types(tmp_path: Path) -> None:
    build = LayoutBuilder()
    tree = tree_of(record_of(tmp_path, {"latest": build.image(app(1))}, build=build))
    evicts = {key: entry.evicts for key, entry in tree.entries.items() if entry.evicts}
    others = ("oci-index", "docker-list", "docker-manifest")
    key = Key("_deltapress/typed/oci-manifest/v2/app/manifests/latest")
    assert set(evicts.pop(key)) == {f"_deltapress/typed/{other}/v2/app/manifests/latest" for other in others}
    assert set(evicts) == {Key("_deltapress/typed/oci-index/v2/app/manifests/_deltaindex")}


def _edges(raw: bytes) -> list[str]:
    document = json.loads(raw)
    layers = [document["config"], *document["layers"]] if "config" in document else []
    return [f"manifests/{entry['digest']}" for entry in document.get("manifests", [])] + [
        f"blobs/{entry['digest']}" for entry in layers
    ]


def test_what_a_document_leads_to_is_written_in_an_earlier_batch(tmp_path: Path) -> None:
    """Entries of one phase and rank are written at the same time, in any order."""
    build = LayoutBuilder()
    shared, second, third = (build.image(app(number)) for number in (1, 2, 3))
    inner = build.index(on(shared, "linux/amd64"))
    lone = build.index(on(second, "linux/amd64"))
    outer = build.index(on(third, "linux/arm64"), lone, inner, on(shared, "linux/amd64"))
    outermost = build.index(outer)
    build.entry(build.artifact(subject=inner))
    wide = build.index(on(second, "linux/amd64"), on(third, "linux/arm64"), lone, on(shared, "linux/s390x"))
    tags = {"a": inner, "b": outermost, "c": shared, "d": wide}
    checked = 0
    for order in (*permutations(tags, 2), *permutations(tags, 3)):
        record = record_of(tmp_path, {tag: tags[tag] for tag in order}, build=build, layout="".join(order))
        tree = tree_of(record, stores_headers=True)
        for key, here in tree.entries.items():
            raw = build.blobs.get(f"blobs/{here.digest.algorithm}/{here.digest.hex}")
            if here.phase is Phase.MANIFESTS and raw is not None:
                for edge in _edges(raw):
                    there = entry(tree, f"v2/app/{edge}")
                    assert (there.phase, there.rank) < (here.phase, here.rank), (order, key, edge)
                    checked += 1
        ordered = [(found.phase, found.rank) for found in tree.in_order()]
        assert ordered == sorted(ordered)
    assert checked > 200


@pytest.mark.parametrize("stores_headers", [False, True], ids=["directory", "bucket"])
def test_the_grammar_of_keys_knows_every_entry(tmp_path: Path, stores_headers: bool) -> None:
    """Each key tells its repository, when it is written, and the digest of its bytes where it has it."""
    build = LayoutBuilder()
    icon = "data:image/png;base64,iVBORw0KGgo="
    labels = {
        "org.flatpak.ref": "app/a.b/x86_64/c",
        "org.flatpak.metadata": "",
        "org.freedesktop.appstream.icon-64": icon,
    }
    old, new = build.image(app(1)), build.image(app(2), labels=labels)
    docker = build.image(other(1), docker=True)
    index = build.index(on(new, "linux/amd64"))
    build.entry(build.artifact(subject=new))
    cosign = f"{new['digest'].replace(':', '-')}.sig"
    nights = ({"latest": old}, {"latest": new, "docker": docker, "all": index, cosign: build.artifact(data=b"s")})
    record = record_of(tmp_path, *nights, build=build)
    record = replace(record, rules=RulesRecord(versions=2, max_ratio=1, grace=timedelta(), remote="ours"))
    ledger = Ledger(
        repositories={"team/app": record},
        deltas={(delta := made(app(1), app(2))).key: delta},
        remotes={"ours": RemoteRecord(remote=FlatpakRemote(name="ours", url="https://example.org"))},
    )
    wanted = plan_deltas(
        ledger, {"team/app": Rules(policy=Policy(versions=2))}, generator="", options="", now=night(9)
    ).wanted
    extras = page_files(ledger, (), Site(url="https://example.org")) | server_files(stores_headers=stores_headers)
    tree = assemble(ledger, wanted, extras=extras, stores_headers=stores_headers)
    kinds = set()
    for key, found in tree.entries.items():
        parsed = classify(key)
        assert parsed is not None, key
        assert (parsed.phase, parsed.repository) == (found.phase, found.repository), key
        assert parsed.content_digest in {None, found.digest}, key
        assert parsed.media_type in {None, found.headers.content_type}, key
        kinds.add(parsed.kind)
    beside = {Kind.TYPED_COPY, Kind.SIDECAR, Kind.ACCESS_FILE, Kind.TAG_LINK, Kind.DIGEST_MARK}
    assert kinds == set(Kind) - {Kind.LEDGER, Kind.REPORT, Kind.LOCK} - (beside if stores_headers else set())


def test_the_phases_are_the_commit_protocol(tmp_path: Path) -> None:
    build = LayoutBuilder()
    image = build.image(app(1))
    build.entry(build.artifact(subject=image))
    tree = tree_of(record_of(tmp_path, {"latest": image}, build=build), extras={Key("index.html"): b""})
    phases = {key: found.phase for key, found in tree.entries.items()}
    digest = image["digest"]
    assert phases[Key(f"v2/app/manifests/{digest}")] is Phase.MANIFESTS
    assert phases[Key(f"v2/app/referrers/{digest}")] is Phase.REFERRERS
    assert phases[Key(f"v2/app/manifests/{digest.replace(':', '-')}")] is Phase.REFERRERS
    assert phases[Key("v2/app/manifests/_deltaindex")] is Phase.DELTA_INDEX
    assert phases[Key("v2/app/manifests/latest")] is Phase.TAGS
    assert phases[Key("v2/app/tags/list")] is Phase.LISTINGS
    assert phases[Key("index/static")] is Phase.LISTINGS
    assert phases[Key("v2/_catalog")] is Phase.LISTINGS
    assert phases[Key("index.html")] is Phase.LISTINGS
    assert list(Phase) == sorted(Phase)
    assert [phase.name for phase in Phase] == [
        "SERVERS",
        "BLOBS",
        "MANIFESTS",
        "REFERRERS",
        "DELTA_INDEX",
        "TAGS",
        "LISTINGS",
    ]


def test_a_tag_that_clients_use_for_deltas_is_refused(tmp_path: Path) -> None:
    build = LayoutBuilder()
    record = record_of(tmp_path, {"latest": build.image(app(1))}, build=build)
    taken = replace(record, tags={"_deltaindex": record.tags["latest"]})
    with pytest.raises(CollisionError, match="app: the tag _deltaindex"):
        tree_of(taken)


def test_a_file_and_a_folder_of_one_name_are_refused(tmp_path: Path) -> None:
    build = LayoutBuilder()
    record = record_of(tmp_path, {"manifests": build.image(app(1))}, build=build)
    ledger = Ledger(repositories={"foo": record, "foo/manifests": record})
    with pytest.raises(CollisionError, match="v2/foo/manifests/manifests would be a file, and a folder"):
        assemble(ledger, (), extras={}, stores_headers=False)


def test_two_contents_for_one_key_are_refused(tmp_path: Path) -> None:
    build = LayoutBuilder()
    record = record_of(tmp_path, {"latest": build.image(app(1))}, build=build)
    with pytest.raises(CollisionError, match="v2/app/tags/list: two different contents"):
        tree_of(record, extras={Key("v2/app/tags/list"): b"something else"})


def test_the_same_ledger_gives_the_same_tree(tmp_path: Path) -> None:
    build = LayoutBuilder()
    record = record_of(tmp_path, {"latest": build.image(app(1))}, {"latest": build.image(app(2))}, build=build)
    delta, wanted = made(app(1), app(2)), wanted_of(record)
    again = read_again(Ledger(repositories={"app": record}, deltas={delta.key: delta}))
    tree = assemble(again, wanted, extras={}, stores_headers=False)
    assert tree == tree_of(record, delta, wanted=wanted)
    assert tree.in_order() == tree_of(record, delta, wanted=wanted[::-1]).in_order()


def test_shop_and_assemble_agree(tmp_path: Path) -> None:
    """What a run leaves is the tree, nothing more and nothing less."""
    shop = Shop(tmp_path)
    shop.images({"1.0": app(1), "2.0": app(2)})
    outcome = shop.run()
    tree = assemble(outcome.ledger, outcome.plan.wanted, extras={}, stores_headers=False)
    published = set(shop.folder.published())
    assert {key for key in published - set(tree.entries) if key.startswith("v2/")} == set()
    assert set(tree.entries) <= published
