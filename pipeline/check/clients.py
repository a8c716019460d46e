"""The clients, and what each of them does that a host can spoil. A further client is an entry of `CLIENTS`."""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final


class Habit(Enum):
    """Something that a client does, or relies upon."""

    FETCHES = auto()
    """Follows names to bytes, and hashes them: what has the wrong bytes, or is not there, stops it."""
    PINGS = auto()
    """Asks for /v2/ first, and stops at anything but 200."""
    READS_TYPES = auto()
    """Learns from Content-Type what a manifest is."""
    READS_INDEX_TYPES = auto()
    """Learns from Content-Type whether something is an index; takes all else for an image."""
    READS_EXACT_INDEX_TYPES = auto()
    """Takes an index whose type has a parameter behind it for an image."""
    READS_TYPES_INSIDE = auto()
    """Learns from `mediaType` in a manifest what it is, and from Content-Type only where that is missing."""
    ASKS_HEAD = auto()
    """Begins with HEAD of a tag, and stops where that fails."""
    TRIES_HEAD = auto()
    """Begins with HEAD of a tag, and asks again with GET where that is not allowed."""
    STOPS_AT_DENIED_HEAD = auto()
    """But stops where HEAD is denied, with 403 say."""
    BELIEVES_HEAD = auto()
    """Takes type and length of a manifest from the answer to HEAD."""
    LOOKS_WITH_HEAD = auto()
    """Asks by HEAD whether a manifest is there, and reads nothing else of the answer."""
    NEEDS_LENGTH = auto()
    """Needs Content-Length in the answer to HEAD."""
    GOES_BY_DIGEST = auto()
    """Resolves a tag to a digest first, and then fetches the manifest by that."""
    COMPARES_DIGEST_HEADER = auto()
    """Stops where Docker-Content-Digest is another digest than that of the bytes."""
    BELIEVES_DIGEST_HEADER = auto()
    """Reports Docker-Content-Digest without comparing it."""
    RESOLVES_BY_HEADER = auto()
    """Cannot resolve a tag by HEAD without Docker-Content-Digest."""
    DECODES = auto()
    """Undoes a Content-Encoding before it hashes."""
    RESUMES = auto()
    """Goes on with an interrupted download of a blob, by Range."""
    LISTS_TAGS = auto()
    """Has a command that lists tags."""
    NEEDS_TAGS = auto()
    """Reads tags/list on its way to an image, and stops where it is missing."""
    PULLS_ALL_TAGS = auto()
    """Has a command that pulls all that tags/list holds."""
    LISTS_REPOSITORIES = auto()
    """Has a command that lists all repositories."""
    READS_REFERRERS = auto()
    """Asks for the referrers of a digest; 404, or another type than that of an index, sends it to the tag
    `sha256-<hex>`, and anything else ends it."""
    GIVES_UP_UNKNOWN_NAMES = auto()
    """Takes NAME_UNKNOWN for a repository that is not there, and does not look for that tag."""
    READS_REFERRERS_TAG = auto()
    """Looks for the tag `sha256-<hex>` of a digest."""
    READS_FLATPAK_INDEX = auto()
    """Finds images by index/static."""
    APPLIES_DELTA_INDEX = auto()
    """Updates by the deltas of `_deltaindex`, without a fallback."""
    APPLIES_ARTIFACTS = auto()
    """Updates by artifacts of oci-delta."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """`name` is for people and in the JSON. `insecure` says how it is told that a host speaks plain http."""

    name: str
    habits: frozenset[Habit]
    insecure: str


_CONTAINERS_IMAGE: Final = frozenset({Habit.FETCHES, Habit.PINGS, Habit.READS_TYPES, Habit.DECODES, Habit.LISTS_TAGS})
_ORAS_GO: Final = frozenset(
    {
        *(Habit.FETCHES, Habit.READS_TYPES, Habit.ASKS_HEAD, Habit.BELIEVES_HEAD, Habit.COMPARES_DIGEST_HEADER),
        *(Habit.RESOLVES_BY_HEADER, Habit.DECODES),
    }
)

# Measured with skopeo 1.9.3, podman 4.3.1, buildah 1.28.2, ctr 1.6.20, Docker Engine 20.10.24, Helm 4.2.3, crane
# 0.22.1, oras 1.3.6, flatpak 1.14, cfsctl 0.9.4, against a server with switchable defects; newer ones read in source.
CLIENTS: Final[tuple[Client, ...]] = (
    Client(
        name="podman, skopeo, buildah, CRI-O",
        habits=_CONTAINERS_IMAGE,
        insecure="--tls-verify=false, or `insecure = true` in registries.conf",
    ),
    Client(
        name="docker",
        habits=frozenset(
            {
                *(Habit.FETCHES, Habit.READS_TYPES, Habit.TRIES_HEAD, Habit.NEEDS_LENGTH, Habit.GOES_BY_DIGEST),
                *(Habit.DECODES, Habit.RESUMES, Habit.PULLS_ALL_TAGS),
            }
        ),
        insecure="`insecure-registries` in daemon.json",
    ),
    Client(
        name="containerd",
        habits=frozenset(
            {
                *(Habit.FETCHES, Habit.READS_TYPES, Habit.TRIES_HEAD, Habit.STOPS_AT_DENIED_HEAD),
                *(Habit.BELIEVES_HEAD, Habit.GOES_BY_DIGEST, Habit.DECODES, Habit.RESUMES),
            }
        ),
        insecure="a hosts.toml with an http:// server, or ctr --plain-http",
    ),
    Client(
        name="crane",
        habits=frozenset(
            {
                *(Habit.FETCHES, Habit.PINGS, Habit.READS_INDEX_TYPES, Habit.READS_EXACT_INDEX_TYPES),
                *(Habit.TRIES_HEAD, Habit.DECODES),
                *(Habit.BELIEVES_DIGEST_HEADER, Habit.LISTS_TAGS, Habit.LISTS_REPOSITORIES, Habit.READS_REFERRERS),
            }
        ),
        insecure="--insecure",
    ),
    Client(
        name="oras",
        habits=_ORAS_GO
        | {
            *(Habit.LISTS_TAGS, Habit.LISTS_REPOSITORIES),
            *(Habit.READS_REFERRERS, Habit.GIVES_UP_UNKNOWN_NAMES),
        },
        insecure="--plain-http",
    ),
    Client(name="helm", habits=_ORAS_GO, insecure="--plain-http"),
    Client(
        name="flatpak",
        habits=frozenset(
            {
                *(Habit.FETCHES, Habit.READS_TYPES_INSIDE, Habit.LOOKS_WITH_HEAD, Habit.DECODES),
                *(Habit.READS_FLATPAK_INDEX, Habit.APPLIES_DELTA_INDEX),
            }
        ),
        insecure="a remote at oci+http://",
    ),
    Client(
        name="flightctl",
        # its agent asks skopeo, which reads tags/list while it inspects
        habits=_CONTAINERS_IMAGE
        | {Habit.NEEDS_TAGS, Habit.READS_REFERRERS, Habit.READS_REFERRERS_TAG, Habit.APPLIES_ARTIFACTS},
        insecure="`insecure = true` in registries.conf",
    ),
    Client(
        name="composefs, bootc",
        # through skopeo's image proxy, by a digest that it is told
        habits=_CONTAINERS_IMAGE - {Habit.LISTS_TAGS} | {Habit.APPLIES_ARTIFACTS},
        insecure="`insecure = true` in registries.conf",
    ),
)
