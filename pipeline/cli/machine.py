"""What this process may use of the machine: processors and memory, within the limits of its container."""

import ctypes
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from ..oci.descriptor import Platform

_ARMS: Final = {"armv8l": ("arm", "v7"), "armv7l": ("arm", "v7"), "armv6l": ("arm", "v6"), "armv5tel": ("arm", "v5")}
_CGROUPS: Final = Path("/sys/fs/cgroup")
_OWN_CGROUP: Final = Path("/proc/self/cgroup")
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h of glibc
_KEPT, _LARGE = 1 << 20, 1 << 20  # bytes that the heap may keep at its end, and of a block that is in none


def usable_processors() -> int:
    """The number of processors that this process may run on."""
    return len(os.sched_getaffinity(0))


def usable_memory() -> int:
    """Bytes of memory: the machine's, or less where a control group says so."""
    return min([os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *_cgroup_limits()])


def own_platform() -> Platform:
    """The one whose images run here. The names of processors are Linux's; `Platform.kind` knows the others."""
    machine = os.uname().machine
    architecture, variant = _ARMS.get(machine, ("386" if re.fullmatch("i[3-6]86", machine) else machine, ""))
    return Platform(os="linux", architecture=architecture, variant=variant)


def give_back_freed_memory() -> None:
    """Make large blocks return to the system as soon as they are freed, where the allocator can be told so.

    The one of glibc keeps more and more of them for later, in a heap for each thread: what one task has used would
    still count while the next one uses its own.
    """
    with suppress(AttributeError):  # it is another one
        set_option = ctypes.CDLL(None).mallopt
        set_option(_M_TRIM_THRESHOLD, _KEPT)
        set_option(_M_MMAP_THRESHOLD, _LARGE)
        set_option(_M_ARENA_MAX, 1)


def _cgroup_limits() -> Iterator[int]:
    """The limits of this process's group and of all above it; a container sees its own group as the root."""
    files = [_CGROUPS / "memory" / "memory.limit_in_bytes"]  # version 1
    try:
        groups = [line.rpartition(":")[2].lstrip("/") for line in _OWN_CGROUP.read_text().splitlines()]
    except OSError:
        groups = [""]
    for group in groups:
        folder = _CGROUPS / group
        files += [above / "memory.max" for above in (folder, *folder.parents) if above.is_relative_to(_CGROUPS)]
    for file in files:
        try:
            text = file.read_text().strip()
        except OSError:
            continue
        if text.isdecimal():  # and not "max"
            yield int(text)
