"""What a host can do wrong, one thing each, and what a check must say of it."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from werkzeug.wrappers import Request, Response

from pipeline.check.rules import Rule
from pipeline.keys import LEDGER_KEY
from pipeline.oci.media_types import OCI_MANIFEST

from . import misbehaving as bad
from .trees import INDEXED, SINGLE

PODMAN, COMPOSEFS = "podman, skopeo, buildah, CRI-O", "composefs, bootc"
EVERYBODY: Final = frozenset(
    {PODMAN, COMPOSEFS, "docker", "containerd", "crane", "oras", "helm", "flatpak", "flightctl"}
)
CONTAINERS_IMAGE: Final = {PODMAN, COMPOSEFS, "flightctl"}
TYPED: Final = {*CONTAINERS_IMAGE, "docker", "containerd", "oras", "helm"}
WRONG: Final = f"sha256:{'0' * 64}"


@dataclass(frozen=True, kw_only=True)
class Case:
    """A defect, the rule that it breaks, for whom that is a failure or a warning, and what else it breaks.

    With `is_applying`, deltas are applied.
    """

    name: str
    defect: bad.Defect
    rule: Rule
    fails: frozenset[str] | set[str] = frozenset()
    warns: frozenset[str] | set[str] = frozenset()
    others: set[Rule] = field(default_factory=set)
    is_applying: bool = False

    def __str__(self) -> str:
        return self.name


def _both(*defects: bad.Defect) -> bad.Defect:
    def defect(request: Request, answer: Response) -> Response | None:
        for one in defects:
            answer = one(request, answer) or answer
        return answer

    return defect


def _at(end: str) -> Callable[[Request], bool]:
    return lambda request: request.path.endswith(end)


def _ledger_served(request: Request, answer: Response) -> Response | None:
    file = bad.root_of(request) / LEDGER_KEY
    return Response(file.read_bytes()) if request.path == f"/{LEDGER_KEY}" else None


def _repository(request: Request, name: str) -> Path:
    return bad.root_of(request) / "v2" / name


def _json(file: Path) -> Any:
    return json.loads(file.read_bytes()) if file.exists() else {"manifests": [], "layers": []}


def _platforms_gone(*, all_of_them: bool) -> bad.Defect:
    """What an index names, though its tag and its digest are there: the last platform of each, or all of them."""

    def defect(request: Request, answer: Response) -> Response | None:
        manifests = _repository(request, INDEXED) / "manifests"
        entries = [[entry["digest"] for entry in _json(manifests / tag)["manifests"]] for tag in ("1.0", "1.1")]
        gone = {digest for inside in entries for digest in (inside if all_of_them else inside[1:])}
        is_gone = bad.is_digest(request) and request.path.rpartition("/")[2] in gone
        return Response(status=404) if is_gone else None

    return defect


def _no_artifacts_of_indexes(request: Request, answer: Response) -> Response | None:
    """Nothing is listed for what a tag leads to, if that is an index."""
    manifests = _repository(request, INDEXED) / "manifests"
    indexes = {bad.digest_of((manifests / tag).read_bytes()) for tag in ("1.0", "1.1")}
    if request.path.rpartition("/")[2].replace("sha256-", "sha256:") not in indexes:
        return None
    if bad.is_referrers_tag(request):
        return Response(status=404)
    return bad.nothing_listed() if bad.is_referrers(request) else None


def _deltas(request: Request, name: str, format_name: str) -> set[str]:
    """The digests of the tar-diffs that a format lists."""
    repository = _repository(request, name)
    if format_name == "deltaindex":
        listings = [repository / "manifests" / "_deltaindex"]
    else:
        listings = sorted((repository / "referrers").iterdir())
    documents = {entry["digest"] for listing in listings for entry in _json(listing)["manifests"]}
    layers = [layer for digest in documents for layer in _json(repository / "manifests" / digest)["layers"]]
    return {layer["digest"] for layer in layers if layer["mediaType"] == "application/vnd.tar-diff"}


def _deltas_gone(format_name: str) -> bad.Defect:
    def defect(request: Request, answer: Response) -> Response | None:
        is_delta = bad.is_blob(request) and request.path.rpartition("/")[2] in _deltas(request, INDEXED, format_name)
        return Response(status=404) if is_delta else None

    return defect


def _deltas_longer(request: Request, answer: Response) -> None:
    """Bytes behind them, of which HEAD says nothing."""
    is_delta = bad.is_blob(request) and request.path.rpartition("/")[2] in _deltas(request, SINGLE, "deltaindex")
    if is_delta and request.method == "GET":
        answer.set_data(answer.get_data() + bytes(10_000))


def _deltas_swapped(request: Request, answer: Response) -> None:
    """As many other bytes."""
    is_delta = bad.is_blob(request) and request.path.rpartition("/")[2] in _deltas(request, SINGLE, "deltaindex")
    if is_delta and request.method == "GET":
        answer.set_data(bytes(len(answer.get_data())))


def _on_head(defect: bad.Defect) -> bad.Defect:
    return lambda request, answer: defect(request, answer) if request.method == "HEAD" else None


# what every client was tried with
LISTED: Final[tuple[Case, ...]] = (
    *(
        Case(
            name=f"manifests {name}",
            defect=bad.typed(media_type),
            rule=Rule.MANIFEST_TYPE,
            fails=TYPED,
            warns={"crane"},
            others={Rule.INDEX_TYPE, Rule.MANIFEST_TYPE_ALONE},
        )
        for name, media_type in (
            ("without a type", None),
            ("as octet-stream", "application/octet-stream"),
            ("as text", "text/plain"),
            ("as plain JSON", "application/json"),
        )
    ),
    Case(
        name="one type for everything",
        defect=bad.typed(OCI_MANIFEST),
        rule=Rule.INDEX_TYPE,
        fails={*TYPED, "crane"},
        others={Rule.MANIFEST_TYPE},  # of the image that is Docker's
    ),
    Case(
        name="a charset behind the type of an index",
        defect=bad.suffixed(bad.is_manifest),
        rule=Rule.INDEX_TYPE_EXACT,
        fails={"crane"},
    ),
    Case(
        name="a manifest that says nowhere what it is",
        defect=bad.typed("application/octet-stream", lambda request: bad.is_tag(request) and "silent" in request.path),
        rule=Rule.MANIFEST_TYPE_ALONE,
        fails={"flatpak"},
        others={Rule.MANIFEST_TYPE},
    ),
    Case(
        name="403 for /v2/",
        defect=bad.refused(403, _at("/v2/")),
        rule=Rule.PING,
        fails={*CONTAINERS_IMAGE, "crane"},
    ),
    Case(
        name="tags without their digests",
        defect=bad.refused(404, lambda request: bad.is_digest(request) and SINGLE in request.path),
        rule=Rule.TAG_BY_DIGEST,
        fails={"docker", "containerd"},
        warns=EVERYBODY - {"docker", "containerd"},
        others={Rule.DELTA_INDEX},
    ),
    Case(
        name="no HEAD",
        defect=bad.refused(405, bad.is_manifest, method="HEAD"),
        rule=Rule.HEAD,
        fails={"oras", "helm", "flatpak"},
        warns={"docker", "containerd", "crane"},
        others={Rule.FLATPAK_IMAGES},
    ),
    Case(
        name="HEAD denied",
        defect=bad.refused(403, bad.is_manifest, method="HEAD"),
        rule=Rule.HEAD_DENIED,
        fails={"containerd", "oras", "helm", "flatpak"},
        warns={"docker", "crane"},
        others={Rule.FLATPAK_IMAGES},
    ),
    Case(
        name="another type in the answer to HEAD",
        defect=_on_head(bad.typed("application/octet-stream")),
        rule=Rule.HEAD_TYPE,
        fails={"containerd", "oras", "helm"},
    ),
    Case(
        name="HEAD without a length",
        defect=bad.without_length,
        rule=Rule.HEAD_LENGTH,
        fails={"docker", "oras", "helm"},
    ),
    Case(
        name="no Docker-Content-Digest on tags",
        defect=bad.header("Docker-Content-Digest", None, bad.is_tag),
        rule=Rule.TAG_DIGEST_HEADER,
        warns={"oras", "helm"},
    ),
    Case(
        name="a stale Docker-Content-Digest",
        defect=bad.header("Docker-Content-Digest", WRONG, bad.is_tag),
        rule=Rule.DIGEST_HEADER,
        fails={"docker", "containerd", "crane", "oras", "helm"},
    ),
    Case(
        name="referrers as plain JSON",
        defect=bad.typed("application/json", bad.is_referrers),
        rule=Rule.REFERRERS_TYPE,
        warns={"crane", "oras", "flightctl"},
    ),
    Case(
        name="a charset behind the type of referrers",
        defect=bad.suffixed(bad.is_referrers),
        rule=Rule.REFERRERS_TYPE,
        warns={"crane", "oras", "flightctl"},
    ),
    Case(
        name="referrers of another type, and no tag for them",
        defect=_both(bad.suffixed(bad.is_referrers), bad.refused(404, bad.is_referrers_tag)),
        rule=Rule.REFERRERS_LOST,
        fails={"crane", "oras", "flightctl"},
        others={Rule.REFERRERS_TYPE, Rule.REFERRERS_TAG},
    ),
    Case(
        name="403 for referrers",
        defect=bad.refused(403, bad.is_referrers),
        rule=Rule.REFERRERS_DENIED,
        fails={"crane", "oras", "flightctl"},
        others={Rule.REFERRERS_UNKNOWN_DENIED},
    ),
    Case(
        name="no tag for referrers",
        defect=bad.refused(404, bad.is_referrers_tag),
        rule=Rule.REFERRERS_TAG,
        fails={"flightctl"},
    ),
    Case(
        name="no way to referrers",
        defect=bad.refused(
            404, lambda request: bad.is_referrers(request) or bad.is_referrers_tag(request), code="MANIFEST_UNKNOWN"
        ),
        rule=Rule.REFERRERS_THERE,
        warns={"crane", "oras", "flightctl"},
        others={Rule.REFERRERS_UNKNOWN},
    ),
    Case(
        name="NAME_UNKNOWN for referrers",
        defect=bad.refused(404, bad.is_referrers, code="NAME_UNKNOWN"),
        rule=Rule.REFERRERS_CODE,
        fails={"oras"},
        others={Rule.REFERRERS_UNKNOWN, Rule.REFERRERS_THERE},
    ),
    Case(
        name="_deltaindex among the tags",
        defect=bad.with_json(_at("/tags/list"), lambda document: document["tags"].insert(0, "_deltaindex")),
        rule=Rule.TAGS_ARE_IMAGES,
        warns={"docker"},
    ),
    Case(
        name="Content-Encoding on blobs that are gzip themselves",
        defect=bad.header("Content-Encoding", "gzip", bad.is_blob, method="GET"),
        rule=Rule.ENCODED,
        fails=EVERYBODY,
    ),
    Case(
        name="manifests compressed on the way",
        defect=bad.compressed(bad.is_manifest),
        rule=Rule.COMPRESSED,
        warns=EVERYBODY,
    ),
    Case(
        name="blobs compressed on the way",
        defect=bad.compressed(bad.is_blob),
        rule=Rule.COMPRESSED,
        warns=EVERYBODY,
    ),
    Case(
        name="the compressed length in the answer to HEAD",
        defect=_both(bad.compressed(bad.is_manifest), _on_head(bad.header("Content-Length", "300", bad.is_manifest))),
        rule=Rule.LENGTH,
        fails={"containerd", "oras", "helm"},
        others={Rule.COMPRESSED},
    ),
    Case(
        name="tags compressed on the way, and no Docker-Content-Digest",
        defect=_both(bad.compressed(bad.is_manifest), bad.header("Docker-Content-Digest", None, bad.is_tag)),
        rule=Rule.COMPRESSED_TAG,
        fails={"oras", "helm"},
        others={Rule.COMPRESSED, Rule.TAG_DIGEST_HEADER},
    ),
    Case(
        name="everything compressed unasked",
        defect=bad.compressed(bad.is_manifest, unasked=True),
        rule=Rule.COMPRESSED,
        warns=EVERYBODY,
        others={Rule.HEAD_LENGTH},
    ),
    Case(
        name="other bytes behind a compression on the way",
        defect=bad.compressed(bad.is_blob, other=b"\n"),
        rule=Rule.ENCODED,
        fails=EVERYBODY,
    ),
    Case(
        name="no no-transform",
        defect=bad.header(
            "Cache-Control", "no-cache", lambda request: bad.is_manifest(request) or bad.is_blob(request)
        ),
        rule=Rule.NO_TRANSFORM,
        warns={"containerd", "oras", "helm"},
    ),
    Case(
        name="no ranges",
        defect=bad.without_ranges,
        rule=Rule.RANGES,
        warns={"docker", "containerd"},
    ),
    Case(
        name="no colons",
        defect=bad.refused(400, lambda request: bad.is_digest(request) and ":" in request.environ["RAW_URI"]),
        rule=Rule.COLON,
        fails=EVERYBODY,
        others={Rule.FLATPAK_IMAGES, Rule.DELTA_INDEX},
    ),
)

MORE: Final[tuple[Case, ...]] = (
    # --- the connection
    Case(
        name="redirects that do not end",
        defect=bad.redirected("{path}", bad.is_blob),
        rule=Rule.REDIRECTS_END,
        fails=EVERYBODY,
        others={Rule.BLOB_THERE, Rule.DELTA_INDEX, Rule.ARTIFACTS, Rule.MISSING_BLOB},
    ),
    Case(
        name="bodies that break off",
        defect=bad.broken_off(lambda request: bad.is_manifest(request) and request.path.endswith("/1.1")),
        rule=Rule.ANSWERS,
        fails=EVERYBODY,
        others={Rule.MANIFEST_THERE},
    ),
    # --- manifests
    Case(
        name="a listed tag that is not there",
        defect=bad.refused(404, _at("/manifests/1.1")),
        rule=Rule.MANIFEST_THERE,
        fails=EVERYBODY,
    ),
    Case(
        name="another manifest under a digest",
        defect=bad.rewritten(
            lambda request: bad.is_digest(request) and INDEXED in request.path, lambda raw: raw + b"\n"
        ),
        rule=Rule.MANIFEST_BYTES,
        fails=EVERYBODY,
        others={Rule.DIGEST_HEADER, Rule.LENGTH, Rule.DELTA_INDEX, Rule.ARTIFACTS},
    ),
    Case(
        name="an index of which a platform is not there",
        defect=_platforms_gone(all_of_them=False),
        rule=Rule.PLATFORM_THERE,
        warns=EVERYBODY,
    ),
    Case(
        name="an index of which no platform is there",
        defect=_platforms_gone(all_of_them=True),
        rule=Rule.MANIFEST_THERE,
        fails=EVERYBODY,
    ),
    Case(
        name="no %3A",
        defect=bad.refused(404, lambda request: "%3A" in request.environ["RAW_URI"].partition("?")[0]),
        rule=Rule.ENCODED_COLON,
    ),
    Case(
        name="a file system that folds case",
        defect=bad.also_in_capitals,
        rule=Rule.CASE,
        warns=EVERYBODY,
    ),
    Case(
        name="a wrong length in the answer to HEAD",
        defect=_on_head(bad.header("Content-Length", "7", bad.is_manifest)),
        rule=Rule.LENGTH,
        fails={"containerd", "oras", "helm"},
    ),
    Case(
        name="403 for a missing manifest",
        defect=bad.missing_is(403, on=bad.is_manifest),
        rule=Rule.MISSING_MANIFEST,
        warns=EVERYBODY,
    ),
    Case(
        name="a page for everything that is missing",
        defect=bad.missing_is(200, bad.PAGE),
        rule=Rule.MISSING_PAGE,
        warns=EVERYBODY,
        others={Rule.REFERRERS_TYPE},
    ),
    # --- blobs
    Case(
        name="blobs that are not there",
        defect=bad.refused(404, lambda request: bad.is_blob(request) and request.path.startswith("/v2/org.")),
        rule=Rule.BLOB_THERE,
        fails=EVERYBODY,
    ),
    Case(
        name="blobs with other bytes",
        defect=bad.rewritten(lambda request: bad.is_blob(request) and request.path.startswith("/v2/org."), bytes.upper),
        rule=Rule.BLOB_BYTES,
        fails=EVERYBODY,
        others={Rule.RANGE_BYTES},
    ),
    Case(
        name="403 for a missing blob",
        defect=bad.missing_is(403, on=bad.is_blob),
        rule=Rule.MISSING_BLOB,
        warns=EVERYBODY,
    ),
    Case(
        name="other bytes for a range",
        defect=bad.wrong_ranges,
        rule=Rule.RANGE_BYTES,
        fails={"docker", "containerd"},
    ),
    # --- caches
    Case(
        name="tags that are kept for ten minutes",
        defect=bad.header("Cache-Control", "max-age=600, no-transform", bad.is_tag),
        rule=Rule.CACHED,
        warns=EVERYBODY,
    ),
    Case(
        name="everything kept for a year",
        defect=bad.header("Cache-Control", "public, max-age=31536000, no-transform", lambda request: True),
        rule=Rule.CACHED_LONG,
        fails=EVERYBODY,
    ),
    Case(
        name="a tag from a cache",
        defect=bad.cached_tag("1.2", "1.1"),
        rule=Rule.STALE,
        fails=EVERYBODY,
        others={Rule.TAG_DIGEST_HEADER},
    ),
    # --- listings
    Case(
        name="no list of tags",
        defect=bad.refused(404, lambda request: request.path == f"/v2/{SINGLE}/tags/list"),
        rule=Rule.TAGS_LIST,
        fails={"flightctl"},
        warns={PODMAN, "docker", "crane", "oras"},
    ),
    # --- referrers
    Case(
        name="403 for unknown referrers",
        defect=bad.missing_is(403, on=bad.is_referrers),
        rule=Rule.REFERRERS_UNKNOWN_DENIED,
        warns={"crane", "oras", "flightctl"},
    ),
    Case(
        name="404 for unknown referrers",
        defect=bad.missing_is(404, on=bad.is_referrers),
        rule=Rule.REFERRERS_UNKNOWN,
    ),
    Case(
        name="artifacts that are listed for a platform alone",
        defect=_no_artifacts_of_indexes,
        rule=Rule.REFERRERS_OF_INDEX,
        fails={"flightctl"},
    ),
    # --- flatpak
    Case(
        name="no index/static",
        defect=bad.refused(404, _at("/index/static")),
        rule=Rule.FLATPAK_ABSENT,
        warns={"flatpak"},
    ),
    Case(
        name="a page as index/static",
        defect=bad.refused(200, _at("/index/static"), body=bad.PAGE),
        rule=Rule.FLATPAK_INDEX,
        fails={"flatpak"},
        others={Rule.FLATPAK_CACHE},
    ),
    Case(
        name="index/static that is another one with a query",
        defect=lambda request, answer: (
            bad.refused(404, _at("/index/static"))(request, answer) if request.query_string else None
        ),
        rule=Rule.FLATPAK_INDEX,
        fails={"flatpak"},
    ),
    Case(
        name="index/static as octet-stream",
        defect=bad.typed("application/octet-stream", _at("/index/static")),
        rule=Rule.FLATPAK_TYPE,
    ),
    Case(
        name="index/static without a rule for caches",
        defect=bad.header("Cache-Control", None, _at("/index/static")),
        rule=Rule.FLATPAK_CACHE,
        warns={"flatpak"},
    ),
    Case(
        name="an image twice in index/static",
        defect=bad.with_json(_at("/index/static"), lambda document: document["Results"].append(document["Results"][0])),
        rule=Rule.FLATPAK_IMAGES,
        fails={"flatpak"},
    ),
    Case(
        name="the ledger is served",
        defect=_ledger_served,
        rule=Rule.PUBLISHER_STATE,
    ),
    # --- deltas
    Case(
        name="a delta of _deltaindex that is not there",
        defect=_deltas_gone("deltaindex"),
        rule=Rule.DELTA_INDEX,
        fails={"flatpak"},
    ),
    Case(
        name="a part of an artifact that is not there",
        defect=_deltas_gone("oci-delta"),
        rule=Rule.ARTIFACTS,
        fails={"flightctl", COMPOSEFS},
    ),
    Case(
        name="deltas with more bytes than their descriptors say",
        defect=_deltas_longer,
        rule=Rule.DELTA_INDEX_PROVEN,
        fails={"flatpak"},
        others={Rule.ARTIFACTS_PROVEN},
        is_applying=True,
    ),
    Case(
        name="deltas that make something else",
        defect=_deltas_swapped,
        rule=Rule.DELTA_INDEX_PROVEN,
        fails={"flatpak"},
        others={Rule.ARTIFACTS_PROVEN},
        is_applying=True,
    ),
)
