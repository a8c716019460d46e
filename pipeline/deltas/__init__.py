"""Deltas: which are wanted, and how they are made and proven.

plan      pure: the series + the policy -> which deltas are wanted, and which must be made
ancestry  pure: which image of an older version is the one before an image of the latest
sources   pure: which of the images before the latest count
budget    pure: which updates have room, where a repository lists only so many bytes
estimate  pure: what deltas take that were not made yet
pairs     pure: from which to which of their layers deltas lead
job       a delta job as values: what goes in, what comes out
executor  who makes jobs, and which thread waits for which
make      one job: extract, encode, prove
prove     the proof of a delta: applied, it makes the layer that it is for
layers    stored layers, opened: decompressed and verified
savings   pure: what clients save
formats   pure: how clients find deltas: the documents that are published, and how they are read
"""
