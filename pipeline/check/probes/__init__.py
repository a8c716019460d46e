"""The probes: each makes one kind of request, and yields what it sees of rules that the host breaks.

connection   certificates, redirects, broken answers
manifests    types, HEAD, digests, names
blobs        bytes and ranges
encoding     compression on the way
caches       how long what changes is kept
listings     tags/list, _catalog; the ledger, which is nobody's
referrers    the listing, and its tag
flatpak      index/static
deltas       both formats: what is listed is there

A further probe is a line in `PROBES`. A probe judges nothing: for whom a rule matters stands in `rules`.
"""

from collections.abc import Callable, Iterator
from typing import Final

from ..rules import Observation
from ..survey import Site
from . import blobs, caches, connection, deltas, encoding, flatpak, listings, manifests, referrers

Probe = Callable[[Site], Iterator[Observation]]

# in this order; those at the end may find the bounds of the run reached
PROBES: Final[tuple[Probe, ...]] = (
    connection.security,
    connection.ping,
    manifests.there,
    manifests.types,
    manifests.digests,
    manifests.heads,
    manifests.missing,
    manifests.names,
    blobs.contents,
    blobs.ranges,
    encoding.encodings,
    listings.tags,
    listings.repositories,
    listings.ledger,
    referrers.known,
    referrers.of_indexes,
    referrers.unknown,
    flatpak.index,
    deltas.parts,
    caches.lifetimes,
    caches.transforms,
    caches.stale,
    connection.redirects,
    connection.broken,
)

__all__ = ["PROBES", "Probe"]
