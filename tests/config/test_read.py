"""The configuration: what it gives, and that every mistake is named with its key path, all of them at once."""

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import Config, ConfigError, Policy, SeriesRule, parse_config, read_config
from pipeline.config.values import FlatpakRemote, Site
from pipeline.errors import ExitCode
from pipeline.limits import Limits
from pipeline.quantities import QuantityError, parse_duration, parse_size
from pipeline.targets.s3.options import S3Options

HEAD = """
[target]
url = "public"
"""
ONE = (
    HEAD
    + """
[[repository]]
name = "team/app"
layout = "layouts/app"
"""
)


def parse(text: str) -> Config:
    return parse_config(text, path=Path("/srv/press/deltapress.toml"))


def mistakes(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    return [str(mistake) for mistake in caught.value.mistakes]


def test_defaults() -> None:
    config = parse(ONE)
    assert config.path == Path("/srv/press/deltapress.toml")
    assert config.target_url == "public"
    assert config.policy == Policy(
        versions=3,
        max_ratio=0.9,
        grace=timedelta(days=7),
        keep=10,
        keep_tags=(),
        keep_for=timedelta(0),
        order="images-first",
    )
    assert config.max_delete == 0.5
    assert config.effort == "default"
    assert config.limits == Limits(memory=None, memory_share=0.5, layer=64 * 2**30, ratio=1000)
    assert config.site == Site(pages=True)
    (repository,) = config.repositories
    assert repository.name == "team/app"
    assert repository.layout == Path("/srv/press/layouts/app")
    assert repository.tags == ("*",)
    assert dict(repository.rename) == {}
    assert repository.series == ()
    assert repository.policy == config.policy


def test_everything_set() -> None:
    config = parse("""
        [target]
        url = "s3://bucket/prefix"
        [policy]
        versions = 5
        max_ratio = 1
        grace = "36h"
        keep = 6
        keep_tags = ["v*"]
        keep_for = "30d"
        order = "deltas-first"
        max_delete = 0
        effort = "max"
        [limits]
        memory = "8GiB"
        layer = "2 GB"
        ratio = 50
        [site]
        pages = false
        [flatpak]
        name = "example"
        url = "oci+https://flatpak.example.org:8443/some/path/"
        title = "Example"
        branch = "1.0"
        [[repository]]
        name = "a"
        layout = "/abs/layout.tar"
        tags = ["1.*", "latest"]
        rename = { "runtime/org.test.App/x86_64/stable" = "latest", "" = "unnamed" }
        versions = 2
        grace = "0s"
        delta_url = true
        pins = ["1.0", "sha256:01ba4719c80b6fe911b091a7c05124b64eeece964e09c058ef8f9805daca546b"]
        keep_tags = []
        [[repository.series]]
        match = "1.*"
        [[repository.series]]
        match = "2.*"
        [[repository]]
        name = "b"
        layout = "b"
    """)
    assert config.max_delete == 0.0
    assert config.effort == "max"
    assert config.limits == Limits(memory=8 * 2**30, layer=2 * 10**9, ratio=50)
    assert config.site == Site(pages=False)
    assert config.flatpak == FlatpakRemote(
        name="example", url="https://flatpak.example.org:8443/some/path", title="Example", branch="1.0"
    )
    first, second = config.repositories
    assert first.layout == Path("/abs/layout.tar")
    assert first.tags == ("1.*", "latest")
    assert first.rename == {"runtime/org.test.App/x86_64/stable": "latest", "": "unnamed"}
    assert first.series == (SeriesRule(match="1.*"), SeriesRule(match="2.*"))
    assert first.pins == ("1.0", "sha256:01ba4719c80b6fe911b091a7c05124b64eeece964e09c058ef8f9805daca546b")
    month = timedelta(days=30)
    assert first.policy == Policy(
        versions=2, max_ratio=1.0, grace=timedelta(0), keep=6, keep_for=month, order="deltas-first", delta_url=True
    )
    assert (second.policy.keep_tags, second.pins) == (("v*",), ())
    assert second.policy == config.policy
    assert config.policy.versions == 5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", ["target.url: is missing", "repository: is missing; add"], id="empty"),
        pytest.param(HEAD, ["repository: is missing; add a [[repository]]"], id="no-repository"),
        pytest.param(
            ONE + "[target.file]", ["target.file: is an unknown key; known here are url, s3"], id="no-such-table"
        ),
        pytest.param(ONE + "[target.s3]", ["target.s3: is for buckets, but `url` does"], id="s3-for-a-directory"),
        pytest.param(ONE + "[polcy]", ["polcy: is an unknown key; did you mean `policy`?"], id="near-table"),
        pytest.param(ONE + "kepp = 3", ["repository[0].kepp: is an unknown key; did you mean `keep`?"], id="near-key"),
        pytest.param(
            ONE + "max_delete = 1",
            ["repository[0].max_delete: does not belong here, but in [policy]"],
            id="other-table",
        ),
        pytest.param(ONE + "[site]\npages = 'no'", ["site.pages: must be true or false, not a string"], id="pages"),
        pytest.param(ONE + "[site]\npages = 0", ["site.pages: must be true or false, not an integer"], id="pages-0"),
        pytest.param(
            ONE + "formats = ['oci-delta']\ndelta_url = true",
            ['repository[0].delta_url: says where `_deltaindex` leads; add "deltaindex" to `formats`, or leave it out'],
            id="delta_url",
        ),
        pytest.param(
            ONE + "[flatpak]",
            ["flatpak.name: is missing", "flatpak.url: is missing"],
            id="flatpak",
        ),
        pytest.param(
            ONE + "[flatpak]\nname = 'a b'\nurl = 'https://me:secret@example.org'\nbranch = '../x'\nicon = 'i.png'",
            [
                "flatpak.name: must be letters, digits, '.', '_' and '-', at most 100, not 'a b'",
                "flatpak.url: must be an address such as https://flatpak.example.org/some/path, without user, ? and #",
                "flatpak.icon: must be an address such as https://flatpak.example.org/some/path, without user, ? and #",
                "flatpak.branch: must be the name of a branch, such as stable, not '../x'",
            ],
            id="flatpak-values",
        ),
        pytest.param(ONE + "pages = true", ["repository[0].pages: does not belong here, but in [site]"], id="no-site"),
        pytest.param("versions = 2" + ONE, ["versions: does not belong here, but in [policy]"], id="before-a-table"),
        pytest.param(ONE + "keep = true", ["repository[0].keep: must be an integer, not a boolean"], id="boolean"),
        pytest.param(ONE + "keep = 2.0", ["repository[0].keep: must be an integer, not a number"], id="float"),
        pytest.param(
            ONE + "grace = 7", ["repository[0].grace: must be a string, not an integer"], id="number-for-a-duration"
        ),
        pytest.param(
            ONE + "grace = 1979-05-27", ["repository[0].grace: must be a string, not a date or time"], id="date"
        ),
        pytest.param(ONE + 'grace = "7 days"', ["repository[0].grace: must be a duration such as"], id="duration"),
        pytest.param(
            ONE + 'grace = "99999999w"', ["repository[0].grace: must be a duration such as"], id="overflowing-duration"
        ),
        pytest.param(
            ONE + "versions = -1", ["repository[0].versions: must be a number from 0 to 1,000, not -1"], id="negative"
        ),
        pytest.param(
            ONE + "max_ratio = 0",
            ["repository[0].max_ratio: must be a number above 0 and up to 1, not 0"],
            id="zero-ratio",
        ),
        pytest.param(
            ONE + "max_ratio = 1.1",
            ["repository[0].max_ratio: must be a number above 0 and up to 1, not 1.1"],
            id="ratio-above-one",
        ),
        pytest.param(
            ONE + "max_ratio = nan",
            ["repository[0].max_ratio: must be a number above 0 and up to 1, not nan"],
            id="nan",
        ),
        pytest.param(
            ONE + 'order = "any"',
            ["repository[0].order: must be 'images-first' or 'deltas-first', not 'any'"],
            id="order",
        ),
        pytest.param(ONE + "pins = ['sha256:12']", ["repository[0].pins[0]: must be a tag, or a digest"], id="pin"),
        pytest.param(
            ONE + "pins = ['_deltaindex']", ["repository[0].pins[0]: must be a tag, or a digest"], id="pin-tag"
        ),
        pytest.param(
            ONE + "formerly = ['Old']", ["repository[0].formerly[0]: repository name 'Old'"], id="former-name"
        ),
        pytest.param(
            ONE + "[[repository]]\nname = 'b'\nlayout = 'b'\nformerly = ['a', 'team/app', 'b']",
            [
                "repository[1].formerly: holds 'team/app', which is a repository of this configuration",
                "repository[1].formerly: holds 'b', which is a repository of this configuration",
            ],
            id="former-and-present",
        ),
        pytest.param(ONE + "[policy]\npins = ['1.0']", ["policy.pins: does not belong here, but in [["], id="pins"),
        pytest.param(
            ONE + "keep_for = 30", ["repository[0].keep_for: must be a string, not an integer"], id="keep-for"
        ),
        pytest.param(
            ONE + "[policy]\nkeep_tags = 'v*'",
            ["policy.keep_tags: must be a list of strings, not a string"],
            id="keep-tags",
        ),
        pytest.param(
            ONE + "[policy]\neffort = 'heroic'",
            ["policy.effort: must be 'fast', 'default' or 'max', not 'heroic'"],
            id="effort",
        ),
        pytest.param(
            ONE + "[policy]\nmax_delete = -0.1",
            ["policy.max_delete: must be a number from 0 to 1, not -0.1"],
            id="share",
        ),
        pytest.param(ONE + "[policy]\nkeep = 3", ["policy.keep: `keep` is 3 and `versions` is 3"], id="keep-too-small"),
        pytest.param(
            ONE + "[policy]\nversions = 10", ["policy.versions: `keep` is 10 and"], id="keep-default-too-small"
        ),
        pytest.param(
            ONE + "versions = 10", ["repository[0].versions: `keep` is 10 and"], id="keep-inherited-too-small"
        ),
        pytest.param(ONE + '[limits]\nmemory = "8G"', ["limits.memory: must be a size such as"], id="size"),
        pytest.param(
            ONE + '[limits]\nmemory = "0%"', ["limits.memory: must be from 1% to 100%, not '0%'"], id="percent"
        ),
        pytest.param(ONE + '[limits]\nlayer = "50%"', ["limits.layer: must be a size such as"], id="size-in-percent"),
        pytest.param(
            ONE + "[limits]\nratio = 0", ["limits.ratio: must be a number from 1 to 1,000,000, not 0"], id="ratio-zero"
        ),
        pytest.param(
            ONE + "[limits]\nratio = 9.5", ["limits.ratio: must be an integer, not a number"], id="ratio-type"
        ),
        pytest.param(
            ONE + "ratio = 9", ["repository[0].ratio: does not belong here, but in [limits]"], id="ratio-place"
        ),
        pytest.param(ONE + "tags = []", ["repository[0].tags: is empty"], id="no-tags"),
        pytest.param(
            ONE + 'tags = ["a", 1]', ["repository[0].tags[1]: must be a string, not an integer"], id="tag-type"
        ),
        pytest.param(
            ONE + 'tags = "a"', ["repository[0].tags: must be a list of strings, not a string"], id="tags-type"
        ),
        pytest.param(
            ONE + 'rename = { "a/b" = "c/d" }',
            ["repository[0].rename.\"a/b\": must be a valid tag, not 'c/d': 1 to"],
            id="rename",
        ),
        pytest.param(
            ONE + 'rename = { a = "_deltaindex" }',
            ["repository[0].rename.a: must be another tag than '_deltaindex'"],
            id="reserved",
        ),
        pytest.param(
            ONE + 'rename = { "a\\"]" = 1 }', ['repository[0].rename."a\\"]": must be a string'], id="rename-quoted"
        ),
        pytest.param(ONE + "[[repository.series]]", ["repository[0].series[0].match: is missing"], id="series-empty"),
        pytest.param(
            ONE + 'series = ["1.*"]', ["repository[0].series[0]: must be a table, not a string"], id="series-type"
        ),
        pytest.param(
            ONE
            + "[[repository.series]]\nmatch='1'\n[[repository.series]]\nmatch='2'\n[[repository.series]]\nmatch='1'",
            ["repository[0].series[2].match: must differ from series[0].match, which is '1'"],
            id="series-twice",
        ),
        pytest.param(HEAD + "[repository]\nname = 'a'", ["repository: must be a list of tables, "], id="one-bracket"),
        pytest.param(
            HEAD + "[[repository]]", ["repository[0].name: is m", "repository[0].layout: is m"], id="nothing-set"
        ),
        pytest.param(ONE.replace("team/app", "Team/App"), ["repository[0].name: repository name 'Team"], id="grammar"),
        pytest.param(ONE.replace("team/app", "../app"), ["repository[0].name: repository name '../"], id="dots"),
        pytest.param(
            ONE.replace("team/app", "index.html"), ["repository[0].name: is 'index.html', but"], id="ping-file"
        ),
        pytest.param(
            ONE.replace("layouts/app", ""),
            ["repository[0].layout: must be a text without control characters, not ''"],
            id="empty-text",
        ),
        pytest.param(ONE.replace("layouts/app", "a\\u0000"), ["repository[0].layout: must be a text"], id="nul"),
        pytest.param(
            "target = 1\nrepository = 2",
            ["target: must be a table", "target.url: is m", "repository: must be a list"],
            id="types",
        ),
    ],
)
def test_each_mistake_is_named_with_its_key_path(text: str, expected: list[str]) -> None:
    found = mistakes(text)
    assert len(found) == len(expected)
    for line, start in zip(found, expected, strict=True):
        assert line.startswith(start), line


BUCKET = ONE.replace('"public"', '"s3://bucket/prefix"')


def test_a_tag_may_begin_with_an_underscore() -> None:
    config = parse(ONE + 'rename = { "a/b" = "_nightly" }')
    assert config.repositories[0].rename == {"a/b": "_nightly"}


def test_what_a_bucket_is_reached_with() -> None:
    assert parse(BUCKET).s3 == S3Options()
    config = parse(f"""
        {BUCKET}
        [target.s3]
        endpoint = "https://storage.example.org:9000"
        region = "eu-central-1"
        profile = "publisher"
        addressing = "path"
        storage_class = "STANDARD_IA"
        sse = "aws:kms"
        sse_kms_key = "alias/registry"
        acl = "public-read"
        cache_control = "s-maxage=60, stale-while-revalidate=30"
        concurrency = 16
        multipart_threshold = "64MiB"
        connect_timeout = "5s"
        read_timeout = "2m"
        attempts = 3
    """)
    assert config.target_url == "s3://bucket/prefix"
    assert config.s3 == S3Options(
        endpoint="https://storage.example.org:9000",
        region="eu-central-1",
        profile="publisher",
        addressing="path",
        storage_class="STANDARD_IA",
        sse="aws:kms",
        sse_kms_key="alias/registry",
        acl="public-read",
        cache_control="s-maxage=60, stale-while-revalidate=30",
        concurrency=16,
        multipart_threshold=64 << 20,
        connect_timeout=5,
        read_timeout=120,
        attempts=3,
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('endpoint = "localhost:9000"', "endpoint: must be a URL of scheme, host and port alone"),
        ('endpoint = "https://host/path"', "endpoint: must be a URL of scheme, host and port alone"),
        ('addressing = "dns"', "addressing: must be 'auto', 'path' or 'virtual', not 'dns'"),
        ('sse = "aes"', "sse: must be 'AES256', 'aws:kms' or 'aws:kms:dsse', not 'aes'"),
        ('sse_kms_key = "alias/a"', "sse_kms_key: is a KMS key; set"),
        ('acl = "public-read-write"', "acl: must be 'private', 'public-read', "),
        (
            'cache_control = "s-maxage=1, Max-Age=5"',
            "cache_control: must hold only directives that deltapress does not set, such as s-maxage=60, not 'max-age'",
        ),
        ('cache_control = ""', "cache_control: must hold only directives"),
        ("concurrency = 0", "concurrency: must be a number from 1 to 256, not 0"),
        ('multipart_threshold = "1MiB"', "multipart_threshold: must be from 5MiB to 5GiB, not '1MiB'"),
        ('read_timeout = "0s"', "read_timeout: must be from 1s to 1h, not '0s'"),
        ('secret_key = "x"', "secret_key: is an unknown key"),
        ('url = "s3://other"', "url: does not belong here, but in [target]"),
    ],
)
def test_each_mistake_about_a_bucket_is_named(line: str, expected: str) -> None:
    (mistake,) = mistakes(f"{BUCKET}[target.s3]\n{line}")
    assert mistake.startswith(f"target.s3.{expected}")


def test_a_password_in_an_endpoint_is_refused_and_not_repeated() -> None:
    (mistake,) = mistakes(BUCKET + '[target.s3]\nendpoint = "https://user:hunter2@host"')
    assert "hunter2" not in mistake


def repositories(*names: str) -> str:
    return HEAD + "".join(f'[[repository]]\nname = "{name}"\nlayout = "x"\n' for name in names)


@pytest.mark.parametrize(
    ("names", "wrong"),
    [
        (("a", "b", "a"), 2),
        (("a", "a/manifests"), 1),
        (("a/b/tags/list", "a/b"), 0),
        (("a/blobs/x", "a/blobs", "a"), 0),
        (("a", "a/referrers/b"), 1),
        (("index.html/a",), 0),
    ],
    ids=str,
)
def test_repositories_that_would_share_files_are_refused(names: tuple[str, ...], wrong: int) -> None:
    assert any(line.startswith(f"repository[{wrong}].name: ") for line in mistakes(repositories(*names)))


@pytest.mark.parametrize(
    "names", [("a", "a/b"), ("a/manifests", "blobs"), ("a", "ab/tags"), ("tags/list", "a")], ids=str
)
def test_repositories_that_share_no_files_are_allowed(names: tuple[str, ...]) -> None:
    assert [repository.name for repository in parse(repositories(*names)).repositories] == list(names)


def test_all_mistakes_are_reported_at_once_one_line_each() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(ONE + 'kepp = 1\nversions = "x"\n[policy]\ngrace = "soon"\n[limits]\nmemory = 1\n')
    assert [mistake.key for mistake in caught.value.mistakes] == [
        "policy.grace",
        "limits.memory",
        "repository[0].versions",
        "repository[0].kepp",
    ]
    first, *lines = str(caught.value).splitlines()
    assert first == "/srv/press/deltapress.toml: 4 mistakes, nothing was done"
    assert len(lines) == 4
    assert caught.value.exit_code is ExitCode.BAD_CONFIGURATION


def test_a_wrong_default_is_not_repeated_for_each_repository() -> None:
    assert len(mistakes(repositories("a", "b", "c") + "[policy]\nkeep = 2")) == 1


@pytest.mark.parametrize(
    "text", ["a = \n", "[a\n", "a = 1\na = 2\n", "x = " + "1" * 5000, "x = " + "[" * 100_000, "a = 1\r"], ids=len
)
def test_what_is_not_toml_is_refused(text: str) -> None:
    (line,) = mistakes(text)
    assert line.startswith("is not TOML: ")


def test_a_syntax_error_names_line_and_column() -> None:
    assert "(at line 2, column 5)" in mistakes("[a]\nb = \n")[0]


def test_a_missing_file_points_to_init(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="deltapress init"):
        read_config(tmp_path / "deltapress.toml")


def test_a_folder_is_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config(tmp_path)


def test_other_encodings_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "deltapress.toml"
    path.write_bytes(ONE.encode("utf-16"))
    with pytest.raises(ConfigError, match="is not UTF-8"):
        read_config(path)


def test_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "deltapress.toml").write_text(ONE)
    monkeypatch.chdir(tmp_path)
    config = read_config(Path("deltapress.toml"))
    assert config.path == tmp_path / "deltapress.toml"
    assert config.repositories[0].layout == tmp_path / "layouts/app"


KEYS = ["name", "layout", "tags", "rename", "series", "versions", "max_ratio", "grace", "keep", "order", "match", "x"]
VALUES: st.SearchStrategy[str] = st.recursive(
    st.sampled_from(["true", "0", "-1", "7", "1e400", "nan", "''", "'1'", "'7d'", "1979-05-27", "07:32:00"]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda values: f"[{', '.join(values)}]"),
        st.dictionaries(st.sampled_from(KEYS), inner, max_size=3).map(
            lambda table: f"{{ {', '.join(f'{key} = {value}' for key, value in table.items())} }}"
        ),
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["target", "policy", "limits", "repository"]), VALUES), VALUES)
def test_values_of_any_shape_give_a_config_or_mistakes(tables: dict[str, str], repository: str) -> None:
    text = "\n".join(f"{key} = {value}" for key, value in ({"repository": f"[{repository}]"} | tables).items())
    try:
        parse(text)
    except ConfigError as error:
        assert all(mistake.key for mistake in error.mistakes), "every one has a key path: the text is legal TOML"  # noqa: PT017 - both outcomes are right


@pytest.mark.parametrize(
    ("text", "size"),
    [("1B", 1), ("1KiB", 1024), ("1kB", 1000), ("1.5 MiB", 3 << 19), ("8GiB", 8 << 30), ("2TB", 2 * 10**12)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "8", "8G", "GiB", "-1GiB", "1iB", "1KB", "1gib", "0B", "0.1B", "1e3B", "²GiB", "8GiB\n"]
)
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(QuantityError):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("0s", 0), ("90s", 90), ("5m", 300), ("36h", 129600), ("7d", 604800), ("2w", 1209600)]
)
def test_durations(text: str, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "7", "d", "7 days", "-1d", "1.5h", "1d12h", "36501d", "999999999w", "٣d", "7d\n"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(QuantityError):
        parse_duration(text)


def test_the_memory_of_a_run() -> None:
    assert Limits(memory=5).memory_of(100) == 5
    assert Limits().memory_of(100) == 50
    assert parse(ONE + '[limits]\nmemory = "25%"').limits.memory_of(100) == 25


@pytest.mark.parametrize("layout", ["docker://registry/app:1", "oci:layouts/app:1.0", "oci-archive:app.tar", "dir:x"])
def test_a_layout_in_skopeo_s_syntax_is_explained(layout: str) -> None:
    with pytest.raises(ConfigError, match=r"repository\[0\].layout: must be the path .* skopeo's syntax"):
        parse(f'target.url = "public"\n[[repository]]\nname = "a"\nlayout = "{layout}"')


def test_a_home_is_not_expanded() -> None:
    with pytest.raises(ConfigError, match="`~` is not expanded"):
        parse('target.url = "public"\n[[repository]]\nname = "a"\nlayout = "~/app"')


@pytest.mark.parametrize(
    ("url", "layout"), [("app", "app"), ("app/public", "app"), (".", "layouts/app"), ("./app/../app/", "app")]
)
def test_a_target_among_the_layouts_is_refused(url: str, layout: str) -> None:
    with pytest.raises(ConfigError, match=r"target.url: .* the layout of a; choose another folder"):
        parse(f'target.url = "{url}"\n[[repository]]\nname = "a"\nlayout = "{layout}"')
    parse(f'target.url = "s3://bucket"\n[[repository]]\nname = "a"\nlayout = "{layout}"')
