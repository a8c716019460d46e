"""The container runtimes that an image can be pulled into: docker, podman (and with it CRI-O), containerd.

`contract` is what a pull needs of one; each module beside it makes one of the runtimes' own commands.
"""
