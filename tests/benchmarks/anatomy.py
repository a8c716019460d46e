"""`python -m tests.benchmarks.anatomy DELTA...`: where the bytes of deltas are.

Each part of the stream of operations is compressed on its own, as the whole is: what it costs beside the others cannot
be told, for they share one frame.
"""

import io
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.compression import Strength, ZstdFrameWriter, zstd_frame
from pipeline.tardiff.format import MAGIC, Op, operations, uvarint

_LEVEL = 19


def main(deltas: Sequence[str]) -> None:
    print(f"{'bytes':>12} {'whole':>12} {'no seeks':>12} {'Data':>12} {'AddData':>12} {'heads':>12}  operations, delta")
    for delta in deltas:
        print(_line(Path(delta)))


def _line(delta: Path) -> str:
    whole, without_seeks, heads = bytearray(), bytearray(), bytearray()
    payloads = {code: bytearray() for code in Op}
    count = 0
    with delta.open("rb") as file:
        file.seek(len(MAGIC))
        for code, size, payload in operations(zstd_frame(file)):
            head = bytes((code,)) + uvarint(size)
            whole += head + payload
            heads += head
            payloads[Op(code)] += payload
            count += 1
            if code != Op.SEEK:
                without_seeks += head + payload
    parts = (whole, without_seeks, payloads[Op.DATA], payloads[Op.ADD_DATA], heads)
    sizes = (delta.stat().st_size, *map(_compressed, parts))
    return " ".join(f"{size:>12,}" for size in sizes) + f"  {count:,} {delta.name}"


def _compressed(data: bytearray) -> int:
    frame = ZstdFrameWriter(io.BytesIO(), strength=Strength(_LEVEL), size_bound=len(data))
    frame.write(bytes(data))
    frame.finish()
    return frame.size


if __name__ == "__main__":
    main(sys.argv[1:])
