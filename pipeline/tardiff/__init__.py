"""Deltas between layers: the tar-diff stream, made and applied.

Rule 1. The tree that a client has is the only truth about sources: old layers are extracted entry by entry as clients
        do (`tree`), the encoder reads old bytes from there, and so does whoever proves the delta.
Rule 2. The output equals the new layer bit for bit, whatever that is; headers, padding and what does not parse are
        literal.
Rule 3. Same inputs and options, same bytes, for any number of threads. `encoder.GENERATOR` changes when the bytes may.
Rule 4. Nothing of `pipeline` is imported but `errors` and `compression`.

The stream.

    format      magic, operations, their writer and reader
    decoder     delta + tree -> tar; sums is what AddData adds

The layers.

    tar         streaming tar reader with raw offsets
    tree        old layers, extracted as clients do; replay is the rules of that, entry by entry
    outline     a few numbers that tell related layers

Making a delta, in the order of the work.

    encoder     new tar + tree -> delta: all of what follows
    pairing     an old file, or several, for each new one. By name, digest and likeness (sources); by parts (sections);
                what was found of files is kept for the next delta (fingerprints)
    matching    the covers of each pair, found ahead in the pool. A large file is divided (blocks) by windows that both
                files have (anchors, windows) into ranges of both (ranges); what is equal at both ends (equality) and
                what a library finds (matchers/, one a file) is checked and joined (cover). Other deltas that make the
                same tar are not asked the same again (remembered)
    runs        covers -> operations, thousands at once
    drafts      the same operations cut in several ways; the best is compressed

Beside them: regions and arrays are the bytes of files, pool is threads with a memory budget.

numpy is used wherever bytes are compared or hashed by the million: it is the arithmetic of this package and not a
service behind a door.
"""
