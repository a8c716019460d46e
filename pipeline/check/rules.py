"""What clients need of a host, and for which of them it matters: one table. A further rule is a member of `Rule`, and a
probe that looks.

Rule 1. A client fails where something does not work for which it is there; it is warned where some use of it suffers.
Rule 2. A rule knows habits, not clients; whom nothing concerns gets a note.
"""

from dataclasses import dataclass, field
from enum import Enum

from .advice import Remedy
from .clients import Habit


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What is needed, by whom, and what to change.

    needs: what a host must do, for people.
    why: what happens to a client otherwise.
    source: where that is written, or what was measured.
    """

    needs: str
    why: str
    source: str
    remedy: Remedy
    fails: frozenset[Habit] = field(default_factory=frozenset)
    warns: frozenset[Habit] = field(default_factory=frozenset)


def _of(*habits: Habit) -> frozenset[Habit]:
    return frozenset(habits)


class Rule(Enum):
    """Named in results as `rule-name`."""

    # --- the connection

    CERTIFICATE = Need(
        needs="a certificate that clients trust, for this name, with its whole chain",
        why="every client refuses the connection",
        source="RFC 9525, and each client's TLS library",
        remedy=Remedy.CERTIFICATE,
        fails=_of(Habit.FETCHES),
    )
    PLAIN_HTTP = Need(
        needs="https",
        why="each client must be told that this host speaks plain http, and anybody between can change tags",
        source="containers-registries.conf, docker's insecure-registries, containerd's hosts.toml",
        remedy=Remedy.HTTPS,
        warns=_of(Habit.FETCHES),
    )
    REDIRECT_TO_HTTP = Need(
        needs="redirects from https to https alone",
        why="anybody between can change what a tag is",
        source="RFC 9110, section 17.1",
        remedy=Remedy.REDIRECTS,
        warns=_of(Habit.FETCHES),
    )
    REDIRECTS_END = Need(
        needs="redirects that end after a few steps",
        why="clients give up",
        source="Go's net/http follows 10, libcurl as it is told",
        remedy=Remedy.REDIRECTS,
        fails=_of(Habit.FETCHES),
    )
    ANSWERS = Need(
        needs="an answer to each request, with all of its body",
        why="clients give up",
        source="every client",
        remedy=Remedy.HOST,
        fails=_of(Habit.FETCHES),
    )
    PING = Need(
        needs="200 for /v2/",
        why="containers/image and crane ask for it first, and take anything else for no registry",
        source='distribution-spec, "Determining Support"; measured: skopeo, podman, buildah, crane',
        remedy=Remedy.CONFIGURATION,
        fails=_of(Habit.PINGS),
    )

    # --- manifests

    MANIFEST_TYPE = Need(
        needs="the media type of these very bytes as Content-Type of each manifest",
        why="clients take the manifest for something else, and stop",
        source='distribution-spec, "Pulling manifests"; measured: skopeo, podman, buildah, ctr, docker, helm',
        remedy=Remedy.CONFIGURATION,
        fails=_of(Habit.READS_TYPES),
        warns=_of(Habit.READS_INDEX_TYPES),
    )
    INDEX_TYPE = Need(
        needs="the media type of an index as Content-Type of each index",
        why="clients take it for an image of one platform, and stop",
        source='distribution-spec, "Pulling manifests"; measured: one fixed type for everything',
        remedy=Remedy.CONFIGURATION,
        fails=_of(Habit.READS_TYPES, Habit.READS_INDEX_TYPES),
    )
    INDEX_TYPE_EXACT = Need(
        needs="the media type of an index with nothing behind it: no charset",
        why="crane takes it for an image of one platform, and stops; others take the parameter",
        source="go-containerregistry, pkg/v1/remote; measured: crane 0.22.1",
        remedy=Remedy.CONFIGURATION,
        fails=_of(Habit.READS_EXACT_INDEX_TYPES),
    )
    MANIFEST_TYPE_ALONE = Need(
        needs="the right Content-Type where a manifest does not say itself what it is",
        why="flatpak has nothing else to go by",
        source="flatpak, common/flatpak-oci-registry.c; measured",
        remedy=Remedy.CONFIGURATION,
        fails=_of(Habit.READS_TYPES_INSIDE),
    )
    MANIFEST_BYTES = Need(
        needs="the bytes of a manifest as they were published",
        why="their digest is another one, so clients refuse them",
        source='image-spec, descriptor.md, "Verification"',
        remedy=Remedy.PUBLISH,
        fails=_of(Habit.FETCHES),
    )
    MANIFEST_THERE = Need(
        needs="each listed tag, and each manifest that is named for its digest",
        why="what it is part of cannot be pulled",
        source='distribution-spec, "Pulling manifests"',
        remedy=Remedy.PUBLISH,
        fails=_of(Habit.FETCHES),
    )
    PLATFORM_THERE = Need(
        needs="each manifest of an index",
        why="the image cannot be pulled for this platform, nor copied with all of them",
        source="an index may be published without some of its platforms",
        remedy=Remedy.PUBLISH,
        warns=_of(Habit.FETCHES),
    )
    TAG_BY_DIGEST = Need(
        needs="the manifest of each tag under its digest, too",
        why="docker and containerd resolve the tag, and then fetch the digest",
        source="measured: ctr, docker; everybody who pulls NAME@DIGEST",
        remedy=Remedy.PUBLISH,
        fails=_of(Habit.GOES_BY_DIGEST),
        warns=_of(Habit.FETCHES),
    )
    COLON = Need(
        needs="`:` in a path as it is, not as %3A alone",
        why="clients send it as it is",
        source="RFC 3986, section 3.3 (pchar); measured with every client",
        remedy=Remedy.NAMES,
        fails=_of(Habit.FETCHES),
    )
    ENCODED_COLON = Need(
        needs="%3A in a path as another spelling of `:`",
        why="no client here sends it; a proxy may",
        source="RFC 3986, section 6.2.2",
        remedy=Remedy.NAMES,
    )
    CASE = Need(
        needs="upper and lower case told apart",
        why="two tags that differ in nothing else are one here",
        source='distribution-spec, "Pulling manifests": <tag>',
        remedy=Remedy.NAMES,
        warns=_of(Habit.FETCHES),
    )
    HEAD = Need(
        needs="HEAD of a manifest answered as GET is",
        why="oras, helm and flatpak stop; docker, containerd and crane ask again with GET",
        source='distribution-spec, "Checking if content exists in the registry"; measured: ctr, docker, crane, oras',
        remedy=Remedy.HEAD,
        fails=_of(Habit.ASKS_HEAD, Habit.LOOKS_WITH_HEAD),
        warns=_of(Habit.TRIES_HEAD),
    )
    HEAD_DENIED = Need(
        needs="HEAD of a manifest answered as GET is, and not denied",
        why="oras, helm, flatpak and containerd stop; docker and crane ask again with GET",
        source='distribution-spec, "Checking if content exists in the registry"; measured: ctr, docker, crane, oras',
        remedy=Remedy.HEAD,
        fails=_of(Habit.ASKS_HEAD, Habit.LOOKS_WITH_HEAD, Habit.STOPS_AT_DENIED_HEAD),
        warns=_of(Habit.TRIES_HEAD),
    )
    HEAD_TYPE = Need(
        needs="the type in the answer to HEAD that GET gives",
        why="clients that begin with HEAD take the manifest for something else",
        source="RFC 9110, section 9.3.2; measured: ctr, oras",
        remedy=Remedy.HEAD,
        fails=_of(Habit.BELIEVES_HEAD),
    )
    HEAD_LENGTH = Need(
        needs="Content-Length in the answer to HEAD of a manifest",
        why="docker stops without it; oras and helm cannot resolve",
        source="measured: docker, oras",
        remedy=Remedy.HEAD,
        fails=_of(Habit.NEEDS_LENGTH, Habit.RESOLVES_BY_HEADER),
    )
    LENGTH = Need(
        needs="the true length in the answer to HEAD, not that of a compressed form",
        why="clients that begin with HEAD expect that many bytes, and stop",
        source="RFC 9110, section 8.6; measured: ctr, oras",
        remedy=Remedy.HEAD,
        fails=_of(Habit.BELIEVES_HEAD),
    )
    DIGEST_HEADER = Need(
        needs="the digest of these very bytes in Docker-Content-Digest, or no such header",
        why="oras and helm stop, containerd and docker fetch what it names, and crane reports that",
        source='distribution-spec, "Pulling manifests"; measured: ctr, docker, crane, oras',
        remedy=Remedy.DIGEST_HEADER,
        fails=_of(Habit.COMPARES_DIGEST_HEADER, Habit.GOES_BY_DIGEST, Habit.BELIEVES_DIGEST_HEADER),
    )
    TAG_DIGEST_HEADER = Need(
        needs="Docker-Content-Digest in the answer to HEAD of a tag",
        why="`oras discover NAME:TAG`, `oras copy NAME:TAG` and `helm resolve` fail; by digest, and pulls, they work",
        source="oras-go, Resolve; measured: oras 1.3.6, helm 4.2.3",
        remedy=Remedy.DIGEST_HEADER,
        warns=_of(Habit.RESOLVES_BY_HEADER),
    )
    MISSING_MANIFEST = Need(
        needs="404 for a manifest that is not there",
        why="403 reads as `denied`: clients do not try the next mirror, and do not look elsewhere",
        source='distribution-spec, "Pulling manifests"; flightctl goes on only after 404',
        remedy=Remedy.MISSING,
        warns=_of(Habit.FETCHES),
    )
    MISSING_PAGE = Need(
        needs="404 for what is not there, not a page with status 200",
        why="clients that look whether there is something (a tag, a signature, referrers) read the page, and stop",
        source='distribution-spec, "Pulling manifests"; measured: oras',
        remedy=Remedy.MISSING,
        warns=_of(Habit.FETCHES),
    )

    # --- blobs

    BLOB_THERE = Need(
        needs="each blob that a manifest names",
        why="the image cannot be pulled",
        source='distribution-spec, "Pulling blobs"',
        remedy=Remedy.PUBLISH,
        fails=_of(Habit.FETCHES),
    )
    BLOB_BYTES = Need(
        needs="the bytes of a blob as they were published",
        why="their digest or their size is another one, so clients refuse them",
        source='image-spec, descriptor.md, "Verification"',
        remedy=Remedy.PUBLISH,
        fails=_of(Habit.FETCHES),
    )
    MISSING_BLOB = Need(
        needs="404 for a blob that is not there",
        why="403 reads as `denied`; oras and crane ask whether a blob is there before they copy it",
        source='distribution-spec, "Pulling blobs"',
        remedy=Remedy.MISSING,
        warns=_of(Habit.FETCHES),
    )
    RANGES = Need(
        needs="206 for a Range of a blob",
        why="an interrupted download begins again",
        source='distribution-spec, "Pulling blobs"; measured: ctr, docker',
        remedy=Remedy.RANGES,
        warns=_of(Habit.RESUMES),
    )
    RANGE_BYTES = Need(
        needs="the very bytes of a Range that was asked for",
        why="an interrupted download ends with other bytes",
        source="RFC 9110, section 14",
        remedy=Remedy.RANGES,
        fails=_of(Habit.RESUMES),
    )

    # --- compression on the way

    ENCODED = Need(
        needs="no Content-Encoding on manifests and blobs that are sent as they are",
        why="clients decode before they hash, and come to something else",
        source="RFC 9110, section 8.4; measured",
        remedy=Remedy.COMPRESSION,
        fails=_of(Habit.DECODES),
    )
    COMPRESSED = Need(
        needs="no compression of manifests and blobs on the way, though clients say that they would take it",
        why="who does not decode gets other bytes, and an interrupted download cannot be resumed",
        source="Go's net/http sends Accept-Encoding: gzip, and decodes; measured: ctr, docker, skopeo, crane, oras",
        remedy=Remedy.COMPRESSION,
        warns=_of(Habit.DECODES),
    )
    COMPRESSED_TAG = Need(
        needs="tags that are not compressed on the way, or else Docker-Content-Digest in the answer to HEAD",
        why="without a length oras and helm resolve the tag by HEAD, and cannot: pulls by tag fail",
        source="oras-go, registry/remote: FetchReference; measured: oras 1.3.6",
        remedy=Remedy.COMPRESSION,
        fails=_of(Habit.RESOLVES_BY_HEADER),
    )
    NO_TRANSFORM = Need(
        needs="no-transform in Cache-Control",
        why="a proxy on the way may compress, and say that length to HEAD: containerd, oras and helm stop at it",
        source="RFC 9111, section 5.2.2.6; measured: ctr, helm, oras",
        remedy=Remedy.CACHING,
        warns=_of(Habit.BELIEVES_HEAD),
    )

    # --- caches

    CACHED = Need(
        needs="tags, listings, referrers and `_deltaindex` that are asked for again at each use (no-cache)",
        why="caches give out what was true some time ago",
        source="RFC 9111, section 4.2",
        remedy=Remedy.CACHING,
        warns=_of(Habit.FETCHES),
    )
    CACHED_LONG = Need(
        needs="tags, listings, referrers and `_deltaindex` that no cache keeps for a day",
        why="clients are led to what was deleted meanwhile, and updates do not come",
        source="RFC 9111, section 4.2",
        remedy=Remedy.CACHING,
        fails=_of(Habit.FETCHES),
    )
    STALE = Need(
        needs="what a tag is now",
        why="a cache in front gives out what it was before",
        source="RFC 9111, section 4.2.4",
        remedy=Remedy.CACHING,
        fails=_of(Habit.FETCHES),
    )

    # --- listings

    TAGS_LIST = Need(
        needs="tags/list as JSON, with `name` and `tags`",
        why="tags cannot be listed; flightctl reads them on its way to an image",
        source='distribution-spec, "Listing Tags"; measured: skopeo inspect',
        remedy=Remedy.CONFIGURATION,
        fails=_of(Habit.NEEDS_TAGS),
        warns=_of(Habit.LISTS_TAGS, Habit.PULLS_ALL_TAGS),
    )
    TAGS_ARE_IMAGES = Need(
        needs="tags/list without `_deltaindex` and `sha256-…`",
        why="`docker pull --all-tags` stops at what is no image",
        source="measured: docker",
        remedy=Remedy.PUBLISH,
        warns=_of(Habit.PULLS_ALL_TAGS),
    )
    CATALOG = Need(
        needs="_catalog as JSON, with `repositories`",
        why="`crane catalog` and `oras repo ls` fail",
        source="docker's registry API; measured: crane, oras, regctl",
        remedy=Remedy.CONFIGURATION,
        warns=_of(Habit.LISTS_REPOSITORIES),
    )
    PUBLISHER_STATE = Need(
        needs="404 below _deltapress/, the publisher's own folder",
        why="the ledger tells everybody of repositories and images that were removed",
        source="_deltapress/servers/README",
        remedy=Remedy.PRIVATE,
    )

    # --- referrers

    REFERRERS_TYPE = Need(
        needs="an index as the referrers of a digest, with exactly its media type and no charset",
        why="oras and crane take anything else for a registry without referrers, and look for the tag `sha256-<hex>`",
        source='distribution-spec, "Listing Referrers"; measured: oras 1.3.6',
        remedy=Remedy.CONFIGURATION,
        warns=_of(Habit.READS_REFERRERS),
    )
    REFERRERS_LOST = Need(
        needs="referrers of the right type, or else the tag `sha256-<hex>`",
        why="oras and crane show none of them, and copy none",
        source='distribution-spec, "Listing Referrers"; measured: oras 1.3.6',
        remedy=Remedy.CONFIGURATION,
        fails=_of(Habit.READS_REFERRERS),
    )
    REFERRERS_DENIED = Need(
        needs="200 or 404 for the referrers of what is published, and then for the tag `sha256-<hex>`",
        why="oras and crane stop at 403 or at a page, and flightctl does without a delta",
        source="measured: crane, oras; flightctl, internal/agent/device/dependency",
        remedy=Remedy.MISSING,
        fails=_of(Habit.READS_REFERRERS),
    )
    REFERRERS_UNKNOWN_DENIED = Need(
        needs="200 with an empty index for the referrers of an unknown digest, or else 404",
        why="403, which a bucket says of a missing key, makes flightctl give up, and oras and crane fail",
        source='distribution-spec, "Listing Referrers"; crane, oras, flightctl',
        remedy=Remedy.MISSING,
        warns=_of(Habit.READS_REFERRERS),
    )
    REFERRERS_UNKNOWN = Need(
        needs="200 with an empty index for the referrers of an unknown digest",
        why="clients look for the tag `sha256-<hex>` then, which is one more request",
        source='distribution-spec, "Listing Referrers"',
        remedy=Remedy.EMPTY_REFERRERS,
    )
    REFERRERS_CODE = Need(
        needs="MANIFEST_UNKNOWN in the body of a 404 for referrers, never NAME_UNKNOWN",
        why="oras takes it for a repository that is not there, and gives up",
        source="oras-go, registry/remote/repository.go; measured",
        remedy=Remedy.MISSING,
        fails=_of(Habit.GIVES_UP_UNKNOWN_NAMES),
    )
    REFERRERS_TAG = Need(
        needs="the tag `sha256-<hex>` of what has referrers",
        why="flightctl looks for it, and others where the referrers are not to be had",
        source='distribution-spec, "Referrers Tag Schema"; measured: skopeo 1.9.3 knows no referrers',
        remedy=Remedy.PUBLISH,
        fails=_of(Habit.READS_REFERRERS_TAG),
    )
    REFERRERS_THERE = Need(
        needs="some way to the referrers: the listing, or the tag `sha256-<hex>`",
        why="signatures, SBOMs and deltas are not found",
        source='distribution-spec, "Listing Referrers"',
        remedy=Remedy.PUBLISH,
        warns=_of(Habit.READS_REFERRERS),
    )
    REFERRERS_OF_INDEX = Need(
        needs="the artifacts of all its platforms among the referrers of an index",
        why="flightctl asks by the digest that the tag has, which is the index",
        source="measured: skopeo inspect",
        remedy=Remedy.PUBLISH,
        fails=_of(Habit.READS_REFERRERS_TAG),
    )

    # --- flatpak

    FLATPAK_ABSENT = Need(
        needs="index/static",
        why="flatpak finds no image here",
        source="flatpak, common/flatpak-oci-registry.c",
        remedy=Remedy.CONFIGURATION,
        warns=_of(Habit.READS_FLATPAK_INDEX),
    )
    FLATPAK_INDEX = Need(
        needs="index/static as JSON, with `Registry` and `Results`, whatever the query is",
        why="flatpak finds no image here",
        source="flatpak, common/flatpak-json-oci.c; measured",
        remedy=Remedy.CONFIGURATION,
        fails=_of(Habit.READS_FLATPAK_INDEX),
    )
    FLATPAK_TYPE = Need(
        needs="application/json as the type of index/static",
        why="a proxy or a browser may take it for something else; flatpak itself reads it",
        source="flatpak's registry index, as its own servers answer",
        remedy=Remedy.CONFIGURATION,
    )
    FLATPAK_CACHE = Need(
        needs="no-cache, or Expires, on index/static",
        why="flatpak keeps it for 30 minutes, and says that there is nothing to do",
        source="measured",
        remedy=Remedy.CACHING,
        warns=_of(Habit.READS_FLATPAK_INDEX),
    )
    FLATPAK_IMAGES = Need(
        needs="each image that index/static names, once for each ref",
        why="flatpak does not filter: it takes the first, and fails where that is not there",
        source="measured",
        remedy=Remedy.PUBLISH,
        fails=_of(Habit.READS_FLATPAK_INDEX),
    )

    # --- deltas

    DELTA_INDEX = Need(
        needs="a `_deltaindex` that leads to sound delta manifests, and each of its deltas, of the size that it says",
        why="flatpak has no fallback: the update fails",
        source="flatpak 1.8 to 1.19, containers/image pull request 902; measured",
        remedy=Remedy.PUBLISH,
        fails=_of(Habit.APPLIES_DELTA_INDEX),
    )
    ARTIFACTS = Need(
        needs="artifacts of oci-delta as they are listed, and each of their parts, of the size that they say",
        why="the update by deltas fails; flightctl pulls everything instead",
        source="crate oci-delta 0.1.1; measured: cfsctl 0.9.4",
        remedy=Remedy.PUBLISH,
        fails=_of(Habit.APPLIES_ARTIFACTS),
    )
    DELTA_INDEX_PROVEN = Need(
        needs="deltas of `_deltaindex` that make the layer that they are for",
        why="flatpak has no fallback: the update fails",
        source="every delta was applied to the old layer that this host serves",
        remedy=Remedy.PUBLISH,
        fails=_of(Habit.APPLIES_DELTA_INDEX),
    )
    ARTIFACTS_PROVEN = Need(
        needs="deltas of artifacts that make the layer that they are for",
        why="the update by deltas fails",
        source="every delta was applied to the old image that this host serves",
        remedy=Remedy.PUBLISH,
        fails=_of(Habit.APPLIES_ARTIFACTS),
    )

    @property
    def label(self) -> str:
        """As it stands in results."""
        return self.name.lower().replace("_", "-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """A rule that the host breaks, where, and how; what it answered is anybody's text."""

    rule: Rule
    path: str
    detail: str
