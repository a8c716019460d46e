"""Demand: what clients have, as far as the access logs of a tree's servers tell.

access_log  lines of web servers and CDNs -> requests for manifests
counting    requests + the ledger -> how often each image was pulled
document    the small file between `deltapress demand` and a publish
known       what such files say of a repository, beside what is remembered

Rule 1. Logs hold what anybody asks for. Nothing of them is taken over but numbers: names and digests in the file are
        those of the ledger, so it is as large as what is published.
"""
