"""The two ends of a delta, as they lie on the disk: tars that are read, old ones extracted as clients do.

Rule. Nothing here knows of deltas but which paths they can name (`format.normalised`).
"""
