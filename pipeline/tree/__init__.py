"""What is published: the tree of keys, bytes and headers, made of the ledger; and a published tree read back.

contents    pure: ledger + deltas -> the graph that is published: blobs, documents, tags, referrers
static      pure: the graph as files and buckets show it: the Tree of keys, digests, headers, phases
flatpak     pure: the index that flatpak reads, and icons
remotes     pure: remotes of flatpak, and the files on which people click
pages       pages for people
servers     configurations for web servers
templates   the files of `templates/`, rendered
published   a tree that is there: its keys, and its repositories as if they were layouts
"""
