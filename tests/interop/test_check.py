"""`check` on real servers with our configurations, and its verdicts beside what real clients do."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.check import Address, Check, check
from pipeline.check.rules import Rule
from pipeline.check.servers import ServerKind
from pipeline.check.verdict import Verdict
from pipeline.limits import Limits
from pipeline.progress import Silent

from ..check import misbehaving as bad
from ..check.trees import INDEXED, OTHER, SINGLE, published
from ..conftest import require_tool
from . import servers
from .clients import ClientError, Skopeo, run

pytestmark = pytest.mark.interop

# what a static host cannot do, and clients can do without: see the table in the README
KNOWN = {
    "serve": (ServerKind.SERVE, set()),
    "nginx": (ServerKind.NGINX, {Rule.TAG_DIGEST_HEADER}),
    "caddy": (ServerKind.CADDY, {Rule.TAG_DIGEST_HEADER}),
    "apache": (ServerKind.APACHE, {Rule.TAG_DIGEST_HEADER, Rule.REFERRERS_UNKNOWN}),
    "apache-htaccess": (ServerKind.APACHE, {Rule.TAG_DIGEST_HEADER, Rule.REFERRERS_UNKNOWN}),
}


@pytest.fixture(scope="module")
def tree() -> Iterator[Path]:
    with servers.public_directory() as folder:
        yield published(folder)


def look(url: str) -> Check:
    return check(Address.parse(url), (), limits=Limits(), jobs=2, progress=Silent(), is_applying=True)


@pytest.mark.parametrize("server", servers.ALL)
def test_our_configurations_pass_every_client(server: str, tree: Path) -> None:
    with servers.ALL[server](tree) as site:
        found = look(f"http://{site.registry}")
    kind, known = KNOWN[server]
    assert (found.server, set(found.broken)) == (kind, known)
    assert not any(client.fails for client in found.clients)
    assert {client.client.name for client in found.clients if client.warns} == (
        {"oras", "helm"} if Rule.TAG_DIGEST_HEADER in known else set()
    )
    assert found.applied is not None
    assert found.applied.deltas == 8
    assert found.applied.unproven == ()
