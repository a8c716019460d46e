"""`deltapress.toml` -> a frozen `Config`.

Rule 1. All mistakes of a file are reported at once, each with its key path; a `Config` in hand has none.
Rule 2. An unknown key is a mistake: a mistyped `kepp` must not quietly mean the default.
Rule 3. Only the text is judged here. Whether a layout exists and what is in it turns out when it is read, because one
        bad layout must not keep the other repositories from being published.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Final, get_args

import tomli

from ..efforts import DEFAULT_EFFORT
from ..errors import DeltapressError, ExitCode
from ..limits import Limits
from ..oci.reference import check_repository
from ..quantities import parse_duration, parse_size
from ..targets.s3.options import ACL, Addressing, Encryption, S3Options
from .lines import line_of
from .texts import (
    or_empty,
    parse_address,
    parse_branch,
    parse_budget,
    parse_cache_control,
    parse_choice,
    parse_effort,
    parse_endpoint,
    parse_format,
    parse_layout,
    parse_link,
    parse_memory,
    parse_metrics_file,
    parse_order,
    parse_part_size,
    parse_pin,
    parse_public_url,
    parse_remote,
    parse_tag,
    parse_text,
    parse_timeout,
)
from .toml import Mistake, Table
from .values import Config, FlatpakRemote, FormatName, Policy, Reporting, Repository, SeriesRule, Site

_ELSEWHERE: Final = {
    "url": "[target]",
    **dict.fromkeys((field.name for field in fields(S3Options)), "[target.s3]"),
    **dict.fromkeys((*(field.name for field in fields(Policy)), "max_delete", "effort"), "[policy]"),
    **dict.fromkeys(("memory", "layer", "ratio"), "[limits]"),
    **dict.fromkeys(("pages", "templates"), "[site]"),
    "metrics": "[report]",
    **dict.fromkeys(("title", "comment", "description", "homepage", "icon", "branch", "runtime_repo"), "[flatpak]"),
    **dict.fromkeys(("name", "layout", "tags", "rename", "pins", "series", "formerly"), "[[repository]]"),
    "match": "[[repository.series]]",
}
# The folders and the file of a repository, and of the tree itself, in which no other repository may live.
_RESERVED_PARTS: Final = frozenset({"blobs", "manifests", "referrers", "tags"})
_RESERVED_ROOT: Final = "index.html"
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


class ConfigError(DeltapressError):
    """The configuration cannot be used. `mistakes` are all that were found, in the order of reading."""

    exit_code = ExitCode.BAD_CONFIGURATION

    def __init__(self, path: Path, mistakes: Sequence[Mistake]) -> None:
        self.path, self.mistakes = path, tuple(mistakes)
        if len(mistakes) == 1:
            place = f":{mistakes[0].line}" if mistakes[0].line else ""
            super().__init__(f"{path}{place}: {mistakes[0]}")
        else:
            lines = "".join(f"\n  {f'line {mistake.line}: ' if mistake.line else ''}{mistake}" for mistake in mistakes)
            super().__init__(f"{path}: {len(mistakes)} mistakes, nothing was done{lines}")


def read_config(path: Path) -> Config:
    """Read the file at `path`.

    Raises:
        ConfigError: carrying all mistakes.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError as error:
        problem = "there is no such file; `deltapress init` writes one to start from, `-c FILE` names another"
        raise ConfigError(path, [Mistake("", problem)]) from error
    except OSError as error:
        raise ConfigError(path, [Mistake("", f"cannot be read ({error.strerror})")]) from error
    except UnicodeDecodeError as error:
        raise ConfigError(path, [Mistake("", f"is not UTF-8 (byte {error.start}), as TOML must be")]) from error
    return parse_config(text, path=path)


def parse_config(text: str, *, path: Path) -> Config:
    """Read the TOML in `text`; `path` is where it came from, for messages and for what is relative to it.

    Raises:
        ConfigError: carrying all mistakes.
    """
    try:
        document = tomli.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: TOMLDecodeError, and integers of thousands of digits
        raise ConfigError(path, [Mistake("", f"is not TOML: {error}")]) from error
    mistakes: list[Mistake] = []
    config = _read(Table(document, "", mistakes), path.absolute())
    if mistakes:
        raise ConfigError(path, [replace(mistake, line=line_of(text, mistake.key)) for mistake in mistakes])
    return config


def _read(root: Table, path: Path) -> Config:
    target = root.table("target")
    url = target.parsed("url", "", parse_text, required=True)
    if target.has("s3") and url and not url.startswith("s3://"):
        target.complain("s3", "is for buckets, but `url` does not begin with s3://")
    s3 = _read_s3(target.table("s3"))
    target.close(_ELSEWHERE)

    defaults = root.table("policy")
    policy = read_policy(defaults, Policy(), path.parent)
    max_delete = defaults.share("max_delete", 0.5, zero=True)
    effort = defaults.parsed("effort", DEFAULT_EFFORT, parse_effort)
    defaults.close(_ELSEWHERE)

    limits = _read_limits(root.table("limits"))

    site = _read_site(root.table("site"), path.parent)

    report = _read_report(root.table("report"), path.parent)

    flatpak = _read_flatpak(root.table("flatpak")) if root.has("flatpak") else None

    tables = root.tables("repository")
    if not root.has("repository"):
        root.complain(
            "repository",
            "is missing; add a [[repository]] with `name` and `layout`; for a mirror `repository = []` at the top",
        )
    repositories = tuple(_read_repository(table, policy, path.parent) for table in tables)
    _check_names([(table, repository.name) for table, repository in zip(tables, repositories, strict=True)])
    _check_former_names(list(zip(tables, repositories, strict=True)))
    if not root.mistakes:
        _check_places(target, url, path.parent, repositories)
    root.close(_ELSEWHERE)
    return Config(
        path=path,
        target_url=url,
        s3=s3,
        policy=policy,
        max_delete=max_delete,
        effort=effort,
        limits=limits,
        site=site,
        report=report,
        flatpak=flatpak,
        repositories=repositories,
    )


def _read_s3(table: Table) -> S3Options:
    default = S3Options()
    options = S3Options(
        endpoint=table.parsed("endpoint", default.endpoint, parse_endpoint),
        region=table.parsed("region", default.region, parse_text),
        profile=table.parsed("profile", default.profile, parse_text),
        addressing=table.parsed("addressing", default.addressing, lambda text: parse_choice(text, Addressing)),
        storage_class=table.parsed("storage_class", default.storage_class, parse_text),
        sse=table.parsed("sse", default.sse, lambda text: parse_choice(text, Encryption)),
        sse_kms_key=table.parsed("sse_kms_key", default.sse_kms_key, parse_text),
        acl=table.parsed("acl", default.acl, lambda text: parse_choice(text, ACL)),
        cache_control=table.parsed("cache_control", default.cache_control, parse_cache_control),
        concurrency=table.integer("concurrency", default.concurrency, minimum=1, maximum=256),
        multipart_threshold=table.parsed("multipart_threshold", default.multipart_threshold, parse_part_size),
        connect_timeout=table.parsed("connect_timeout", default.connect_timeout, parse_timeout),
        read_timeout=table.parsed("read_timeout", default.read_timeout, parse_timeout),
        attempts=table.integer("attempts", default.attempts, minimum=1, maximum=20),
    )
    if options.sse_kms_key is not None and options.sse in {None, "AES256"}:
        table.complain("sse_kms_key", 'is a KMS key; set `sse = "aws:kms"` too')
    table.close(_ELSEWHERE)
    return options


def read_policy(table: Table, base: Policy, folder: Path) -> Policy:
    """The keys of `table` over `base`. Leaves the table open: it has other keys too."""
    before = len(table.mistakes)
    policy = Policy(
        versions=table.integer("versions", base.versions, minimum=0, maximum=1000),
        sources_within=table.parsed("sources_within", base.sources_within, parse_duration),
        sources_monthly=table.integer("sources_monthly", base.sources_monthly, minimum=0, maximum=1200),
        max_deltas=table.parsed("max_deltas", base.max_deltas, parse_budget),
        demand=table.parsed("demand", base.demand, lambda text: folder / parse_text(text) if text else None),
        max_ratio=table.share("max_ratio", base.max_ratio),
        grace=table.parsed("grace", base.grace, parse_duration),
        keep=table.integer("keep", base.keep, minimum=1, maximum=1_000_000),
        keep_tags=table.parsed_list("keep_tags", base.keep_tags, parse_text, empty=True),
        keep_for=table.parsed("keep_for", base.keep_for, parse_duration),
        order=table.parsed("order", base.order, parse_order),
        formats=_in_order(table.parsed_list("formats", base.formats, parse_format)),
        delta_url=table.boolean("delta_url", base.delta_url),
    )
    if policy.delta_url and "deltaindex" not in policy.formats and (table.has("delta_url") or table.has("formats")):
        table.complain("delta_url", 'says where `_deltaindex` leads; add "deltaindex" to `formats`, or leave it out')
    # what is wrong in [policy] itself has been reported there, and is not repeated for every repository
    if len(table.mistakes) == before and policy.keep <= policy.versions and base.keep > base.versions:
        table.complain(
            "keep" if table.has("keep") else "versions",
            f"`keep` is {policy.keep} and `versions` is {policy.versions}; the sources of deltas are kept images, "
            f"so `keep` must be at least {policy.versions + 1}",
        )
    return policy


def _read_report(table: Table, folder: Path) -> Reporting:
    metrics = table.parsed("metrics", "", or_empty(parse_metrics_file))
    keep = table.integer("keep", Reporting().keep, minimum=0, maximum=1000)
    table.close(_ELSEWHERE)
    return Reporting(keep=keep, metrics=folder / metrics if metrics else None)


def _read_site(table: Table, folder: Path) -> Site:
    templates = table.parsed("templates", None, parse_text)
    site = Site(
        pages=table.boolean("pages", True),
        url=table.parsed("url", None, parse_address),
        templates=folder / templates if templates is not None else None,
    )
    table.close(_ELSEWHERE)
    return site


def _read_flatpak(table: Table) -> FlatpakRemote:
    remote = FlatpakRemote(
        name=table.parsed("name", "", parse_remote, required=True),
        url=table.parsed("url", "", parse_public_url, required=True),
        **{name: table.parsed(name, "", or_empty(parse_text)) for name in ("title", "comment", "description")},
        **{name: table.parsed(name, "", or_empty(parse_link)) for name in ("homepage", "icon", "runtime_repo")},
        branch=table.parsed("branch", "stable", parse_branch),
    )
    table.close(_ELSEWHERE)
    return remote


def _read_limits(table: Table) -> Limits:
    default = Limits()
    memory, share = table.parsed("memory", (default.memory, default.memory_share), parse_memory)
    layer = table.parsed("layer", default.layer, parse_size)
    ratio = table.integer("ratio", default.ratio, minimum=1, maximum=1_000_000)
    table.close(_ELSEWHERE)
    return Limits(memory=memory, memory_share=share, layer=layer, ratio=ratio)


def _read_repository(table: Table, policy: Policy, folder: Path) -> Repository:
    repository = Repository(
        name=table.parsed("name", "", check_repository, required=True),
        layout=folder / table.parsed("layout", "", parse_layout, required=True),
        tags=table.parsed_list("tags", ("*",), parse_text),
        rename=table.parsed_map("rename", parse_tag),
        pins=table.parsed_list("pins", (), parse_pin, empty=True),
        policy=read_policy(table, policy, folder),
        series=_read_series(table),
        formerly=table.parsed_list("formerly", (), check_repository, empty=True),
    )
    table.close(_ELSEWHERE)
    return repository


def _read_series(repository: Table) -> tuple[SeriesRule, ...]:
    first: dict[str, int] = {}
    for index, table in enumerate(repository.tables("series")):
        match = table.parsed("match", "", parse_text, required=True)
        if match and first.setdefault(match, index) != index:
            table.complain("match", f"must differ from series[{first[match]}].match, which is {match!r} too")
        table.close(_ELSEWHERE)
    return tuple(SeriesRule(match=match) for match in first)


def _check_names(named: Sequence[tuple[Table, str]]) -> None:
    """Complain about names that stand twice, or whose files would lie among those of another repository."""
    first: dict[str, Table] = {}
    for table, name in named:
        if name in first:
            table.complain("name", f"must differ from {first[name].path_of('name')}, which is {name!r} too")
        elif name:
            first[name] = table
    for name, table in first.items():
        parts = name.split("/")
        if parts[0] == _RESERVED_ROOT:
            table.complain("name", f"is {name!r}, but v2/{_RESERVED_ROOT} is a file of the tree; choose another name")
        for end in range(1, len(parts)):
            outer = "/".join(parts[:end])
            if outer in first and parts[end] in _RESERVED_PARTS:
                table.complain(
                    "name", f"is {name!r}, but {parts[end]}/ is a folder of repository {outer!r}; rename one"
                )


def _check_former_names(found: Sequence[tuple[Table, Repository]]) -> None:
    names = {repository.name for _, repository in found}
    for table, repository in found:
        for former in repository.formerly:
            if former in names:
                table.complain(
                    "formerly", f"holds {former!r}, which is a repository of this configuration; rename or leave it out"
                )


def _check_places(target: Table, url: str, folder: Path, repositories: Sequence[Repository]) -> None:
    """Complain about a target among the layouts: what is published would be read again, or layouts be served."""
    if not url or _SCHEME.match(url):
        return
    published = Path(os.path.normpath(folder / url))
    for repository in repositories:
        layout = Path(os.path.normpath(repository.layout))
        if published.is_relative_to(layout) or layout.is_relative_to(published):
            target.complain(
                "url", f"is {url!r}, which is, holds or lies in the layout of {repository.name}; choose another folder"
            )
            return


def _in_order(formats: Sequence[FormatName]) -> tuple[FormatName, ...]:
    """Each once, in the one order: it decides nothing, and the same formats are the same rules."""
    return tuple(known for known in get_args(FormatName) if known in formats)
