"""A year of nightly publishing: nothing grows, and who updates from one of the last K nights always finds deltas.

Each night brings a new index of three platforms, of which one changes every night, one every second, one every third.
Readers look in the middle of every run, in some after every single change, and between two nights.
"""

from functools import cache
from pathlib import Path

from pipeline.errors import ExitCode

from ..client import contents_of, deltas_of, problems, unproven
from ..layouts.builder import LayoutBuilder, on, sha256
from ..runs import ClocklessDirectory, MemoryFolder, Shop, Twins, WatchedTarget, app

NIGHTS = 365
VERSIONS = 5
PLATFORMS = {"amd64": 1, "arm64": 2, "s390x": 3}  # and after how many nights each changes
PERIOD = 6  # after which all of them have changed in the same night again
GRACE = 2
STEP = 27  # from one look in the middle of a run to the next
_POLICY = f'versions = {VERSIONS}\nkeep = {VERSIONS + 1}\ngrace = "{GRACE}d"\nmax_delete = 1.0'


@cache
def _layer(number: int, platform: str) -> bytes:
    version = number // PLATFORMS[platform]
    return app(list(PLATFORMS).index(platform) * 130 + version % 130) + bytes(512 * (version // 130))


def _layout(shop: Shop, number: int) -> None:
    build = LayoutBuilder()
    images = [on(build.image(_layer(number, name), architecture=name), f"linux/{name}") for name in PLATFORMS]
    shop.layout({"latest": build.index(*images)}, build)


def _wanted(number: int) -> set[tuple[str, str]]:
    """The pairs by which the clients of the last K nights update to this one."""
    return {
        (sha256(_layer(old, name)), sha256(_layer(number, name)))
        for name in PLATFORMS
        for old in range(max(0, number - VERSIONS), number)
        if _layer(old, name) != _layer(number, name)
    }


def test_a_year(tmp_path: Path) -> None:
    """In memory and in a directory at once: the same is done to both."""
    memory, directory = MemoryFolder(), ClocklessDirectory(tmp_path / "public")
    both = Twins(memory, directory)
    shop = Shop(tmp_path, target=both, policy=_POLICY)
    shapes: dict[int, tuple[int, ...]] = {}
    sizes: list[int] = []
    for number in range(NIGHTS):
        _layout(shop, number)
        is_followed = number % 90 == 40
        calls = _watched_run(shop, memory, number, step=1 if is_followed else STEP)
        if number > 2 * PERIOD + GRACE and (number % 11 == 0 or is_followed):
            contents = contents_of(both)
            assert problems(contents, at_rest=True) == []
            assert {(delta.from_diff_id, delta.to_diff_id) for delta in deltas_of(contents, "app")} == _wanted(number)
            if number % 77 == 0:
                assert unproven(contents) == []
            blobs = sum(key.startswith("v2/app/blobs/") for key in contents)
            found = len(contents), blobs, calls
            assert found == shapes.setdefault(number % PERIOD, found), number
            sizes.append(sum(map(len, contents.values())))
    assert len(shapes) == PERIOD
    assert max(sizes) < 1.2 * min(sizes)


def _watched_run(shop: Shop, memory: MemoryFolder, number: int, *, step: int) -> int:
    """How many calls the run of a night takes.

    After every `step`-th change, beginning with another one each night, clients of the last K nights look, and find
    what was listed, what is left of that, or all. At every twentieth change they look at the directory too, where it
    takes longer.
    """
    before = {(delta.from_diff_id, delta.to_diff_id) for delta in deltas_of(memory.published(), "app")}
    wanted = _wanted(number)
    allowed = (before, before & wanted, wanted)
    changes = 0

    def look() -> None:
        nonlocal changes
        changes += 1
        if changes % step == number % step:
            contents = contents_of(shop.target) if changes % 20 == 0 else memory.published()
            assert problems(contents) == []
            assert {(delta.from_diff_id, delta.to_diff_id) for delta in deltas_of(contents, "app")} in allowed

    target = WatchedTarget(shop.target, look)
    outcome = shop.run(number, target=target)
    assert outcome.exit_code is ExitCode.SUCCESS
    assert len(outcome.made) == len(wanted - _wanted(number - 1))
    assert changes >= STEP  # so there was a look
    return len(target.calls)
