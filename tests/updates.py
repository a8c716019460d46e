"""Images of several layers, old and new, with what makes a client's tree differ from its tars: whiteouts, an opaque
directory, hard links, `run/`, and content that has moved to another layer."""

import random

from .tars import directory, file, hard_link, opaque, symlink, tar, whiteout


def noise(seed: int, size: int = 4000) -> bytes:
    return random.Random(seed).randbytes(size)


def changed(data: bytes, at: int = 100) -> bytes:
    return data[:at] + b"changed!" + data[at + 8 :]


BASE = tar(
    directory("usr"),
    directory("usr/lib"),
    file("usr/lib/kept", noise(1)),
    file("usr/lib/gone", noise(2)),
    file("usr/lib/replaced", noise(3)),
    directory("etc"),
    file("etc/one", noise(4)),
    file("etc/two", noise(5)),
    directory("run"),
    file("run/state", noise(6)),
)
MIDDLE = tar(
    directory("usr"),
    directory("usr/lib"),
    whiteout("usr/lib/gone"),
    file("usr/lib/replaced", noise(7)),
    directory("etc"),
    opaque("etc"),
    file("etc/three", noise(8)),
)
TOP = tar(
    directory("usr"),
    directory("usr/bin"),
    file("usr/bin/app", noise(9, 9000)),
    hard_link("usr/bin/alias", "usr/bin/app"),
    symlink("usr/bin/link", "app"),
)
# each layer has something that lies in another layer of the old image, or that no client has any more
NEW_MIDDLE = tar(
    directory("usr"),
    directory("usr/lib"),
    file("usr/lib/moved", changed(noise(9, 9000))),
    file("usr/lib/replaced", changed(noise(7))),
    file("usr/lib/as-before", noise(2)),
    directory("etc"),
    opaque("etc"),
    file("etc/one-again", noise(4)),
    file("etc/three", changed(noise(8))),
    file("run-state", noise(6)),
)
NEW_TOP = tar(
    directory("usr"),
    directory("usr/bin"),
    whiteout("usr/bin/link"),
    file("usr/bin/app", changed(noise(9, 9000), 5000)),
    file("usr/bin/kept", changed(noise(1))),
)

OLD = (BASE, MIDDLE, TOP)
NEW = (BASE, NEW_MIDDLE, NEW_TOP)
