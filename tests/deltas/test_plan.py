"""Which deltas are wanted and which must be made, from values alone."""

import gzip
import io
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from pipeline.config import Policy
from pipeline.config.values import FormatName
from pipeline.deltas.plan import DeltaPlan, Rules, Wanted, plan_deltas
from pipeline.history.ledger import Ledger
from pipeline.history.records.deltas import DeltaKey, DeltaRecord
from pipeline.history.records.images import ImageRecord, LayerRecord, PlatformRecord
from pipeline.history.records.repositories import RepositoryRecord
from pipeline.history.versions import Observation, advance
from pipeline.oci.descriptor import Descriptor, Platform
from pipeline.oci.digest import DiffID, Digest
from pipeline.oci.media_types import OCI_INDEX, OCI_MANIFEST
from pipeline.tardiff.layer.outline import Outline, outline

from ..tars import file, tar

NOW = datetime(2026, 1, 1, tzinfo=UTC)
AMD, ARM = Platform(os="linux", architecture="amd64"), Platform(os="linux", architecture="arm64")
FLATPAK = {"org.flatpak.ref": "app/org.test.Hello/x86_64/stable", "org.flatpak.metadata": "[Application]"}


def diff_id(name: str) -> DiffID:
    return DiffID.of(name.encode())


def layer(name: str, size: int = 1000) -> LayerRecord:
    return LayerRecord(
        diff_id=diff_id(name), digest=Digest.of(gzip.compress(name.encode(), mtime=0)), size=size, media_type="tar"
    )


def platform_image(
    *layers: str, platform: Platform = AMD, labels: Mapping[str, str] | None = None, size: int = 1000
) -> PlatformRecord:
    manifest = Digest.of(f"{platform} {layers} {labels}".encode())
    records = tuple(layer(name, size) for name in layers)
    return PlatformRecord(platform=platform, manifest=manifest, layers=records, labels=labels or {})


def image(*platforms: PlatformRecord) -> ImageRecord:
    """An index of these; a lone one stands for itself."""
    documents = [Descriptor(media_type=OCI_MANIFEST, digest=entry.manifest, size=1) for entry in platforms]
    if len(platforms) != 1:
        joined = "+".join(str(entry.manifest) for entry in platforms)
        documents.append(Descriptor(media_type=OCI_INDEX, digest=Digest.of(joined.encode()), size=1))
    return ImageRecord(documents=tuple(documents), blobs=(), platforms=platforms)


def simple(*layers: str, size: int = 1000) -> ImageRecord:
    return image(platform_image(*layers, size=size))


def moved(*images: ImageRecord, tag: str = "latest", record: RepositoryRecord | None = None) -> RepositoryRecord:
    """A repository in which a tag moved from image to image."""
    record = record or RepositoryRecord()
    for entry in images:
        tags = {name: known.image for name, known in record.tags.items()} | {tag: entry.digest}
        record = advance(record, Observation(tags=tags, images={entry.digest: entry}), now=NOW)
    return record


def plan(
    record: RepositoryRecord | Mapping[str, RepositoryRecord],
    *deltas: DeltaRecord,
    outlines: Mapping[DiffID, Outline] | None = None,
    scopes: tuple[str, ...] = (),
    policy: Policy | None = None,
) -> DeltaPlan:
    repositories = {"app": record} if isinstance(record, RepositoryRecord) else record
    ledger = Ledger(repositories=repositories, deltas={delta.key: delta for delta in deltas}, outlines=outlines or {})
    rules = Rules(policy=policy or Policy(), scopes=scopes)
    return plan_deltas(ledger, dict.fromkeys(repositories, rules), generator="g1", options="o1", now=NOW)


def pairs(found: DeltaPlan) -> list[tuple[DiffID, DiffID]]:
    return [(want.key.from_diff_id, want.key.to_diff_id) for want in found.wanted]


def pair(old: str, new: str) -> tuple[DiffID, DiffID]:
    return diff_id(old), diff_id(new)


def made(old: str, new: str, *, size: int = 100, generator: str = "g1", stored: bool = True) -> DeltaRecord:
    return DeltaRecord(
        key=DeltaKey(from_diff_id=diff_id(old), to_diff_id=diff_id(new)),
        generator=generator,
        options="o1",
        size=size,
        digest=Digest.of(b"delta") if stored else None,
        refused=None if stored else "too large",
    )


@pytest.mark.parametrize(("versions", "sources"), [(1, "C"), (2, "CB"), (9, "CBA"), (0, "")])
def test_deltas_lead_into_the_latest_from_the_versions_before_it(versions: int, sources: str) -> None:
    found = plan(moved(*(simple(name) for name in "ABCD")), policy=Policy(versions=versions))
    assert pairs(found) == [pair(source, "D") for source in sources]
    assert {job.key for job in found.jobs} == {want.key for want in found.wanted}
    assert bool(found.skipped) == (versions == 0)


def test_each_platform_has_its_own() -> None:
    def both(amd: str, arm: str) -> ImageRecord:
        return image(platform_image(amd), platform_image(arm, platform=ARM))

    found = plan(moved(both("a1", "b1"), both("a2", "b2"), both("a3", "b3")), policy=Policy(versions=2))
    assert [(want.platform, want.key.from_diff_id, want.key.to_diff_id) for want in found.wanted] == [
        (AMD, *pair("a2", "a3")),
        (AMD, *pair("a1", "a3")),
        (ARM, *pair("b2", "b3")),
        (ARM, *pair("b1", "b3")),
    ]
    assert {want.target for want in found.wanted} == {
        platform_image("a3").manifest,
        platform_image("b3", platform=ARM).manifest,
    }


V8 = replace(ARM, variant="v8")


@pytest.mark.parametrize(("old", "new"), [(ARM, V8), (V8, ARM)])
def test_two_spellings_of_a_platform_are_versions_of_each_other(old: Platform, new: Platform) -> None:
    found = plan(moved(simple_on("b1", old), simple_on("b2", new)))
    assert [(want.platform, want.key.from_diff_id) for want in found.wanted] == [(new, diff_id("b1"))]


def test_the_same_spelling_goes_before_another() -> None:
    old = image(platform_image("b1", platform=ARM), platform_image("c1", platform=V8))
    new = image(platform_image("b2", platform=ARM), platform_image("c2", platform=V8))
    assert pairs(plan(moved(old, new))) == [pair("b1", "b2"), pair("c1", "c2")]


def test_each_build_of_windows_has_its_own_versions() -> None:
    def windows(build: str) -> Platform:
        return Platform(os="windows", architecture="amd64", os_version=build)

    old = image(
        platform_image("a1", platform=windows("10.0.17763.1")), platform_image("b1", platform=windows("10.0.20348.1"))
    )
    new = image(
        platform_image("a2", platform=windows("10.0.17763.7")), platform_image("b2", platform=windows("10.0.20348.9"))
    )
    assert pairs(plan(moved(old, new))) == [pair("a1", "a2"), pair("b1", "b2")]


def simple_on(name: str, platform: Platform) -> ImageRecord:
    return image(platform_image(name, platform=platform))


def test_versions_are_counted_for_each_platform() -> None:
    """`arm64` changes rarely: its last two versions count, however many of the index lie between."""

    def both(amd: str, arm: str) -> ImageRecord:
        return image(platform_image(amd), platform_image(arm, platform=ARM))

    nights = [both("a1", "b1"), both("a2", "b2"), both("a3", "b3"), both("a4", "b3"), both("a5", "b3")]
    found = plan(moved(*nights), policy=Policy(versions=2))
    assert pairs(found) == [pair("a4", "a5"), pair("a3", "a5"), pair("b2", "b3"), pair("b1", "b3")]


def test_a_platform_without_a_version_before_it_is_skipped_with_the_reason() -> None:
    found = plan(moved(simple("a1"), image(platform_image("a2"), platform_image("b1", platform=ARM))))
    assert pairs(found) == [pair("a1", "a2")]
    [skipped] = found.skipped
    assert (skipped.repository, skipped.series, skipped.platform) == ("app", "latest", ARM)
    assert "platform" in skipped.reason


@pytest.mark.parametrize(
    ("record", "reason"),
    [(moved(simple("A")), "no version before"), (moved(simple("A"), image()), "no tar layers")],
)
def test_what_is_skipped_says_why(record: RepositoryRecord, reason: str) -> None:
    found = plan(record)
    assert (found.wanted, found.jobs) == ((), ())
    assert reason in found.skipped[0].reason


def test_a_version_without_layers_is_no_source() -> None:
    assert pairs(plan(moved(simple("A"), image(), simple("B")), policy=Policy(versions=1))) == [pair("A", "B")]


def test_layers_that_both_images_have_need_no_delta() -> None:
    assert pairs(plan(moved(simple("base", "app1"), simple("base", "app2")))) == [pair("app1", "app2")]
    assert pairs(plan(moved(simple("base", "app1"), simple("base")))) == []


def test_without_outlines_the_layer_as_deep_below_the_top_is_the_source() -> None:
    found = plan(moved(simple("base1", "lib1", "app1"), simple("base2", "extra", "lib2", "app2")))
    assert set(pairs(found)) == {
        pair("app1", "app2"),
        pair("lib1", "lib2"),
        pair("base1", "extra"),
        pair("base1", "base2"),
    }


def test_outlines_find_the_best_source_layer() -> None:
    """From [base, app] to [base', extra, app'], where base' and extra share what is in base and app the other way."""

    def outlined(*names: str) -> Outline:
        return outline(io.BytesIO(tar(*(file(name, name.encode() * 100) for name in names))))

    outlines = {
        diff_id("base1"): outlined("lib/c", "lib/ssl"),
        diff_id("app1"): outlined("app/main", "app/data"),
        diff_id("base2"): outlined("usr/lib/c", "lib/new"),
        diff_id("extra"): outlined("app/data", "lib/ssl", "opt/app/main"),
        diff_id("app2"): outlined("lib/ssl"),
    }
    found = plan(moved(simple("base1", "app1"), simple("base2", "extra", "app2")), outlines=outlines)
    assert set(pairs(found)) == {pair("base1", "base2"), pair("app1", "extra"), pair("base1", "app2")}


def test_the_same_pair_is_made_once() -> None:
    record = moved(simple("A"), simple("B"), tag="stable")
    record = moved(simple("C"), simple("A"), simple("B"), tag="nightly", record=record)
    found = plan({"app": record, "mirror": record})
    assert pairs(found).count(pair("A", "B")) == 4
    assert [job.key for job in found.jobs].count(made("A", "B").key) == 1
    assert len(found.jobs) == 2


def test_a_job_may_be_as_large_as_any_image_would_list() -> None:
    record = moved(simple("A"), simple("B", size=1000))
    found = plan_deltas(
        Ledger(repositories={"a": record, "b": record}),
        {"a": Rules(policy=Policy(max_ratio=0.2)), "b": Rules(policy=Policy(max_ratio=0.5))},
        generator="g1",
        options="o1",
        now=NOW,
    )
    assert [job.max_size for job in found.jobs] == [500]
    assert [want.max_size for want in found.wanted] == [200, 500]


def test_a_delta_is_always_smaller_than_its_layer() -> None:
    [want] = plan(moved(simple("A"), simple("B", size=1000)), policy=Policy(max_ratio=1.0)).wanted
    assert want.max_size == 999
    assert want.accepts(made("A", "B", size=999))
    assert not want.accepts(made("A", "B", size=1000))
    assert not want.accepts(made("A", "B", size=10, stored=False))


def _must_make(delta: DeltaRecord, max_ratio: float = 0.9) -> bool:
    return bool(plan(moved(simple("A"), simple("B")), delta, policy=Policy(max_ratio=max_ratio)).jobs)


def test_what_was_made_is_not_made_again() -> None:
    assert not _must_make(made("A", "B"))
    assert not _must_make(made("A", "B", size=950))
    assert not _must_make(made("A", "B", size=950, stored=False))
    assert not _must_make(made("A", "B", size=0, stored=False))


def test_a_refusal_ends_when_the_policy_allows_more() -> None:
    refused = made("A", "B", size=950, stored=False)
    assert _must_make(refused, max_ratio=0.95)
    assert not _must_make(refused, max_ratio=0.94)


def test_another_encoder_or_other_options_make_it_again() -> None:
    assert _must_make(made("A", "B", generator="g0"))
    assert _must_make(replace(made("A", "B"), options="o0"))
    assert _must_make(made("A", "B", generator="g0", size=0, stored=False))


def test_jobs_are_largest_first() -> None:
    small, middle, large = (
        moved(simple(f"old{size}", size=size), simple(f"new{size}", size=size)) for size in (1, 5, 9)
    )
    found = plan({"a": middle, "b": small, "c": large})
    assert [job.layer.size for job in found.jobs] == [9, 5, 1]
    assert [want.repository for want in found.wanted] == ["a", "b", "c"]
    assert [job.sources for job in found.jobs] == [(layer(f"old{size}", size),) for size in (9, 5, 1)]


def test_jobs_that_make_one_layer_stand_together() -> None:
    def series(*sizes: int) -> RepositoryRecord:
        return moved(*(simple(f"{sizes} {number}", size=size) for number, size in enumerate(sizes)))

    found = plan({"a": series(1, 9, 5), "b": series(6, 6, 6)}, policy=Policy(versions=2))
    assert [job.layer.size for job in found.jobs] == [5, 5, 6, 6]
    assert [job.weight for job in found.jobs] == [14, 6, 12, 12]


def test_a_repository_without_rules_is_left_alone() -> None:
    ledger = Ledger(repositories={"app": moved(simple("A"), simple("B"))})
    found = plan_deltas(ledger, {}, generator="g1", options="o1", now=NOW)
    assert (found.wanted, found.jobs, found.skipped) == ((), (), ())


def _flatpak(*layers: str) -> ImageRecord:
    return image(platform_image(*layers, labels=FLATPAK))


def _keys(wanted: tuple[Wanted, ...]) -> list[tuple[DiffID, DiffID, tuple[DiffID, ...]]]:
    return [(want.key.from_diff_id, want.key.to_diff_id, want.key.below) for want in wanted]


def test_a_flatpak_of_one_layer_is_like_any_other() -> None:
    assert _keys(plan(moved(_flatpak("A"), _flatpak("B"))).wanted) == [(*pair("A", "B"), ())]


def test_a_flatpak_with_nothing_new_but_a_label_needs_no_layer() -> None:
    """A client that finds no delta for the layer downloads it again, though it has it."""
    labelled = image(platform_image("A", labels={**FLATPAK, "new": "label"}))
    assert _keys(plan(moved(_flatpak("A"), labelled)).wanted) == [(*pair("A", "A"), ())]
    assert plan(moved(simple("A"), image(platform_image("A", labels={"new": "label"})))).wanted == ()


def test_flatpaks_of_one_index_are_told_apart_by_their_refs() -> None:
    def both(app: str, debug: str) -> ImageRecord:
        other = {**FLATPAK, "org.flatpak.ref": "runtime/org.test.Hello.Debug/x86_64/stable"}
        return image(platform_image(app, labels=FLATPAK), platform_image(debug, labels=other))

    assert pairs(plan(moved(both("a1", "d1"), both("a2", "d2")))) == [pair("a1", "a2"), pair("d1", "d2")]


def test_the_same_platform_by_another_name_is_the_same() -> None:
    v8 = Platform(os="linux", architecture="arm64", variant="v8")
    record = moved(
        image(platform_image("A", platform=ARM)),
        image(platform_image("B", platform=v8)),
        image(platform_image("C", platform=ARM)),
    )
    assert pairs(plan(record)) == [pair("B", "C"), pair("A", "C")]
    windows = [
        Platform(os="windows", architecture="amd64", os_version=f"10.0.{build}") for build in ("1.5", "1.9", "2.9")
    ]
    record = moved(*(image(platform_image(name, platform=which)) for name, which in zip("DEF", windows, strict=True)))
    assert pairs(plan(record)) == []
    record = moved(*(image(platform_image(name, platform=which)) for name, which in zip("DE", windows, strict=False)))
    assert pairs(plan(record)) == [pair("D", "E")]


def test_several_images_for_one_platform_are_paired_by_their_places() -> None:
    def two(first: str, second: str) -> ImageRecord:
        return image(platform_image(first), platform_image(second))

    record = moved(two("a1", "b1"), two("a2", "b2"), two("a3", "b3"))
    assert pairs(plan(record, policy=Policy(versions=2))) == [
        pair("a2", "a3"),
        pair("a1", "a3"),
        pair("b2", "b3"),
        pair("b1", "b3"),
    ]


def test_where_nothing_tells_the_images_of_a_platform_apart_the_reason_is_named() -> None:
    three = image(platform_image("a1"), platform_image("b1"), platform_image("c1"))
    found = plan(moved(three, simple("a2")))
    assert pairs(found) == []
    [skipped] = found.skipped
    assert "another number of images for this platform" in skipped.reason
    assert pairs(plan(moved(simple("a1"), image(platform_image("a2"), platform_image("b2"))))) == [
        pair("a1", "a2"),
        pair("a1", "b2"),
    ]


def test_a_layer_that_stands_twice_gets_one_delta() -> None:
    found = plan(moved(simple("A"), simple("B", "B", "C")))
    assert pairs(found) == [pair("A", "B"), pair("A", "C")]


def test_planning_grows_as_the_layers_do() -> None:
    """Ten thousand of them: the work is that of looking at each, not at each beside each."""
    names = [f"layer {number}" for number in range(10_000)]
    assert len(plan(moved(simple(*names), simple(*(f"new {name}" for name in names)))).wanted) == 10_000
    assert len(plan(moved(simple(*["A"] * 10_000), simple(*["B"] * 10_000))).wanted) == 1


def test_a_flatpak_of_several_layers_leads_from_the_old_last_one_to_each() -> None:
    found = plan(moved(_flatpak("base", "app1"), _flatpak("base", "app2")))
    below = (diff_id("base"),)
    assert _keys(found.wanted) == [(*pair("app1", "base"), below), (*pair("app1", "app2"), below)]
    assert [job.sources for job in found.jobs] == [(layer("base"), layer("app1"))] * 2


def test_from_one_layer_to_several_and_back() -> None:
    found = plan(moved(_flatpak("A"), _flatpak("A", "B")))
    assert _keys(found.wanted) == [(*pair("A", "A"), ()), (*pair("A", "B"), ())]
    found = plan(moved(_flatpak("A", "B"), _flatpak("A")))
    assert _keys(found.wanted) == [(*pair("B", "A"), (diff_id("A"),))]


def test_a_last_layer_on_two_chains_is_a_source_alone() -> None:
    """A client has the last layer on either chain: only its own files are certain."""
    found = plan(
        moved(_flatpak("old", "app1"), _flatpak("base", "app1"), _flatpak("base", "app2")), policy=Policy(versions=2)
    )
    assert set(_keys(found.wanted)) == {(*pair("app1", "base"), ()), (*pair("app1", "app2"), ())}
    assert len(found.jobs) == 2


def test_scopes_have_their_own_latest() -> None:
    record = RepositoryRecord()
    images = {tag: simple(tag) for tag in ("1.0", "1.1", "2.0", "2.1")}
    record = advance(
        record,
        Observation(
            tags={tag: entry.digest for tag, entry in images.items()},
            images={entry.digest: entry for entry in images.values()},
        ),
        now=NOW,
    )
    assert pairs(plan(record, policy=Policy(versions=1))) == [pair("2.0", "2.1")]
    assert pairs(plan(record, policy=Policy(versions=1), scopes=("1.*", "2.*"))) == [
        pair("1.0", "1.1"),
        pair("2.0", "2.1"),
    ]


# artifacts of oci-delta


def known(name: str, *layers: str, **more: Any) -> ImageRecord:
    """An image of which an artifact can be made."""
    return image(replace(platform_image(*layers, **more), config=Digest.of(name.encode())))


def whole(found: DeltaPlan) -> tuple[Wanted, ...]:
    return tuple(want for want in found.wanted if want.format == "oci-delta")


def test_an_artifact_wants_the_same_delta_where_the_old_image_has_one_layer() -> None:
    found = plan(moved(known("1", "A"), known("2", "B")))
    assert [want.format for want in found.wanted] == ["deltaindex", "oci-delta"]
    assert [job.key for job in found.jobs] == [found.wanted[0].key] == [found.wanted[1].key]
    assert found.jobs[0].max_size == 900


def test_an_artifact_wants_deltas_from_the_whole_old_image_into_what_changed() -> None:
    found = plan(moved(known("1", "base", "lib", "app1"), known("2", "base", "new", "app2")))
    below = (diff_id("base"), diff_id("lib"))
    assert _keys(whole(found)) == [(*pair("app1", "new"), below), (*pair("app1", "app2"), below)]
    assert len(found.jobs) == len(found.wanted) == 4


def test_a_multi_layer_flatpak_has_one_delta_for_both_formats() -> None:
    found = plan(moved(known("1", "base", "a", labels=FLATPAK), known("2", "base", "b", labels=FLATPAK)))
    assert _keys(whole(found)) == [(*pair("a", "b"), (diff_id("base"),))]
    assert {want.key for want in whole(found)} < {want.key for want in found.wanted if want.format == "deltaindex"}
    assert len(found.jobs) == 2


@pytest.mark.parametrize("formats", [("deltaindex",), ("oci-delta",)])
def test_only_what_the_formats_want_is_made(formats: tuple[FormatName, ...]) -> None:
    found = plan(moved(known("1", "a", "b"), known("2", "a", "c")), policy=Policy(formats=formats))
    assert [want.format for want in found.wanted] == list(formats)
    assert len(found.jobs) == 1


def test_an_image_without_a_known_config_has_no_artifact() -> None:
    for old, new in ((simple("A"), known("2", "B")), (known("1", "A"), simple("B"))):
        assert [want.format for want in plan(moved(old, new)).wanted] == ["deltaindex"]


def test_an_artifact_counts_as_a_whole() -> None:
    """A delta may be as large as what all of them may have, unless the layer itself is smaller and can go whole."""
    one_member = replace(layer("c", 100), is_one_member=True)
    new = replace(platform_image("b", "d", size=1000), config=Digest.of(b"2"))
    new = replace(new, layers=(*new.layers, one_member))
    found = plan(moved(known("1", "a"), image(new)), policy=Policy(max_ratio=0.5, formats=("oci-delta",)))
    assert [want.max_size for want in found.wanted] == [1050, 1050, 99]


def test_an_artifact_that_cannot_save_enough_gets_no_more_deltas() -> None:
    record = moved(known("1", "a"), known("2", "b", "c"))
    policy = Policy(max_ratio=0.5, formats=("oci-delta",))
    assert len(plan(record, policy=policy).jobs) == 2
    assert len(plan(record, made("a", "b", size=1000), policy=policy).jobs) == 1
    # the other would have to have nothing
    for large in (made("a", "b", size=1001), made("a", "b", size=1001, stored=False), refused("a", "b")):
        found = plan(record, large, policy=policy)
        assert found.jobs == ()
        assert len(found.wanted) == 2
    assert len(plan(record, made("a", "b", size=1001, generator="g0"), policy=policy).jobs) == 2


def refused(old: str, new: str) -> DeltaRecord:
    """The old layer was no readable tar."""
    return replace(made(old, new, size=0, stored=False), refused="no tar")
