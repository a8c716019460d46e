"""A file with what a machine at one version needs to reach another, without a network.

    writing   artifacts of a registry into one oci-archive
    reading   such a file, or one that skopeo made, read as if it were a registry

Rule 1. It is an oci-archive as anybody reads it: `index.json` names the artifacts of oci-delta, one for each old image,
        and nothing else, since clients want exactly one manifest there. What else helps us (the index of the new image,
        the manifest and the config of the old one) lies beside them as blobs that nothing leads to.
Rule 2. The same artifacts give the same bytes.
"""
