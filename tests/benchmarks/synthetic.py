"""Made trees: what naive encoders are slow at, or make large deltas of. The same on every machine and run.

Each is (old tree, new tree). What is asked of our engine stands in `corpus`, beside the pair.
"""

import gzip
import random
from dataclasses import replace

from .layers import LONG_AGO, Entry, Tree

Trees = tuple[Tree, Tree]

_MIB = 1 << 20
_SYLLABLES = ["ba", "ke", "ri", "mo", "tu", "san", "del", "vor", "ix", "pha", "len", "qui", "st", "ed", "ing", "ous"]


def noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def prose(seed: int, size: int) -> bytes:
    """Words in lines: compresses about as well as text does."""
    source = random.Random(seed)
    words = ["".join(source.choices(_SYLLABLES, k=source.randint(1, 4))) for _ in range(4000)]
    weights = [1 / rank for rank in range(1, len(words) + 1)]
    parts: list[str] = []
    length = 0
    while length < size:
        parts.append(" ".join(source.choices(words, weights, k=2000)).replace(" st ", "\n"))
        length += len(parts[-1]) + 1
    return "\n".join(parts).encode()[:size]


def machine_code(seed: int, size: int) -> bytes:
    """Blocks of few kinds, each with numbers of its own: like a program, it resembles itself and is no repetition."""
    source = random.Random(seed)
    kinds = [source.randbytes(source.randint(3, 9)) for _ in range(300)]
    out = bytearray()
    while len(out) < size:
        out += source.choice(kinds)
        out += source.randrange(1 << 20).to_bytes(4, "little")
    return bytes(out[:size])


def rebuilt_code(old: bytes, seed: int) -> bytes:
    """As a new release changes a program: few insertions and removals, many small numbers that moved with them."""
    source = random.Random(seed)
    out = bytearray(old)
    for _ in range(len(out) // 400):
        at = source.randrange(len(out))
        out[at] = (out[at] + 8) % 256
    for _ in range(len(out) // 200_000 + 2):
        at = source.randrange(len(out))
        out[at : at + source.randrange(60)] = source.randbytes(source.randrange(60))
    return bytes(out)


def with_bytes(data: bytes, changes: dict[int, int]) -> bytes:
    out = bytearray(data)
    for at, value in changes.items():
        out[at] = value
    return bytes(out)


def zeros(size: int) -> Trees:
    return {"data": Entry(data=bytes(size))}, {"data": Entry(data=with_bytes(bytes(size), {size // 3: 1}))}


def periodic() -> Trees:
    old = noise(1, 61) * (16 * _MIB // 61)
    middle = len(old) // 2
    new = with_bytes(old[:middle] + noise(2, 13) + old[middle:], {1000: 7, len(old) - 1000: 7})
    return {"table": Entry(data=old)}, {"table": Entry(data=new)}


def sparse() -> Trees:
    """256 MiB that are zeros but for 200 blocks; twenty blocks change, and twenty move."""
    source = random.Random(3)
    places = source.sample(range(65536), 240)
    old, new = bytearray(256 * _MIB), bytearray(256 * _MIB)
    for number, place in enumerate(places[:200]):
        block = source.randbytes(4096)
        old[place * 4096 : place * 4096 + 4096] = block
        if number < 20:
            place = places[200 + number]
        elif number < 40:
            block = with_bytes(block, {17: 0, 2000: 0})
        new[place * 4096 : place * 4096 + 4096] = block
    return {"disk.img": Entry(data=bytes(old))}, {"disk.img": Entry(data=bytes(new))}


def archives() -> Trees:
    """Compressed files: one the same, one the same elsewhere, one packed anew after a change of its first line."""
    first, second, third = (prose(seed, 12 * _MIB) for seed in (4, 5, 6))
    same, moved = (gzip.compress(data, 6, mtime=0) for data in (first, second))
    before, after = (gzip.compress(head + third, 6, mtime=0) for head in (b"release one\n", b"release the second\n"))
    old = {"a/same.gz": same, "a/moved.gz": moved, "a/changed.gz": before}
    new = {"a/same.gz": same, "b/elsewhere.bin": moved, "a/changed.gz": after}
    return _files(old), _files(new)


def tiny_files(*, changed: bool) -> Trees:
    """20,000 small files; the new ones have other times, and where `changed` each has another word in it."""
    text = prose(7, 4 * _MIB)
    starts = range(0, 20_000 * 199, 199)
    old = {f"d{n % 200:03}/f{n:05}.txt": text[at : at + 200 + n % 700] for n, at in enumerate(starts)}
    new = {
        path: data[:100] + str(n).encode() + data[100:] if changed else data
        for n, (path, data) in enumerate(old.items())
    }
    return _files(old), _written(_files(new), LONG_AGO + 86_400, pace=40)


def unrelated_files() -> Trees:
    """10,000 old files and 10,000 new ones that share neither name nor content."""
    old = {f"old/{n % 100}/a{n * 7919:08x}": noise(n, 500 + n % 3000) for n in range(10_000)}
    new = {f"new/{n % 100}/{n * 104729:09x}z": noise(20_000 + n, 500 + n % 3000) for n in range(10_000)}
    return _files(old), _files(new)


def renamed() -> Trees:
    """A program that is renamed and rebuilt, among thirty that are gone."""
    programs = {f"bin/tool-{n}": machine_code(n, _MIB) for n in range(30)}
    target = machine_code(99, 8 * _MIB)
    return _files({**programs, "bin/frobnicate": target}), _files({"sbin/quux": rebuilt_code(target, 1)})


def moved_version() -> Trees:
    """A folder and libraries whose names hold their version: everything moves, one file in ten changes."""
    text = prose(8, 7 * _MIB)
    starts = range(0, 500 * 14_000, 14_000)
    old = {f"opt/foo-1.2.3/lib/m{n % 20}/part{n}.py": text[at : at + 900 + 26 * n] for n, at in enumerate(starts)}
    old |= {f"opt/foo-1.2.3/lib/libx{n}.so.1.2": machine_code(n, _MIB // 2) for n in range(8)}
    new = {}
    for n, (path, data) in enumerate(old.items()):
        path = path.replace("1.2.3", "1.2.4").replace(".so.1.2", ".so.1.3")
        new[path] = rebuilt_code(data, n) if n % 10 == 0 or ".so" in path else data
    return _files(old), _files(new)


def split_and_merged() -> Trees:
    """One file becomes two, two become one."""
    whole, left, right = (machine_code(seed, 6 * _MIB) for seed in (11, 12, 13))
    middle = len(whole) // 2
    old = {"lib/whole.bin": whole, "lib/left.bin": left, "lib/right.bin": right}
    merged = rebuilt_code(left + right, 3)
    new = {"lib/begin.bin": rebuilt_code(whole[:middle], 1), "lib/end.bin": rebuilt_code(whole[middle:], 2)}
    return _files(old), _files({**new, "lib/both.bin": merged})


def large() -> Trees:
    old = noise(14, 110 * _MIB)
    new = with_bytes(old, {at: old[at] ^ 255 for at in (40_000_000, 90_000_000)})
    return {"model.bin": Entry(data=old)}, {"model.bin": Entry(data=new)}


def only_times(tree: Tree) -> Trees:
    """The same files, built again two weeks later on a faster machine."""
    return _written(tree, LONG_AGO, pace=37), _written(tree, LONG_AGO + 14 * 86_400, pace=41)


def _files(contents: dict[str, bytes]) -> Tree:
    return {path: Entry(data=data) for path, data in contents.items()}


def _written(tree: Tree, start: int, *, pace: int) -> Tree:
    """As a build leaves its files: each has the second in which it was written, `pace` files a second."""
    return {path: replace(entry, mtime=start + n // pace) for n, (path, entry) in enumerate(sorted(tree.items()))}
