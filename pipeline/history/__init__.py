"""What the publisher remembers, and what it sees in the layouts.

    scan        read a layout, check what is new in it, say what was seen
    versions    pure: what was seen + what is remembered -> the series of versions
    order       pure: which tags are versions of one line, and in which order
    retention   pure: which images are kept; attached: what is attached to them
    removal     pure: what somebody took out of publication; renaming: a repository that goes on under another name
    resolver    where the bytes of a digest come from: layouts, the target
    ledger      the memory as one value; records: what it is made of
    documents   pure: the same as JSON, a document for each repository and a root; whole: as older ledgers were
    journal     what was done since the root was written; store: where all of it lies
    reports     what the last runs said, for people

In the ledger the publisher remembers what it did. There is no other state: what reports say decides nothing.

Rule 1. It says what was seen (the moves of each tag, the images), what was made (the deltas, or why not), which keys
        were written, and since when each key is referenced by nothing.
Rule 2. A key is *pending* from before it is written or deleted until after: whatever happens in between, the ledger
        never claims bytes that may not be there, and never forgets bytes that may be.
Rule 3. It is written only when it changed; times in it are those of events, never of runs.
Rule 4. Only keys that it knows are ever deleted.
"""
