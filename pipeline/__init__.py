"""deltapress: publish OCI image layouts as a static registry tree, with verified tar-diff deltas.

The rooms, the way of the data upside down: each imports only what stands below it, as a test says.

    cli/        the only user of argv, environ, stdout, the clock and exit codes; one file a command
    report/     result values -> text and JSON
    serve       a tree over HTTP, for trying things
    client/     the other end: a device that pulls
    check/      a host over HTTP, asked as real clients ask: would they be happy with it?
    verify/     read a published tree as its clients do
    mirror/     a published tree, or any registry, or a part, published again elsewhere
    publish/    the run, under the target's lock: its ordered steps, writing, pruning, repairing
    tree/       what is published: ledger + deltas -> keys, bytes, headers; and a published tree read back
    deltas/     which deltas are wanted; extract, encode, prove
    demand/     what clients have: access logs -> how often each image was pulled
    history/    what the publisher remembers, and what it sees in the layouts
    config/     deltapress.toml -> a frozen Config
    layout/     OCI image layouts on disk: read, checked, and written
    targets/    where a tree is written, or read: the contract, memory, directory, S3, any registry over HTTP
    tardiff/    the tar-diff format: encoder, decoder, tar reader, source matching
    keys        the grammar of the tree's keys, and the headers that each is served with
    content     bytes that are somewhere, and how they are read
    scratch     temporary folders that the next run clears away if this one is killed
    compression/ streams in and out of compression
    quantities, parallel, limits, efforts, progress, text, errors     what everybody needs
    oci/        digests, descriptors, manifests, references
"""

__version__ = "0.1.0"
