"""`python -m tests.benchmarks.encode OLD NEW OUT EFFORT`: make a delta and prove nothing, as the reference works.

The commands never do that: `diff` applies what it made before it writes it.
"""

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

from pipeline.cli.machine import usable_memory, usable_processors
from pipeline.compression import decompressed
from pipeline.efforts import Effort
from pipeline.limits import Limits
from pipeline.tardiff.encoder import EncoderOptions, encode
from pipeline.tardiff.layer.tree import extract
from pipeline.tardiff.pool import Pool

_LIMIT = 1 << 36


def main(old: str, new: str, out: str, effort: str) -> None:
    memory = Limits().memory_of(usable_memory())
    with TemporaryDirectory() as folder, Pool(workers=usable_processors(), memory=memory) as pool:
        files, tar = Path(folder, "old"), Path(folder, "new")
        files.mkdir()
        with Path(old).open("rb") as packed, decompressed(packed, max_bytes=_LIMIT) as layer:
            tree = extract([layer], files, max_bytes=_LIMIT)
        with Path(new).open("rb") as packed, decompressed(packed, max_bytes=_LIMIT) as layer, tar.open("xb") as target:
            shutil.copyfileobj(layer, target, 1 << 20)
        with Path(out).open("wb") as delta:
            encode(tree, tar, delta, options=EncoderOptions(effort=cast(Effort, effort)), pool=pool)


if __name__ == "__main__":
    main(*sys.argv[1:])
