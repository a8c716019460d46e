"""In which line a key stands, for messages."""

from pathlib import Path

import pytest

from pipeline.config import ConfigError, parse_config
from pipeline.config.lines import line_of

TEXT = '''\
[target]
url = "public"  # url = "other"

[target.s3]
  region = "x"

[[repository]]
name = "a"
rename = { "x" = "y" }

[[repository]]
name = "b"
"layout" = """
[[repository]]
name = "no key"
"""
tags = [
  "a",
  "b",
]
policy.versions = 3
[[repository.series]]
match = "1.*"
[[repository.series]]
match = "2.*"
[ "site" . 'pages' ]
"a.b" = 1
'''


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("target", 1),
        ("target.url", 2),
        ("target.s3", 4),
        ("target.s3.region", 5),
        ("repository[0]", 7),
        ("repository[0].name", 8),
        ("repository[0].rename.x", 9),
        ("repository[0].layout", 7),
        ("repository[1].name", 12),
        ("repository[1].layout", 13),
        ("repository[1].tags[1]", 17),
        ("repository[1].policy.versions", 21),
        ("repository[1].series[0].match", 23),
        ("repository[1].series[1].match", 25),
        ("site.pages", 26),
        ('site.pages."a.b"', 27),
        ("limits.memory", None),
        ("", None),
    ],
)
def test_the_line_of_a_key(key: str, line: int | None) -> None:
    assert line_of(TEXT, key) == line


def test_a_mistake_is_said_with_its_line() -> None:
    text = '[target]\nurl = "public"\n\n[[repository]]\nname = "a"\nlayout = "a"\nversions = -1\n'
    with pytest.raises(ConfigError, match=r"^press\.toml:7: repository\[0\]\.versions: must be a number"):
        parse_config(text, path=Path("press.toml"))
    with pytest.raises(ConfigError) as caught:
        parse_config(text.replace('name = "a"\n', ""), path=Path("press.toml"))
    first, *others = str(caught.value).splitlines()
    assert first == "press.toml: 2 mistakes, nothing was done"
    assert [line.partition(": ")[0] for line in others] == ["  line 4", "  line 6"]
