"""Deltas from layers to layers. `Lab.encode` proves each: applied to the tree, and within what all decoders take."""

import bz2
import gzip
import io
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import pytest
import zstandard

from pipeline.compression import decompressed
from pipeline.efforts import EFFORTS, Effort
from pipeline.tardiff.encoder import EncoderOptions, encode
from pipeline.tardiff.format import Op
from pipeline.tardiff.pool import Pool
from tests.tars import (
    Member,
    directory,
    fifo,
    file,
    hard_link,
    opaque,
    pax,
    sparse,
    symlink,
    tar,
    whiteout,
)

from .lab import Lab, operations

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


def noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


A, B, C = noise(1, 40_000), noise(2, 40_000), noise(3, 40_000)


def edited(content: bytes) -> bytes:
    """A few bytes changed, some inserted."""
    half = len(content) // 2
    return content[:100] + b"?" + content[101:half] + b"inserted" + content[half:]


def test_an_identical_file_is_copied(lab: Lab) -> None:
    delta, encoded = lab.encode(lab.tree(tar(file("f", A))), tar(file("f", A, mtime=7)))
    assert encoded.copied == len(A)
    assert [(op, size) for op, size, _ in operations(delta)] == [
        (Op.DATA, 512),
        (Op.OPEN, 1),
        (Op.COPY, len(A)),
        (Op.DATA, 1024 + -len(A) % 512),
    ]


@pytest.mark.parametrize("path", ["f", "g/f", "moved", "very/much/deeper/name"])
def test_a_changed_file_costs_its_changes_whatever_its_name(lab: Lab, path: str) -> None:
    delta, encoded = lab.encode(lab.tree(tar(file("f", A), file("other", B))), tar(file(path, edited(A))))
    assert len(delta) < 500
    assert encoded.literal < 3 * 512 + 1024


def test_a_version_in_a_directory_name_is_no_obstacle(lab: Lab) -> None:
    old = tar(*(file(f"lib-1.9.{n}/{name}", noise(n, 9000)) for n in range(5) for name in ("a", "b")))
    tree = lab.tree(old)
    assert lab.sources_used(tree, tar(file("lib-1.9.3/a", edited(noise(3, 9000))))) == {"lib-1.9.3/a"}
    assert lab.sources_used(tree, tar(file("lib-2.0/a", edited(noise(2, 9000))))) <= {
        f"lib-1.9.{n}/a" for n in range(5)
    }


def test_of_identical_sources_the_one_with_the_same_path_is_taken(lab: Lab) -> None:
    tree = lab.tree(tar(file("a/x", A), file("b/x", A), file("b/y", A), file("c/z", A)))
    assert lab.sources_used(tree, tar(file("b/y", A))) == {"b/y"}
    assert lab.sources_used(tree, tar(file("new/z", A))) == {"c/z"}


@pytest.mark.parametrize(
    "replacement",
    [symlink("a/f", "g"), hard_link("a/f", "a/g"), file("a/f", B, mode=0o600), file("a/f"), hard_link("a/f", "low")],
    ids=str,
)
def test_the_bytes_of_a_replaced_file_are_not_used(lab: Lab, replacement: Member) -> None:
    tree = lab.tree(tar(file("a/f", A), file("a/g", B), replacement))
    new = tar(file("a/x", A), file("a/f", edited(A)))
    delta, encoded = lab.encode(tree, new)  # proved against the tree that a client has
    assert encoded.literal >= len(A)
    assert b"a/f" not in {data for op, _, data in operations(delta) if op == Op.OPEN}


REFERENCE_CASES: dict[str, tuple[list[bytes], bytes]] = {
    "empty to empty": ([tar()], tar()),
    "empty to file": ([tar()], tar(file("f", A))),
    "file to empty": ([tar(file("f", A))], tar()),
    "nothing at all": ([b""], b""),
    "no tar": ([tar(file("f", A))], A),
    "hard link": ([tar(file("f", A), hard_link("g", "f"))], tar(file("g", edited(A)))),
    "hard links, several": (
        [tar(file("f", A), *(hard_link(f"g{n}", "f") for n in range(5)))],
        tar(*(file(f"g{n}", A) for n in range(5))),
    ),
    "hard links, a chain": ([tar(file("a", A), hard_link("b", "a"), hard_link("c", "b"))], tar(file("c", edited(A)))),
    "hard links, duplicate": ([tar(file("a", A), hard_link("b", "a"), hard_link("b", "a"))], tar(file("b", A))),
    "hard links in the target": ([tar(file("a", A))], tar(file("a", edited(A)), hard_link("b", "a"), file("c", A))),
    "renamed": ([tar(file("d/f", A))], tar(file("d/g", A))),
    "renamed and edited": ([tar(file("d/f", A))], tar(file("d/g", edited(A)))),
    "moved": ([tar(file("d/f", A), file("e/f", B))], tar(file("x/f", A), file("y/f", B))),
    "broken symlink": ([tar(symlink("f", "nowhere"), file("g", A))], tar(symlink("f", "g"), file("g", A))),
    "sparse": ([tar(sparse("f", A), file("g", B))], tar(sparse("f", A), sparse("g", B))),
    "two layers": ([tar(file("f", A), file("g", B)), tar(file("f", C))], tar(file("f", edited(C)), file("h", A))),
    "whiteout": ([tar(file("d/f", A), file("g", B)), tar(whiteout("d"))], tar(file("d/f", A), file("g", B))),
    "opaque": ([tar(file("d/f", A)), tar(opaque("d"), file("d/g", B))], tar(file("d/f", A), file("d/g", B))),
    "whiteouts in the target": ([tar(file("f", A))], tar(whiteout("f"), opaque("d"), file("g", A))),
    "duplicate content": ([tar(file("f", A), file("g", A))], tar(*(file(f"n{n}", A) for n in range(4)))),
    "too small": ([tar(file("f", b"abc"))], tar(file("f", b"abd"), file("g", b"abc"))),
    "not for others": ([tar(file("f", A, mode=0o600))], tar(file("f", A, mode=0o600))),
    "special files": ([tar(fifo("f"), file("g", A))], tar(fifo("f"), file("g", A), directory("d"))),
    "one file twice in the target": ([tar(file("f", A))], tar(file("f", A), file("f", edited(A)), file("f", b""))),
    "names that no source may have": ([tar(file("n" * 300, B), file(b"\xff", A))], tar(file("f", A), file("g", B))),
    "long names in the target": ([tar(file("f", A))], tar(file("d/" + "n" * 250, A), file(b"\xff" * 120, edited(A)))),
    "pax headers": ([tar(pax(file("f", A), path="g"))], tar(pax(file("x", A), path="g", mtime="1.5"))),
    "bytes behind the end": ([tar(file("f", A))], tar(file("f", A)) + A),
    "cut inside a file": ([tar(file("f", A))], tar(file("f", A), end=b"")[:20_000]),
    "cut where a source ends": ([tar(file("g", A[: 20_000 - 512]))], tar(file("f", A), end=b"")[:20_000]),
    "a bad header": ([tar(file("f", A))], tar(file("f", A), end=b"garbage" * 100) + tar(file("g", A))),
    "absolute and escaping names": ([tar(file("/f", A), file("../g", B))], tar(file("/f", A), file("../g", B))),
}
for count in range(3, 7):
    REFERENCE_CASES[f"{count} layers"] = (
        [tar(file(f"f{n}", noise(n, 5000)), file("f", noise(100 + n, 5000))) for n in range(count)],
        tar(*(file(f"f{n}", edited(noise(n, 5000))) for n in range(count)), file("f", noise(99 + count, 5000))),
    )
    REFERENCE_CASES[f"{count} layers with whiteouts"] = (
        [tar(file(f"f{n}", noise(n, 5000)), *([whiteout(f"f{n - 1}")] if n else [])) for n in range(count)],
        tar(*(file(f"f{n}", noise(n, 5000)) for n in range(count))),
    )


@pytest.mark.parametrize("name", REFERENCE_CASES)
def test_a_case_of_the_reference(lab: Lab, name: str) -> None:
    layers, new = REFERENCE_CASES[name]
    lab.encode(lab.tree(*layers), new)


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, zstandard.ZstdCompressor().compress])
def test_compressed_layers_give_the_same_delta(lab: Lab, compress: Callable[[bytes], bytes]) -> None:
    old, new = tar(file("f", A)), tar(file("f", edited(A)))
    with decompressed(io.BytesIO(compress(old)), max_bytes=1 << 20) as stream:
        layer = stream.read()
    assert lab.encode(lab.tree(layer), new)[0] == lab.encode(lab.tree(old), new)[0]


def test_a_large_file_with_two_changed_bytes_is_no_large_operation(lab: Lab) -> None:
    old = bytearray(noise(5, 5 << 20))
    new = bytearray(old)
    new[0] ^= 1
    new[-1] ^= 1
    delta, encoded = lab.encode(lab.tree(tar(file("f", bytes(old)))), tar(file("f", bytes(new))))
    assert len(delta) < 400
    assert encoded.ops < 10


def test_changes_all_over_a_large_file_are_cut_into_operations(lab: Lab) -> None:
    old = noise(5, 3 << 20)
    new = bytearray(old)
    new[::31] = bytes((byte + 1) & 0xFF for byte in old[::31])
    delta, encoded = lab.encode(lab.tree(tar(file("f", old))), tar(file("f", bytes(new))))
    assert encoded.added > 2 << 20
    assert max(size for op, size, _ in operations(delta) if op == Op.ADD_DATA) == 1 << 18


def test_zeros_with_one_changed_byte_stay_small(lab: Lab) -> None:
    old, new = bytes(2 << 20), bytes(1 << 20) + b"x" + bytes((1 << 20) - 1)
    delta, encoded = lab.encode(lab.tree(tar(file("f", old))), tar(file("f", new)))
    assert len(delta) < 300
    assert encoded.ops < 10


def test_zeros_with_changes_between_are_made_in_a_few_operations(lab: Lab) -> None:
    old = bytes(1 << 20)
    new = b"x" + bytes(1 << 19) + b"changed" + bytes(1 << 18) + b"x"
    delta, encoded = lab.encode(lab.tree(tar(file("f", old))), tar(file("f", new)))
    assert len(delta) < 400
    assert encoded.ops < 20


class FullDisk(io.BytesIO):
    """Refuses what exceeds a kilobyte."""

    def write(self, data: "ReadableBuffer", /) -> int:
        if self.tell() > 1000:
            raise OSError("the disk is full")
        return super().write(data)


def test_after_an_error_nothing_goes_on(lab: Lab) -> None:
    tree = lab.tree(tar(*(file(f"f{n}", noise(n, 30_000)) for n in range(100))))
    to = lab.directory / "to.tar"
    to.write_bytes(tar(*(file(f"f{n}", edited(noise(n, 30_000)) + noise(n + 500, 40_000)) for n in range(100))))
    with Pool(workers=2, memory=1 << 30) as pool:
        with pytest.raises(OSError, match="disk is full"):
            encode(tree, to, FullDisk(), options=EncoderOptions(effort="fast"), pool=pool)
        assert pool.submit(1 << 30, lambda: "idle").result() == "idle"


def test_many_unrelated_files_are_not_matched(lab: Lab) -> None:
    old = tar(*(file(f"old/{n}", noise(n, 300)) for n in range(2000)))
    new = tar(*(file(f"new/x{n}y", noise(9999 + n, 300)) for n in range(2000)))
    _, encoded = lab.encode(lab.tree(old), new)
    assert encoded.copied == 0


def test_unrelated_content_under_the_same_name_is_literal(lab: Lab) -> None:
    _, encoded = lab.encode(lab.tree(tar(file("f.gz", A))), tar(file("f.gz", B)))
    assert encoded.ops == 1


def test_a_large_file_is_matched_in_blocks(lab: Lab) -> None:
    old = noise(7, 10 << 20)
    moved = old[7 << 20 :] + old[: 7 << 20]
    new = b"".join(moved[at : at + 50_000] + b"+" for at in range(0, len(old), 50_000))
    _, encoded = lab.encode(lab.tree(tar(file("f", old))), tar(file("f", new)))
    assert encoded.literal < len(new) // 500


def test_a_table_that_has_changed_all_over_is_made_from_the_old_one(lab: Lab) -> None:
    old = noise(7, 10 << 20)
    new = bytearray(old)
    table = slice(5 << 20, (5 << 20) + 50_000, 4)
    new[table] = bytes((byte + 8) & 0xFF for byte in old[table])
    new[0] ^= 1
    new[-1] ^= 1
    _, encoded = lab.encode(lab.tree(tar(file("f", old))), tar(file("f", bytes(new))))
    assert encoded.literal < 5000


def test_a_merged_file_is_made_from_both(lab: Lab) -> None:
    left, right = noise(1, 900_000), noise(2, 700_000)
    tree = lab.tree(tar(file("left", left), file("right", right)))
    delta, encoded = lab.encode(tree, tar(file("right", edited(left) + b"seam" + edited(right))))
    assert encoded.literal < 10_000
    assert [payload for op, _, payload in operations(delta) if op == Op.OPEN] == [b"left", b"right"]


def test_the_bytes_depend_on_no_number_of_workers(lab: Lab) -> None:
    names = [f"d{n % 7}/f{n}" for n in range(60)]
    large = noise(99, 9 << 20)
    tree = lab.tree(tar(*(file(name, noise(n, 3000 + 500 * n)) for n, name in enumerate(names)), file("large", large)))
    to = lab.directory / "to.tar"
    changed = [file(name + "b", edited(noise(n, 3000 + 500 * n))) for n, name in enumerate(names)]
    to.write_bytes(tar(*changed, file("large", edited(large)), file("merged", noise(59, 32_500) + large[: 1 << 20])))
    results = set()
    for workers, memory in ((1, 1 << 20), (1, 1 << 30), (4, 1 << 20), (4, 1 << 30)):
        out = io.BytesIO()
        with Pool(workers=workers, memory=memory) as pool:
            encode(tree, to, out, options=EncoderOptions(effort="fast"), pool=pool)
        results.add(out.getvalue())
    assert len(results) == 1


def machine_code(seed: int, size: int) -> bytes:
    """Few kinds of instructions with numbers of their own."""
    source = random.Random(seed)
    kinds = [source.randbytes(source.randint(3, 9)) for _ in range(300)]
    return b"".join(source.choice(kinds) + source.randrange(1 << 20).to_bytes(4, "little") for _ in range(size // 10))


@pytest.mark.parametrize("every", [40, 4000])
def test_more_effort_makes_no_larger_delta(lab: Lab, every: int) -> None:
    old = machine_code(1, 300_000)
    new = bytearray(old)
    source = random.Random(2)
    for _ in range(len(old) // every):
        at = source.randrange(len(new))
        new[at] = (new[at] + source.choice([1, 8, 32])) & 0xFF
    tree = lab.tree(tar(file("bin/program", old)))
    sizes = [
        lab.encode(tree, tar(file("bin/program", bytes(new))), options=EncoderOptions(effort=effort))[1].size
        for effort in EFFORTS
    ]
    assert sizes[2] <= 1.01 * sizes[1]  # ways are compared at a quicker level, and operations have a price
    assert sizes[1] <= 0.99 * sizes[0]


def test_noise_costs_no_more_than_itself(lab: Lab) -> None:
    new = tar(file("g", noise(77, 1 << 20)))
    _, encoded = lab.encode(lab.tree(tar(file("f", A))), new, options=EncoderOptions())
    assert encoded.size < (1 << 20) + 1000


def test_streams_large_enough_for_threads_do_not_depend_on_workers(lab: Lab) -> None:
    tree = lab.tree(tar(file("f", A)))
    to = lab.directory / "to.tar"
    to.write_bytes(tar(file("g", bytes(random.Random(8).choices(range(7), k=5 << 20)))))
    results = set()
    for workers in (1, 3, 1):
        out = io.BytesIO()
        with Pool(workers=workers, memory=1 << 30) as pool:
            encode(tree, to, out, options=EncoderOptions(effort="fast"), pool=pool)
        results.add(out.getvalue())
    assert len(results) == 1


def test_each_effort_has_a_key_of_its_own() -> None:
    keys = {EncoderOptions(effort=effort).key for effort in EFFORTS}
    assert len(keys) == len(EFFORTS) == 3


def test_an_unknown_effort_is_refused() -> None:
    with pytest.raises(ValueError, match="'heroic'"):
        EncoderOptions(effort=cast(Effort, "heroic"))
