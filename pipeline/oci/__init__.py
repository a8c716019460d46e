"""The nouns of the OCI specifications: digests, descriptors, manifests, references; and names of flatpak.

Rule 1. Nothing here does I/O, and nothing here knows tar-diff or any verb of the pipeline.
Rule 2. A value in hand is valid: parsers are the only way in, and their errors name the key path.
Rule 3. Bytes that have a digest are kept as they came; the parsed form is a view beside them.
"""
