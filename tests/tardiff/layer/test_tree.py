"""The tree holds what every client has, and nothing else: one test for each way to be wrong about that."""

import io
from pathlib import Path

import pytest

from pipeline.tardiff.layer import replay
from pipeline.tardiff.layer.tar import TarError
from pipeline.tardiff.layer.tree import ExtractError, SourceTree, extract
from tests.tars import (
    Member,
    device,
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

from ..lab import Lab

OLD = b"the old content of a file" * 10
OTHER = b"something else entirely" * 10
NEW = b"what is written in its place" * 10


def contents(tree: SourceTree) -> dict[str, bytes]:
    """The sources by path, read back; sizes and the index agree, and no name of a layer is on the disk."""
    found = {}
    for source in tree.sources:
        data = tree.region(source).array().tobytes()
        assert b"".join(tree.region(source).pieces()) == data
        assert len(data) == source.size
        assert tree.find(source.path) is source
        found[source.path.decode()] = data
    assert len(found) == len(tree.sources)
    assert [path.name for path in tree.directory.rglob("*")] == ["contents"]
    return found


def test_regular_files_are_sources(lab: Lab) -> None:
    layer = tar(directory("a"), file("a/f", OLD), file("./b//g", OTHER))
    assert contents(lab.tree(layer)) == {"a/f": OLD, "b/g": OTHER}


@pytest.mark.parametrize(
    "replacement",
    [
        symlink("a/f", "g"),
        hard_link("a/f", "a/missing"),
        file("a/f", b""),
        file("a/f", OLD, mode=0o600),
        directory("a/f"),
        device("a/f"),
        fifo("a/f"),
        sparse("a/f", NEW),
    ],
    ids=str,
)
def test_a_replaced_file_is_no_source(lab: Lab, replacement: Member) -> None:
    layer = tar(file("a/f", OLD), file("a/g", OTHER), replacement)
    assert contents(lab.tree(layer)) == {"a/g": OTHER}
    assert contents(lab.tree(tar(file("a/f", OLD), file("a/g", OTHER)), tar(replacement))) == {"a/g": OTHER}


def test_the_last_of_several_files_with_one_path_counts(lab: Lab) -> None:
    assert contents(lab.tree(tar(file("f", OLD), file("./f", NEW)))) == {"f": NEW}


def test_hard_links_are_sources_too(lab: Lab) -> None:
    layer = tar(file("a", OLD), hard_link("b", "a"), hard_link("c", "./b"), file("d", OTHER), hard_link("d", "a"))
    assert contents(lab.tree(layer)) == {"a": OLD, "b": OLD, "c": OLD, "d": OLD}


def test_a_hard_link_into_a_lower_layer_invalidates_the_path_that_it_replaces(lab: Lab) -> None:
    assert contents(lab.tree(tar(file("f", OLD), hard_link("f", "only/in/lower")))) == {}


def test_a_hard_link_into_a_lower_layer_that_is_here_is_a_source(lab: Lab) -> None:
    assert contents(lab.tree(tar(file("low", OLD)), tar(hard_link("f", "low")))) == {"f": OLD, "low": OLD}


def test_an_alias_whose_target_is_rewritten_is_no_source(lab: Lab) -> None:
    # the reference reads the new bytes through the alias; a client has the old ones, or resolves links late
    assert contents(lab.tree(tar(file("f", OLD), hard_link("alias", "f"), file("f", NEW)))) == {"f": NEW}


def test_an_alias_outlives_a_rewrite_by_a_later_layer(lab: Lab) -> None:
    layers = tar(file("f", OLD), hard_link("alias", "f")), tar(file("f", NEW))
    assert contents(lab.tree(*layers)) == {"f": NEW, "alias": OLD}


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o000], ids=oct)
def test_files_that_others_may_not_read_are_no_sources(lab: Lab, mode: int) -> None:
    layer = tar(file("secret", OLD, mode=mode), hard_link("alias", "secret"), file("f", OTHER))
    assert contents(lab.tree(layer)) == {"f": OTHER}


def test_a_hard_link_can_take_the_right_to_read(lab: Lab) -> None:
    assert contents(lab.tree(tar(file("f", OLD), hard_link("alias", "f", mode=0o600)))) == {}


def test_a_hard_link_to_itself_is_no_source(lab: Lab) -> None:
    assert contents(lab.tree(tar(file("f", OLD), hard_link("f", "f")))) == {}


def test_a_hard_link_to_a_symlink_is_a_symlink(lab: Lab) -> None:
    layer = tar(file("d/f", OLD), symlink("s", "d"), hard_link("t", "s"), file("t/f", NEW))
    assert contents(lab.tree(layer)) == {}  # t/f may have landed on d/f


@pytest.mark.parametrize("link", ["f", "/f", "./f", "//f"])
def test_hard_links_may_be_absolute(lab: Lab, link: str) -> None:
    assert contents(lab.tree(tar(file("f", OLD), hard_link("alias", link)))) == {"f": OLD, "alias": OLD}


@pytest.mark.parametrize("link", ["../f", "d/../f", "d", "s"])
def test_hard_links_to_doubtful_places_are_no_sources(lab: Lab, link: str) -> None:
    layer = tar(file("f", OLD), file("d/x", OTHER), symlink("s", "f"), file("alias", NEW), hard_link("alias", link))
    assert contents(lab.tree(layer)) == {"f": OLD, "d/x": OTHER}


def test_a_whiteout_removes_a_directory_with_its_children(lab: Lab) -> None:
    lower = tar(directory("d"), file("d/a", OLD), file("d/e/b", OTHER), file("k", NEW))
    assert contents(lab.tree(lower, tar(whiteout("d")))) == {"k": NEW}


def test_a_whiteout_removes_only_what_lower_layers_brought(lab: Lab) -> None:
    lower = tar(file("d/a", OLD), file("d/b", OLD))
    assert contents(lab.tree(lower, tar(whiteout("d/a"), file("d/a", NEW)))) == {"d/a": NEW, "d/b": OLD}
    assert contents(lab.tree(lower, tar(file("d/c", NEW), opaque("d")))) == {"d/c": NEW}
    assert contents(lab.tree(lower, tar(opaque("d"), file("d/c", NEW)))) == {"d/c": NEW}


def test_repeated_and_nested_opaque_marks_change_nothing(lab: Lab) -> None:
    lower = tar(file("d/a", OLD), file("d/e/b", OLD), file("d/e/k", OLD))
    upper = tar(
        directory("d/e"), opaque("d/e"), file("d/e/b", NEW), opaque("d/e"), file("d/c", NEW), opaque("d"), opaque("d")
    )
    assert contents(lab.tree(lower, upper)) == {"d/e/b": NEW, "d/c": NEW}
    assert contents(lab.tree(lower, upper, tar(opaque("d"), file("d/z", OTHER)))) == {"d/z": OTHER}


def test_a_file_that_its_own_layer_whites_out_is_no_source(lab: Lab) -> None:
    assert contents(lab.tree(tar(file("d/f", OLD), whiteout("d/f")))) == {}
    assert contents(lab.tree(tar(file("d/f", OLD)), tar(file("d/g", OLD), whiteout("d")))) == {}


def test_whiteouts_are_no_files(lab: Lab) -> None:
    marks = (file(".wh.gone", OLD), file("d/.wh..wh.plnk/1.2", OLD), file(".wh..wh.aufs", OLD), file(".wh.x/y", OLD))
    assert contents(lab.tree(tar(*marks))) == {}
    assert contents(lab.tree(tar(whiteout("d/f"), file("d/g", OLD)))) == {"d/g": OLD}


@pytest.mark.parametrize("mark", ["d/../.wh.f", "../.wh.f", "d/../.wh..wh..opq"])
def test_a_whiteout_that_may_be_elsewhere_is_refused(lab: Lab, mark: str) -> None:
    with pytest.raises(TarError, match="a whiteout has"):
        lab.tree(tar(file("f", OLD), file(mark, b"")))


@pytest.mark.parametrize("mark", [".wh.", ".wh..", ".wh...", "d/.wh.", "d/.wh..", "d/.wh..."])
def test_a_whiteout_of_the_folder_that_it_lies_in_is_refused(lab: Lab, mark: str) -> None:
    with pytest.raises(TarError, match="a whiteout names a folder that it lies in"):
        lab.tree(tar(file("d/f", OLD), file(mark, b"")))


@pytest.mark.parametrize("replacement", [file("d", NEW), symlink("d", "e"), fifo("d")], ids=str)
def test_a_replaced_directory_takes_its_children_along(lab: Lab, replacement: Member) -> None:
    layer = tar(file("d/a", OLD), file("d/s/b", OTHER), file("e/a", OTHER), replacement)
    expected = {"e/a": OTHER} | ({"d": NEW} if replacement.data else {})
    assert contents(lab.tree(layer)) == expected


def test_a_directory_onto_a_directory_keeps_it(lab: Lab) -> None:
    assert contents(lab.tree(tar(file("d/a", OLD), directory("d")))) == {"d/a": OLD}


def test_a_directory_onto_a_symlink_replaces_it(lab: Lab) -> None:
    layer = tar(file("e/a", OLD), symlink("d", "e"), directory("d"), file("d/a", NEW))
    assert contents(lab.tree(layer)) == {"e/a": OLD, "d/a": NEW}


@pytest.mark.parametrize("target", ["real", "./real/", "/real", "x/../real", "other", "../../real"])
def test_a_file_through_a_symlinked_directory_unsettles_its_real_path(lab: Lab, target: str) -> None:
    layer = tar(
        file("real/f", OLD),
        file("real/g", OTHER),
        directory("x"),
        symlink("other", "real"),
        symlink("link", target),
        file("link/f", NEW),
    )
    assert contents(lab.tree(layer)) == {"real/g": OTHER}


@pytest.mark.parametrize("target", ["/e", "../e", "e/../../e"])
def test_a_file_onto_a_symlink_that_gnu_tar_makes_at_its_end_is_no_source(lab: Lab, target: str) -> None:
    symlinked, replaced = symlink("d/l", target), file("d/l", NEW)
    assert contents(lab.tree(tar(file("f", OLD), symlinked, replaced))) == {"f": OLD}
    assert contents(lab.tree(tar(file("f", OLD), symlinked, symlink("d/l", "x"), replaced, replaced))) == {"f": OLD}
    assert contents(lab.tree(tar(file("f", OLD), symlinked), tar(replaced))) == {"f": OLD, "d/l": NEW}


def test_below_an_unclear_path_nothing_is_a_source_until_it_is_named_again(lab: Lab) -> None:
    through = tar(file("real/s/f", OLD), symlink("link", "real"), symlink("link/s", "elsewhere"), file("real/s/f", NEW))
    assert contents(lab.tree(through)) == {}
    assert contents(lab.tree(through, tar(directory("real/s"), file("real/s/f", NEW)))) == {"real/s/f": NEW}


def test_symlinks_that_lead_in_circles_end(lab: Lab) -> None:
    layer = tar(symlink("a", "b"), symlink("b", "a"), file("a/f", OLD), symlink("c", "c/c/c"), file("c/f", OLD))
    assert contents(lab.tree(layer)) == {}


def test_a_file_below_a_file_unsettles_it(lab: Lab) -> None:
    assert contents(lab.tree(tar(file("f", OLD), file("f/below", NEW)))) == {}


def test_a_directory_through_a_symlink_leaves_what_is_there(lab: Lab) -> None:
    layer = tar(file("real/d/f", OLD), symlink("link", "real"), directory("link/d"))
    assert contents(lab.tree(layer)) == {"real/d/f": OLD}


def test_a_slash_in_front_is_taken_away_as_by_all_readers(lab: Lab) -> None:
    layer = tar(directory("/"), directory("/usr"), file("/usr/f", OLD), file("usr/g", OTHER), file("//usr/g", NEW))
    assert contents(lab.tree(layer)) == {"usr/f": OLD, "usr/g": NEW}


@pytest.mark.parametrize("path", ["d/../f", "../f", "../../f", "/../f"])
def test_escaping_paths_are_no_sources_and_unsettle_where_they_may_land(lab: Lab, path: str) -> None:
    assert contents(lab.tree(tar(file("f", OLD), file("g", OTHER), file(path, NEW)))) == {"g": OTHER}
    assert [child.name for child in lab.directory.iterdir()] == ["tree1"]


@pytest.mark.parametrize(
    "path",
    [b"\xff\xfe", b"d/" + b"n" * 256, b"/".join([b"d" * 200] * 25), b"a/" * 2020 + b"f" * 30],
    ids=["not UTF-8", "long name", "long path", "too long with its directory"],
)
def test_names_that_some_decoder_refuses_are_no_sources(lab: Lab, path: bytes) -> None:
    assert contents(lab.tree(tar(file("f", OTHER), file(path, OLD)))) == {"f": OTHER}


def test_empty_and_sparse_files_are_no_sources(lab: Lab) -> None:
    records = {"major": "1", "minor": "0", "name": "real", "realsize": "9"}
    in_pax = pax(file("p", OLD), **{f"GNU__sparse__{key}": value for key, value in records.items()})
    assert contents(lab.tree(tar(file("e"), sparse("s", OLD), in_pax, file("f", OTHER)))) == {"f": OTHER}


def test_an_entry_of_unknown_kind_unsettles_its_path(lab: Lab) -> None:
    layer = tar(file("f", OLD), Member(path=b"f", type=b"Z", data=NEW), file("g", OTHER))
    assert contents(lab.tree(layer)) == {"g": OTHER}


def test_what_clients_do_not_keep_of_an_image_is_no_source(lab: Lab) -> None:
    places = ["run/f", "./run/lock/f", "sysroot/ostree/f", "/run/g", "sysroot/f", "runner/f", "usr/run/f"]
    links = hard_link("run/link", "runner/f"), hard_link("usr/link", "run/f"), hard_link("usr/other", "usr/run/f")
    tree = lab.tree(tar(*(file(place, OLD) for place in places), *links))
    assert contents(tree).keys() == {"sysroot/f", "runner/f", "usr/run/f", "usr/other"}


@pytest.mark.parametrize("place", ["", "d"])
def test_below_an_opaque_mark_only_named_directories_are_certain(lab: Lab, place: str) -> None:
    # containers/storage and moby remove there whatever no entry of the layer has named, in some storage drivers
    mark = file(f"{place}/.wh..wh..opq".lstrip("/"))
    implicit, named = file("d/made/f", OLD), (directory("d/named"), file("d/named/f", OTHER))
    layer = tar(directory("d"), implicit, *named, mark)
    assert contents(lab.tree(layer)) == {"d/named/f": OTHER}
    assert contents(lab.tree(tar(directory("d/made"), file("d/made/g", NEW)), layer)) == {"d/named/f": OTHER}
    assert contents(lab.tree(layer, tar(directory("d/made"), implicit))) == {"d/made/f": OLD, "d/named/f": OTHER}
    assert contents(lab.tree(tar(directory("d"), implicit), tar(directory("d"), mark))) == {}


def test_a_path_through_ever_longer_symlinks_is_given_up(lab: Lab) -> None:
    # 40 symlinks with targets of a thousand names each would cost 40,000 steps for one header
    deep = "d/" * 1000
    layer = tar(directory(deep), symlink(deep + "s", "/" + deep + "s"), symlink("in", "/" + deep + "s"))
    assert contents(lab.tree(layer + tar(end=b""))) == {}
    with pytest.raises(TarError, match="more than 1,000 names"):
        lab.tree(layer[:-1024] + tar(file("in/f", OLD)))


def test_all_symlinks_together_lead_through_a_bounded_number_of_names(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "_MAX_ALL_STEPS", 60)
    layer = tar(symlink("in", "d/e/f"), *(file(f"in/{number}", OLD) for number in range(15)), end=b"")
    assert contents(lab.tree(layer)) == {}
    with pytest.raises(TarError, match="more than 60"):
        lab.tree(layer + tar(file("in/f", OLD)))


def test_paths_of_sources_are_bounded_all_together(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = tar(file("d/1", OLD), file("d/22", OLD))
    monkeypatch.setattr(replay, "_MAX_PATHS", 7)
    assert len(contents(lab.tree(layer))) == 2
    monkeypatch.setattr(replay, "_MAX_PATHS", 6)
    with pytest.raises(ExtractError, match="more than the allowed 6 bytes"):
        lab.tree(layer)


def test_a_symlink_that_only_some_clients_put_there_leads_where_it_says(lab: Lab) -> None:
    through = (directory("real"), symlink("link", "real"), symlink("link/s", "../else"), file("real/s/f", NEW))
    assert contents(lab.tree(tar(file("else/f", OLD), file("else/g", OTHER), *through))) == {"else/g": OTHER}


@pytest.mark.parametrize(
    "doubtful",
    [
        [hard_link("s", "in/a/lower/layer")],
        [
            directory("real"),
            symlink("real/s", "a"),
            symlink("link", "real"),
            symlink("link/s", "b"),
            symlink("s", "real/s"),
        ],
        [
            directory("real"),
            symlink("real/s", "a"),
            symlink("link", "real"),
            file("link/s", NEW),
            symlink("s", "real/s"),
        ],
        [symlink("s", "/a"), symlink("s", "/b")],
    ],
    ids=["hard link", "two targets", "file or symlink", "made late"],
)
def test_below_what_may_be_a_symlink_nothing_is_certain(lab: Lab, doubtful: list[Member]) -> None:
    assert contents(lab.tree(tar(file("f", OLD), *doubtful))) == {"f": OLD}
    with pytest.raises(TarError, match="below what may be a symlink"):
        lab.tree(tar(file("f", OLD), *doubtful, file("s/f", NEW)))


@pytest.mark.parametrize(
    "between", [[], [whiteout("f")], [symlink("in", "."), file("in/f", OTHER)]], ids=["at once", "whiteout", "through"]
)
@pytest.mark.parametrize("target", ["g", "missing", "s"])
def test_what_comes_to_the_place_of_a_hard_link_is_no_source(lab: Lab, target: str, between: list[Member]) -> None:
    # ostree makes hard links when the layer has ended, whatever has come there
    before = (file("g", OLD), symlink("s", "g"), hard_link("f", target), *between, file("f", NEW))
    assert "f" not in contents(lab.tree(tar(*before)))
    assert contents(lab.tree(tar(*before), tar(file("f", NEW))))["f"] == NEW


def test_an_opaque_mark_below_a_symlink_is_refused(lab: Lab) -> None:
    lower = tar(file("real/f", OLD), symlink("link", "real"))
    assert contents(lab.tree(lower + tar(end=b""))) == {"real/f": OLD}
    with pytest.raises(TarError, match="opaque mark lies below a symlink"):
        lab.tree(lower, tar(opaque("link")))
    # of a layer's own files it means nothing
    assert contents(lab.tree(tar(file("real/f", OLD), symlink("link", "real"), opaque("link")))) == {"real/f": OLD}
    assert contents(lab.tree(lower, tar(opaque("missing"), opaque("real/f"), file("g", OLD)))) == {
        "real/f": OLD,
        "g": OLD,
    }


def test_opaque_marks_below_each_other_take_linear_time(lab: Lab) -> None:
    depth, width = 300, 2000
    above = ["/".join(["d"] * count) for count in range(1, depth)]
    lower = tar(*(file(f"{above[-1]}/{number}", b"x") for number in range(width)))
    named = map(directory, above)
    upper = tar(*named, *(file(f"{above[-1]}/new{number}", b"y") for number in range(width)), *map(opaque, above))
    assert len(lab.tree(lower, upper).sources) == width


@pytest.mark.parametrize(("end", "data"), [("/", b""), ("/.", NEW)])
def test_a_file_that_ends_as_a_directory_does_is_no_source(lab: Lab, end: str, data: bytes) -> None:
    assert contents(lab.tree(tar(file("f", OLD), file("g", OTHER), file("f" + end, data)))) == {"g": OTHER}
    assert contents(lab.tree(tar(file("g", OTHER), hard_link("f", "g" + end)))) == {"g": OTHER}


def test_modes_of_the_tar_do_not_hinder_us(lab: Lab) -> None:
    tree = lab.tree(tar(directory("d", mode=0), file("d/f", OLD, mode=0o4644)))
    assert contents(tree) == {"d/f": OLD}


def test_the_tree_is_deep_only_in_names(lab: Lab) -> None:
    deep = "/".join(["d"] * 1500)
    assert contents(lab.tree(tar(file(f"{deep}/f", OLD)), tar(file("d/d/d", NEW)))) == {"d/d/d": NEW}


def test_a_layer_that_is_no_tar_is_an_error(lab: Lab) -> None:
    with pytest.raises(TarError, match=r"checksum .*at byte 1,024"):
        lab.tree(tar(file("f", OLD), end=b"x" * 512))
    with pytest.raises(TarError, match="ends inside the data"):
        lab.tree(tar(file("f", OLD), end=b"")[:600])


def test_an_empty_layer_gives_an_empty_tree(lab: Lab) -> None:
    assert contents(lab.tree(tar())) == {}
    assert contents(lab.tree(b"")) == {}


def test_each_layer_is_read_to_its_end(tmp_path: Path) -> None:
    layer = io.BytesIO(tar(file("f", OLD)) + b"behind the end")
    extract([layer], tmp_path, max_bytes=1 << 20)
    assert layer.read() == b""


def test_more_bytes_than_allowed_are_refused(tmp_path: Path) -> None:
    layer = tar(file("a", bytes(700)), file("b", bytes(400)))
    with pytest.raises(ExtractError, match="more than the allowed 1,000 bytes"):
        extract([io.BytesIO(layer)], tmp_path, max_bytes=1000)


def test_more_names_than_allowed_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "MAX_NODES", 10)
    layer = tar(directory("/".join("abcdefghijk")))
    with pytest.raises(ExtractError, match="more than the allowed 10 names"):
        extract([io.BytesIO(layer)], tmp_path, max_bytes=1000)


def test_what_is_no_source_is_not_found(lab: Lab) -> None:
    tree = lab.tree(tar(file("d/a", OLD), file("d/b", b""), symlink("d/c", "a"), file("d/e", OTHER)))
    assert [tree.find(path) for path in (b"", b"d", b"d/b", b"d/c", b"d//a", b"./d/a", b"d/f", b"z")] == [None] * 8
    assert [source.path for source in tree.sources] == [b"d/a", b"d/e"]


def test_large_and_small_contents_are_read_from_their_place(lab: Lab) -> None:
    large = bytes(range(256)) * 1200
    expected = {"a": OLD, "b": large, "c": OTHER, "d": large[:-7]}
    assert contents(lab.tree(tar(*(file(path, data) for path, data in expected.items())))) == expected


def test_a_tree_keeps_one_file_open_for_as_long_as_it_lives(lab: Lab) -> None:
    def is_open() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = is_open()
    tree = lab.tree(tar(file("a", OLD), file("b", OTHER)))
    assert is_open() == before + 1
    del tree
    assert is_open() == before


def test_a_directory_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "something").touch()
    with pytest.raises(ExtractError, match="not empty"):
        extract([], tmp_path, max_bytes=1000)


def test_what_the_disk_refuses_is_our_error(tmp_path: Path) -> None:
    with pytest.raises(ExtractError, match="No such file"):
        extract([], tmp_path / "missing", max_bytes=1000)
