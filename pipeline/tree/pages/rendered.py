"""Pages and feeds as HTML and Atom: the views, put into the templates of `templates/site/`, or the user's own.

A page runs the one script and the one style that it holds, and loads nothing: its content security policy names both by
their digests (CSP, level 2).
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from ...config.values import FlatpakRemote, Site
from ...deltas.savings import Saving
from ...history.records.repositories import RepositoryRecord
from ...keys import PAGE_KEY, Key, feed_key, page_key, referrers_key, remote_page_key
from ...quantities import format_share, format_size
from ..remotes import OfferedRemote
from ..templates import Templates, page_templates
from .commands import HOST
from .feed import feed_entries, feed_id
from .repository import repository_view
from .summary import Summary

_SAFE: Final = {"size": format_size, "share": format_share, "HOST": HOST}


def repository_files(
    name: str, record: RepositoryRecord, savings: Sequence[Saving], remote: FlatpakRemote | None, site: Site
) -> dict[Key, bytes]:
    """The page of a repository, and its feed where `site` has an address. `savings` are its own, each update once.

    Raises TemplateError.
    """
    templates = page_templates(site.templates)
    view = repository_view(name, record, savings, remote, url=site.url)
    key = page_key(name)
    up = "../" * key.count("/")
    variables = _variables(templates, site, up) | {
        "repository": view,
        "feed": feed_key(name).rpartition("/")[2] if site.url is not None else None,
        "referrers": lambda digest: f"{up}{referrers_key(name, digest)}",
    }
    files = {key: templates.render("repository.html.j2", variables).encode()}
    if site.url is not None and view.updated is not None:
        files[feed_key(name)] = _feed(templates, name, record, view.updated, site.url)
    return files


def front_page(summaries: Sequence[Summary], remotes: Sequence[OfferedRemote], site: Site) -> dict[Key, bytes]:
    """The page that leads to all others. Raises TemplateError."""
    templates = page_templates(site.templates)
    variables = _variables(templates, site, "") | {
        "repositories": summaries,
        "remotes": remotes,
        "page_key": page_key,
        "remote_page_key": remote_page_key,
        "updated": max((row.updated for row in summaries if row.updated is not None), default=None),
        "updates": sum(row.updates for row in summaries),
        "whole": sum(row.whole for row in summaries),
        "saved": sum(row.saved for row in summaries),
    }
    return {PAGE_KEY: templates.render("index.html.j2", variables).encode()}


def remote_pages(remotes: Sequence[OfferedRemote], site: Site) -> dict[Key, bytes]:
    """A page for each remote of flatpak, to land on. Raises TemplateError."""
    templates = page_templates(site.templates)
    files = {}
    for offered in remotes:
        key = remote_page_key(offered.remote.name)
        variables = _variables(templates, site, "../" * key.count("/")) | {"offered": offered}
        files[key] = templates.render("remote.html.j2", variables).encode()
    return files


def _variables(templates: Templates, site: Site, up: str) -> dict[str, object]:
    """What all pages know. `up` leads from the folder of the page to the root of the tree."""
    style, script = templates.render("style.css", {}), templates.render("script.js", {})
    policy = f"default-src 'none'; style-src {_source(style)}; script-src {_source(script)}"
    return _SAFE | {
        "front": f"{up}{PAGE_KEY}",
        "up": up,
        "site": site,
        "style": style,
        "script": script,
        "policy": f"{policy}; base-uri 'none'; form-action 'none'",
        "time": _time,
    }


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _time(value: datetime) -> Mapping[str, str]:
    """For machines and for people; RFC 3339."""
    utc = value.astimezone(UTC)
    return {"exact": f"{utc:%Y-%m-%dT%H:%M:%SZ}", "day": f"{utc:%Y-%m-%d}", "minute": f"{utc:%Y-%m-%d %H:%M} UTC"}


def _feed(templates: Templates, name: str, record: RepositoryRecord, updated: datetime, url: str) -> bytes:
    host = url.partition("://")[2].partition("/")[0].partition(":")[0]
    variables = {
        "name": name,
        "id": feed_id(name, host),
        "updated": updated,
        "page": f"{url}/{page_key(name)}",
        "address": f"{url}/{feed_key(name)}",
        "entries": feed_entries(name, record, host),
        "time": _time,
    }
    return templates.render("feed.atom.j2", variables).encode()
