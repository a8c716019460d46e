"""Read an OCI image layout: its refs become images, as raw bytes beside their parsed view.

    storage     where a layout's files lie: a directory, or (archive) an oci-archive tar; LayoutError
    archive     the tar, read in place
    images      from a descriptor to an Image: all that it reaches
    check       every blob against its descriptor, every layer against its DiffID
    refs        index.json -> Refs: names, tags, collisions; read_layout

Rule 1. Everything here is untrusted: each document is verified against its descriptor, each file must lie in the
        layout, and memory, depth and counts are bounded.
Rule 2. Layer blobs are not read here; `check` does that.
Rule 3. Whatever is wrong is one `LayoutError`; no other exception escapes.
"""

from .images import Image, Layer, PlatformImage
from .refs import Layout, Ref, read_layout
from .storage import LayoutError

__all__ = ["Image", "Layer", "Layout", "LayoutError", "PlatformImage", "Ref", "read_layout"]
