"""What the machine offers: plausible everywhere, and never more than it has."""

import os

from pipeline.machine import usable_memory, usable_processors


def test_processors() -> None:
    assert 1 <= usable_processors() <= (os.cpu_count() or 1)


def test_memory() -> None:
    assert 1 << 20 < usable_memory() <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
