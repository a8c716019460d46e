"""The two ends of a delta: tars, read; old ones, extracted as clients do; the bytes of their files."""
