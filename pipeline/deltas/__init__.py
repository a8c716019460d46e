"""Deltas: which are wanted, and how they are made and proven.

plan      pure: the series + the policy -> which deltas are wanted, and which must be made
make      run the jobs of a plan: extract, encode, prove
prove     the proof of a delta: applied, it makes the layer that it is for
layers    stored layers, opened: decompressed and verified
savings   pure: what clients save
formats   pure: how clients find deltas: the documents that are published, and how they are read
"""
