"""Read an OCI image layout: its refs become images, as raw bytes beside their parsed view.

    storage     where a layout's files lie: a directory, or (archive) an oci-archive tar; LayoutError
    archive     the tar, read in place
    documents   manifests, indexes and configs, verified and read once
    images      from a descriptor to an Image: all that it reaches
    check       every blob against its descriptor, every layer against its DiffID
    broken      what is left out because something is wrong with it
    selection   the entries of index.json -> Refs: names, tags, collisions, what is attached
    refs        read_layout: a Layout
    notes       lines for people
    writing     a layout that images come into
    identity    by what a layout is known again, without being read

Rule 1. Everything here is untrusted: each document is verified against its descriptor, each file must lie in the
        layout, and memory, depth and counts are bounded.
Rule 2. Layer blobs are not read here; `check` does that.
Rule 3. Whatever is wrong with one tag is a `BrokenTag`, and with all of it one `LayoutError`; no other exception
        escapes.
"""

from .broken import BrokenTag
from .images import Image, Layer, PlatformImage
from .refs import Layout, read_layout
from .selection import Ref
from .storage import LayoutError

__all__ = ["BrokenTag", "Image", "Layer", "Layout", "LayoutError", "PlatformImage", "Ref", "read_layout"]
