"""deltapress: publish OCI image layouts as a static registry tree, with verified tar-diff deltas.

The verbs, in the order of the data; `press` calls them.

    config      deltapress.toml -> a frozen Config
    observe     read each layout (layout/), check what is new in it (check), say what was seen
    versions    pure: what was seen + what is remembered -> the series of versions
    retention   pure: which images are kept
    plan        pure: the series + the policy -> which deltas are wanted, and which must be made
    diff        run the jobs: extract, encode, prove each delta by applying it (proof)
    assemble    pure: images + deltas -> the Tree of keys, digests, headers, phases
    publish     write a Tree to a Target, phase by phase
    prune       mark -> PrunePlan -> execute; whether the clock can be trusted with that is in clocks (pure)
    press/      the whole run, under the target's lock
    verify/     read a published tree as its clients do
    repair      what the storage has lost or spoiled: found, and decided what becomes of it
    rebuild     a lost ledger, from the tree
    reconcile   a listing of the target beside the ledger; both use shapes: what a key is, told without a ledger
    report      result values -> text and JSON
    serve       a tree over HTTP, for trying things

The nouns.

    cli/        the only user of argv, environ, stdout, the clock and exit codes; one file a command
    ledger/     what the publisher remembers: one document in the target
    layout/     OCI image layouts on disk
    oci/        digests, descriptors, manifests, references, keys of the static tree
    tardiff/    the tar-diff format: encoder, decoder, tar reader, source matching
    targets/    where a tree is written: the contract, memory, directory, S3
    flatpak, savings, pages     parts of the tree: flatpak's index, what clients save, pages and server files
    content, layers, compression, published     bytes that are somewhere, and how they are read
    errors, hashing, limits, progress, machine, quantities, text, tables, templates     what everybody needs
"""

__version__ = "0.1.0"
