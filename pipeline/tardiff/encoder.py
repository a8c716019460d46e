"""Making a delta: the new layer as operations on the files of an old tree.

For each regular file of the new tar: one with the same content is copied; else a source is chosen (`pairing`), what
they share is found (`matching`), and the rest is literal. Headers, padding, trailers and whatever does not parse are
literal. Operations are written in the order of the tar.
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ..compression import Strength, Writable
from ..efforts import DEFAULT_EFFORT, EFFORTS, Effort
from .format import MAGIC
from .knowledge import Knowledge
from .layer.new_tar import NewTar
from .layer.tree import SourceTree
from .match.matchers import Matcher
from .match.matchers.bsdiff import Bsdiff
from .match.matchers.hdiff import Hdiff
from .match.matching import matched
from .match.remembered import Remembering
from .pair.pairing import Pairing
from .pool import Pool
from .write.drafts import Drafts

GENERATOR = "tardiff-14"
"""Changes whenever the bytes made from the same input and options may change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Effort:
    """`gaps` are the ways to cut operations (see `differences`); for the two strengths see `Drafts.finish`."""

    matchers: tuple[type[Matcher], ...]
    gaps: tuple[int, ...]
    trial: Strength
    final: Strength


_QUICK = Strength(9)
_GOOD = Strength(19, one_pass=True)

_EFFORTS: dict[Effort, _Effort] = {
    "fast": _Effort(matchers=(Hdiff,), gaps=(1024,), trial=_QUICK, final=_QUICK),
    "default": _Effort(matchers=(Hdiff,), gaps=(2, 1024), trial=_QUICK, final=_GOOD),
    "max": _Effort(matchers=(Hdiff, Bsdiff), gaps=(2, 64, 1024), trial=_GOOD, final=Strength(22)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderOptions:
    """How hard to try: one of `EFFORTS`."""

    effort: Effort = DEFAULT_EFFORT

    def __post_init__(self) -> None:
        if self.effort not in EFFORTS:
            raise ValueError(f"effort must be {' or '.join(EFFORTS)}, not {self.effort!r}")

    @property
    def key(self) -> str:
        """A short text that differs whenever the bytes may: for caches."""
        return self.effort


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """A written delta: its size in bytes, its operations, and the bytes of output by how they are made."""

    size: int
    ops: int
    copied: int
    added: int
    literal: int


def encode(
    sources: SourceTree,
    to: Path | NewTar,
    out: Writable,
    *,
    options: EncoderOptions,
    pool: Pool,
    knowledge: Knowledge | None = None,
) -> Encoded:
    """Write the delta that makes the uncompressed tar `to` from `sources`.

    Deltas that are made from one `SourceTree`, or make one `NewTar`, share in `knowledge` what is found of its files,
    whether they are made after each other or at the same time; a delta that is made alone needs none. The bytes depend
    on the content of both and on `options`, not on the pool nor on what was known before. Not to be called in a task of
    `pool`. Temporary files are made beside `to`; they are as large as what is not copied.
    """
    tar = to if isinstance(to, NewTar) else NewTar.at(to)
    effort = _EFFORTS[options.effort]
    matchers: Sequence[Matcher] = [matcher() for matcher in effort.matchers]
    if knowledge is None:
        knowledge = Knowledge()
    else:
        matchers = [Remembering(matcher, knowledge.covers(tar)) for matcher in matchers]
    pairs = Pairing(sources, tar, pool, of_tree=knowledge.of_tree(sources), of_new=knowledge.of_tar(tar)).pairs()
    with Drafts(effort.gaps, len(matchers), tar.path.parent) as drafts:
        at = 0
        with closing(matched(pairs, sources, tar, matchers=matchers, pool=pool)) as found:
            for pair, matches in found:
                file, path = pair.file, pair.source.path
                for piece in tar.pieces(at, file.start):
                    drafts.literal(piece)
                at = file.start + file.size
                if matches is None:
                    drafts.copy(path, file.size)
                for match in matches or ():
                    drafts.covered(path, match.old, match.new, match.covers)
        for piece in tar.pieces(at, tar.size):
            drafts.literal(piece)
        out.write(MAGIC)
        size, writer = drafts.finish(out, trial=effort.trial, final=effort.final, pool=pool)
    return Encoded(
        size=len(MAGIC) + size,
        ops=writer.ops,
        copied=writer.copied,
        added=writer.added,
        literal=writer.literal,
    )
