"""Any history of layouts, published by runs that fail anywhere: a client is never led to nothing, and runs converge."""

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from pipeline.errors import ExitCode
from tests.conftest import examples

from ..client import Client, problems, unproven
from ..layouts.builder import Json, LayoutBuilder, on
from ..runs import Shop, app, other
from ..targets.wrappers import FAILURE_MODES, FailingTarget, FailureMode, InjectedError

_KINDS = ("plain", "two layers", "index", "docker", "zstd", "empty", "chart")


def _image(build: LayoutBuilder, kind: str, version: int) -> Json:
    if kind == "two layers":
        return build.image(other(version % 2), app(version))
    if kind == "index":
        arm = build.image(app(version // 2 + 20), architecture="arm64")
        return build.index(on(build.image(app(version)), "linux/amd64"), on(arm, "linux/arm64"))
    if kind == "empty":
        return build.image(created=f"2024-01-{version + 1:02}T00:00:00Z")
    if kind == "chart":
        return build.artifact(data=b"chart %d" % version)
    return build.image(app(version), compression="zstd" if kind == "zstd" else "gzip", docker=kind == "docker")


images = st.tuples(st.sampled_from(_KINDS), st.integers(0, 5))
layouts = st.dictionaries(st.sampled_from(["latest", "edge", "1.0", "1.1", "2.0"]), images, min_size=1, max_size=4)
failures = st.none() | st.tuples(st.integers(1, 70), st.sampled_from(FAILURE_MODES), st.booleans())
nights = st.lists(st.tuples(layouts, st.booleans(), failures, st.sampled_from([0.1, 1.0, 4.0])), min_size=1, max_size=6)
policies = st.tuples(st.integers(0, 3), st.integers(0, 2), st.sampled_from(["images-first", "deltas-first"]))


def _write(shop: Shop, layout: dict[str, tuple[str, int]], *, signed: bool) -> dict[str, str]:
    """Returns where each tag leads."""
    build = LayoutBuilder()
    tags = {tag: _image(build, *image) for tag, image in layout.items()}
    if signed:
        for descriptor in tags.values():
            build.entry(build.artifact(subject=descriptor))
    shop.layout(tags, build)
    return {tag: descriptor["digest"] for tag, descriptor in tags.items()}


def _fails(shop: Shop, now: float, failure: tuple[int, FailureMode, bool]) -> bool:
    call, mode, stays_down = failure
    target = FailingTarget(shop.target, fail_at=call, mode=mode, stays_down=stays_down)
    try:
        shop.run(now, target=target)
    except InjectedError:
        return True
    # a failure at one layer's read is one delta's failure, and no longer the run's
    return target.failed is not None


@settings(max_examples=examples(40), suppress_health_check=[HealthCheck.too_slow])
@given(history=nights, policy=policies)
def test_any_history_with_any_failures(
    history: list[tuple[dict[str, tuple[str, int]], bool, tuple[int, FailureMode, bool] | None, float]],
    policy: tuple[int, int, str],
) -> None:
    versions, more, order = policy
    with tempfile.TemporaryDirectory() as directory:
        lines = (
            f'versions = {versions}\nkeep = {versions + 1 + more}\ngrace = "2d"\nmax_delete = 1.0\norder = "{order}"'
        )
        shop = Shop(Path(directory), policy=lines)
        now = 0.0
        for layout, signed, failure, pause in history:
            tags = _write(shop, layout, signed=signed)
            if failure is not None:
                event("failed" if _fails(shop, now, failure) else "failed after its end")
                assert problems(shop.folder.contents) == []
                continue
            outcome, _ = shop.watched_run(now)
            assert (outcome.exit_code, outcome.delta_failures) == (ExitCode.SUCCESS, ())
            published = shop.folder.published()
            assert unproven(published) == []
            listed = Client(published).tags("app")
            assert {tag: listed.get(tag) for tag in tags} == tags
            # whatever the ledger remembers is there: pruning keeps all that is reachable
            reachable = {
                part.digest
                for image in outcome.ledger.repositories["app"].images.values()
                for part in (*image.documents, *image.blobs)
            }
            assert {f"{digest}" for digest in reachable} <= {key.rpartition("/")[2] for key in published}
            # and whatever is there the ledger knows; only what a dead run left unfinished is uncertain, and waits to go
            assert set(published) <= set(outcome.ledger.keys)
            uncertain = {key: record for key, record in outcome.ledger.keys.items() if record.is_pending}
            assert all(record.unreferenced is not None for record in uncertain.values())
            assert set(outcome.ledger.keys) - set(published) <= set(uncertain)
            before = dict(shop.folder.contents)
            again = shop.run(now)
            assert (again.written.keys, again.made) == (0, ())
            assert shop.folder.contents == before
            now += pause
