"""From a URL to a target."""

from pathlib import Path

import pytest

from pipeline.errors import ExitCode
from pipeline.targets.directory import DirectoryTarget
from pipeline.targets.open import TargetURLError, open_target


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("public", "/base/public"),
        ("../www/registry", "/base/../www/registry"),
        ("/srv/www", "/srv/www"),
        ("with space:and colon", "/base/with space:and colon"),
        ("file:///srv/www", "/srv/www"),
        ("file:/srv/www", "/srv/www"),
        ("file://localhost/srv/a%20b%23c", "/srv/a b#c"),
    ],
)
def test_a_path_or_a_file_url_is_a_directory(url: str, path: str) -> None:
    target = open_target(url, Path("/base"))
    assert isinstance(target, DirectoryTarget)
    assert target.url == path


def test_opening_touches_nothing(tmp_path: Path) -> None:
    open_target("public", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a\0b",
        "ftp://host/path",
        "file:",
        "file:relative",
        "file://host/path",
        "file:///a?b",
        "file:///a#b",
        "file:///%00",
    ],
)
def test_any_other_url_is_a_mistake_in_the_configuration(url: str) -> None:
    with pytest.raises(TargetURLError) as caught:
        open_target(url, Path("/base"))
    assert caught.value.exit_code is ExitCode.BAD_CONFIGURATION
