"""Any registry over HTTP, read as if it were a tree of ours: `v2/<name>/manifests/…`, `blobs/…`, `tags/list` and so on.

Rule 1. Credentials are sent to the host that they are for and to the token server that it names, never to another one:
        not after a redirect, not over plain http where the registry is reached by https. No message holds them.
Rule 2. Every answer is bounded: the size of documents, the number of pages, redirects, attempts, and the pauses between
        them. A blob is streamed, and read on by a range where the connection breaks.
Rule 3. What a server says of its bytes (Docker-Content-Digest, Content-Encoding) is believed only so far as to refuse
        what contradicts itself. Whoever needs a digest to be right computes it.
"""
