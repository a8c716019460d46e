"""Outlines tell related layers."""

import io
import json

import pytest

from pipeline.tardiff.layer.outline import Outline, OutlineError, outline
from tests.tars import directory, file, symlink, tar


def outlined(content: bytes) -> Outline:
    stream = io.BytesIO(content)
    made = outline(stream)
    assert stream.read() == b""
    return made


def test_it_tells_names_and_contents_apart_from_their_folders() -> None:
    mine = outlined(tar(file("d/same", b"a" * 100), file("moved", b"b" * 200), directory("x"), file("empty", b"")))
    other = outlined(tar(file("e/same", b"z" * 9), file("renamed", b"b" * 200), symlink("only", "x")))
    assert [kept.size for kept in mine.files] == [200, 100]
    assert {kept.name for kept in mine.files} & {kept.name for kept in other.files} == {mine.files[1].name}
    assert {kept.content for kept in mine.files} & {kept.content for kept in other.files} == {mine.files[0].content}
    assert outlined(tar()).files == ()


def test_the_largest_64_files_are_kept() -> None:
    made = outlined(tar(*(file(f"f{n}", b"x" * (1 + n * 7 % 200)) for n in range(200))))
    assert [kept.size for kept in made.files] == list(range(200, 136, -1))


def test_it_survives_json() -> None:
    made = outlined(tar(file("a", b"a" * 100), file("b", b"b" * 200)))
    assert Outline.from_json(json.loads(json.dumps(made.to_json()))) == made


ROW: list[object] = [1, "a" * 8, "b" * 8]


@pytest.mark.parametrize("value", [None, {}, [1], [[1, "a", "b"]], [[-1, "a" * 8, "b" * 8]], [ROW] * 65])
def test_other_json_is_refused(value: object) -> None:
    with pytest.raises(OutlineError):
        Outline.from_json(value)


@pytest.mark.parametrize("content", [b"no tar" * 100, tar(file("a", b"a" * 99), end=b"!" * 999), b""], ids=len)
def test_what_does_not_parse_gives_what_was_read(content: bytes) -> None:
    assert len(outlined(content).files) == content.count(b"a" * 99)


def test_a_file_cut_off_is_not_kept() -> None:
    assert outlined(tar(file("a", b"a" * 999), end=b"")[:1000]).files == ()
