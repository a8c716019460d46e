"""The formats in which deltas are published, each a noun: its documents, how they are read and recognised.

contract      what a format is
delta_index   `_deltaindex`: flatpak, containers/image
oci_delta     artifacts among the referrers: bootc, composefs, flightctl
signatures    what of an image's signatures travels with these

Pure. A further format is a file beside these, and a line in `FORMATS`.
"""

from typing import Final

from ...oci.manifest import Document, Manifest
from .contract import DeltaDocument, DeltaFormat, DeltaListing, Offer
from .delta_index import DeltaIndex
from .oci_delta import OciDelta

FORMATS: Final[tuple[DeltaFormat, ...]] = (DeltaIndex(), OciDelta())


def is_delta_document(document: Document) -> bool:
    """True for what a publisher makes of deltas, and not of a layout."""
    return isinstance(document, Manifest) and any(delta_format.owns(document) for delta_format in FORMATS)


__all__ = ["FORMATS", "DeltaDocument", "DeltaFormat", "DeltaListing", "Offer", "is_delta_document"]
