"""deltapress: publish OCI image layouts as a static registry tree, with verified tar-diff deltas.

The modules lie in the order of the data; the rooms hold the nouns.

    config      TOML -> a frozen Config
    layout      read an OCI image layout: refs -> images, as raw bytes beside their parsed view
    plan        pure: images + history + policy + now -> the delta jobs, and what is skipped and why
    diff        run the plan: pool, cache, and prove each delta by applying it
    assemble    pure: images + delta results -> a Tree of keys, contents, headers, phases
    publish     write a Tree to a Target, phase by phase
    prune       mark (fail closed) -> PrunePlan -> execute
    report      result values -> JSON, text, HTML

    cli/        the only user of argv, environ, stdout, the clock and exit codes
    oci/        digests, descriptors, manifests, references, keys of the static tree
    tardiff/    the tar-diff format: encoder, decoder, tar reader, source matching
    targets/    where a tree is written: the contract, memory, directory
"""

__version__ = "0.1.0"
