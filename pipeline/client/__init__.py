"""The other end: what a device does with a published tree.

    pull, into_runtime   the steps of a pull, into a layout and into a runtime
    assembling           the layers of an image into a layout
    layers               each layer: found, rebuilt by a delta, or fetched whole
    download             a blob into a file, continued where an earlier run was killed
    offers               the deltas that lead from what is here to what is wanted
    sources              where old images are, whose files deltas are applied to
    stored               images in a layout, and what a pull notes of them there
    request, outcome     what is asked for, and what came of it
    images, repository   from a reference to the image of a platform; documents, verified
    reference            NAME:TAG and NAME@DIGEST, as podman and skopeo write them
    bundle/              a file with what it takes to update without a network, written, and read as a registry
    unpack/              an image's layers as a folder of files
    runtimes/            docker, podman and containerd

Rule 1. All that is read is untrusted. A document is believed when it has the digest that led to it, a layer when it has
        its DiffID, however it was made.
Rule 2. A delta can only save bytes: where one is missing, damaged or wrong, the whole layer comes instead.
Rule 3. What is finished stays when a run is killed, and the next one goes on from there.
"""
