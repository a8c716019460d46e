"""The configuration as values. One in hand has no mistakes: only `read` makes them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Literal, get_args

from ..efforts import DEFAULT_EFFORT, Effort
from ..limits import Limits
from ..targets.s3.options import S3Options

FormatName = Literal["deltaindex", "oci-delta"]
Order = Literal["images-first", "deltas-first"]
# Which key of the policy makes a version a source of deltas.
SourceRule = Literal["versions", "sources_within", "sources_monthly", "demand"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What is made and kept. `max_ratio` is the largest share of the compressed layer that a listed delta may have;
    `formats` are the ways in which clients learn of deltas.

    `keep` is a number of versions, `keep_tags` are globs of tags, `keep_for` is the time since an image was replaced.
    `delta_url`: the index of flatpak says where the deltas into an image are.

    `sources_within` and `sources_monthly` choose sources beside the last `versions`, see `history.sources`.
    `max_deltas` is how many bytes of deltas a repository lists at most, None for no limit; `demand` is the file that
    says which images were pulled, absolute, None without one.
    """

    versions: int = 3
    sources_within: timedelta = timedelta(0)
    sources_monthly: int = 0
    max_deltas: int | None = None
    demand: Path | None = None
    max_ratio: float = 0.9
    grace: timedelta = timedelta(days=7)
    keep: int = 10
    keep_tags: tuple[str, ...] = ()
    keep_for: timedelta = timedelta(0)
    order: Order = "images-first"
    formats: tuple[FormatName, ...] = get_args(FormatName)
    delta_url: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesRule:
    """The tags that the glob `match` fits are one line of versions."""

    match: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """One repository and where its images come from. `layout` is absolute; `rename` leads from refs to tags.

    `pins` are digests and tags of images that stay published whatever the policy says. `formerly` are names from whose
    history it goes on, the oldest first.
    """

    name: str
    layout: Path
    tags: tuple[str, ...] = ("*",)
    rename: Mapping[str, str] = field(default_factory=dict)
    pins: tuple[str, ...] = ()
    series: tuple[SeriesRule, ...] = ()
    formerly: tuple[str, ...] = ()
    policy: Policy = field(default_factory=Policy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The pages for people that stand beside the registry; without `pages` none are written.

    `url` is the address at which people reach the target (https://…, without a slash at its end), None where the pages
    go by their own; `templates` is a folder, absolute, whose templates stand in the place of ours.
    """

    pages: bool = True
    url: str | None = None
    templates: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporting:
    """What is told of each run afterwards: in the target of the last `keep`, and of the last publish in the file
    `metrics`, which is absolute."""

    keep: int = 30
    metrics: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatpakRemote:
    """How people get at the flatpaks: what stands in the files that they click on, beside what is published.

    `name` is what the remote is called on their machines, `url` the address (https://…) at which the target is served,
    without a slash at its end; `branch` is the one that they get when they name none; `runtime_repo` is the address of
    the .flatpakrepo file of the remote that has the runtimes. What is empty is left out.
    """

    name: str
    url: str
    title: str = ""
    comment: str = ""
    description: str = ""
    homepage: str = ""
    icon: str = ""
    branch: str = "stable"
    runtime_repo: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A whole configuration. `path` is absolute, and a relative `target_url` is relative to its folder.

    `s3` matters where `target_url` is that of a bucket.
    """

    path: Path
    target_url: str
    s3: S3Options = field(default_factory=S3Options)
    policy: Policy = field(default_factory=Policy)
    max_delete: float = 0.5
    effort: Effort = DEFAULT_EFFORT
    limits: Limits = field(default_factory=Limits)
    site: Site = field(default_factory=Site)
    report: Reporting = field(default_factory=Reporting)
    flatpak: FlatpakRemote | None = None
    repositories: tuple[Repository, ...]
