"""Deltas between layers: the tar-diff stream, made and applied.

Rule 1. The tree that a client has is the only truth about sources: old layers are extracted entry by entry as clients
        do (`layer.tree`), the encoder reads old bytes from there, and so does whoever proves the delta.
Rule 2. The output equals the new layer bit for bit, whatever that is; headers, padding and what does not parse are
        literal.
Rule 3. Same inputs and options, same bytes, for any number of threads. `encoder.GENERATOR` changes when the bytes may.
Rule 4. Nothing of `pipeline` is imported but `errors`, `compression` and `efforts`.

The two ends.

    encoder     new tar + tree -> delta, by all of the rooms; knowledge is what several deltas share
    decoder     delta + tree -> tar; sums is what AddData adds

The rooms, in the order of the work. Each imports only rooms above it in this list, as a test says.

    layer/      tar reads tars, and forms says what of them readers take alike. tree is old layers, extracted as clients
                do, by the rules of replay, as nodes; new_tar is the new one. regions are the bytes of their files.
                outline tells related layers without reading them again
    pair/       an old file, or several, for each new one (pairing): by name, digest and likeness (sources), or section
                by section (sections). Both ask for windows; what was found of files is kept (fingerprints)
    match/      the covers of each pair, found ahead in the pool (matching). Two files are divided (division) into what
                is known, for it is equal (equality, anchors), and blocks of the rest (blocks); a library is asked about
                the ranges in them (ranges; matchers/, one a file). Covers are checked and joined (cover), and kept
                (remembered)
    write/      covers -> operations, thousands at once (differences), through the one writer (writer); cut in several
                ways, of which the best is compressed (drafts)

Below them: format is the stream, with its reader; pool is threads with a memory budget.

The words for some bytes among others, each for one thing.

    range       from a start to a stop, and nothing more said about it
    region      a range of an open file, of which nothing is read yet
    piece       as much as is read, compared, hashed or written at a time: for caches and memory, it means nothing
    batch       small files that are one task
    window      16 bytes that are hashed; those in a sample are chosen by what they hold
    anchor      a window that an old and a new file have
    chunk, cell     where the anchors of some range vote together, and the sixteenth of that
    stretch     ranges of old and new that neighbouring anchors tell to be nearly equal
    section     a range of a new file that is made from one of several sources
    block       what a matcher sees at once: ranges of new, and ranges of old that they resemble
    part        of a new file: from the start of one block to that of the next; written as soon as its block is matched
    row         a range of new that can be made from one of old, and where that is
    cover       rows: what two files share. A difference is a piece of new less what its rows stand for in old
    run         bytes in a row of which one thing is true: equal in both files, or one byte again and again
    probe       bytes of a draft that are compressed to see what comes of it
    page        bytes of a source that the decoder keeps

Others' own words stay theirs: a tar has blocks, a compressor a window.

numpy is used wherever bytes are compared or hashed by the million: it is the arithmetic of the rooms and not a service
behind a door. What applies a delta does without, for it takes longer to load than most deltas to apply.
"""
