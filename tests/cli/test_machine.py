"""What the machine offers: plausible everywhere, and never more than it has."""

import os
import subprocess
import sys

from pipeline.cli.machine import usable_memory, usable_processors


def test_processors() -> None:
    assert 1 <= usable_processors() <= (os.cpu_count() or 1)


def test_memory() -> None:
    assert 1 << 20 < usable_memory() <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


RESIDENT = """
from pathlib import Path
from pipeline.cli.machine import give_back_freed_memory
give_back_freed_memory()
block = b"1" * (30 << 20)
del block
block, behind_it = b"1" * (24 << 20), b"1" * (1 << 20)
del block
print(int(Path("/proc/self/statm").read_text().split()[1]) * 4096)
"""


def test_large_blocks_go_back_to_the_system() -> None:
    run = subprocess.run([sys.executable, "-c", RESIDENT], capture_output=True, check=True)
    assert int(run.stdout) < 24 << 20
