"""Deltas between layers: the tar-diff stream, made and applied.

Rule 1. The tree that a client has is the only truth about sources: old layers are extracted entry by entry as clients
        do (`tree`), the encoder reads old bytes from there, and so does whoever proves the delta.
Rule 2. The output equals the new layer bit for bit, whatever that is; headers, padding and what does not parse are
        literal.
Rule 3. Same inputs and options, same bytes, for any number of threads. `encoder.GENERATOR` changes when the bytes may.
Rule 4. Nothing of `pipeline` is imported but `errors` and `compression`.

    format      magic, operations, their writer and reader      pool        threads with a memory budget
    tar         streaming tar reader with raw offsets           sources     which old file a new one resembles
    tree        old layers, extracted as clients do             pairing     sources for all files of a new tar
    replay      the rules of that, entry by entry               matchers/   what two files share, a library a file
    encoder     new tar + tree -> delta                         cover       what a matcher answered, checked
    decoder     delta + tree -> tar                             outline     a few numbers that tell related layers
    sums        what AddData adds                               fingerprints of files, taken once for all deltas

numpy is used wherever bytes are compared or hashed by the million: it is the arithmetic of this package and not a
service behind a door.
"""
