"""`check` on real servers with our configurations, and its verdicts beside what real clients do."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.check import Address, Check, check
from pipeline.check.rules import Rule
from pipeline.check.servers import ServerKind
from pipeline.check.verdict import Verdict
from pipeline.keys import server_key
from pipeline.limits import Limits
from pipeline.progress import Silent
from pipeline.targets.s3.target import S3Target

from ..check import misbehaving as bad
from ..check.defects import PODMAN, WRONG
from ..check.trees import INDEXED, SINGLE, publish, published
from ..conftest import require_tool
from . import s3_servers, servers
from .clients import ClientError, Skopeo, run

pytestmark = pytest.mark.interop

# what a static host cannot do, and clients can do without: see the table in the README
NO_TAG_DIGEST = {Rule.TAG_DIGEST_HEADER}
NO_TAG_DIGEST_AND_404 = {Rule.TAG_DIGEST_HEADER, Rule.REFERRERS_UNKNOWN}
KNOWN = {
    "serve": (ServerKind.SERVE, set[Rule]()),
    "nginx": (ServerKind.NGINX, set[Rule]()),
    "caddy": (ServerKind.CADDY, set[Rule]()),
    "apache": (ServerKind.APACHE, NO_TAG_DIGEST),
    "apache-htaccess": (ServerKind.APACHE, NO_TAG_DIGEST_AND_404),
}


@pytest.fixture(scope="module")
def tree() -> Iterator[Path]:
    with servers.public_directory() as folder:
        yield published(folder)


def look(url: str) -> Check:
    return check(Address.parse(url), (), limits=Limits(), jobs=2, progress=Silent(), is_applying=True)


def assert_passes(found: Check, kind: ServerKind, known: set[Rule]) -> None:
    """No client fails, and for nothing but what is `known` is any warned; all deltas of both formats were applied."""
    assert (found.server, set(found.broken)) == (kind, known)
    assert not any(client.fails for client in found.clients)
    warned = {client.client.name for client in found.clients if client.warns}
    assert warned == ({"oras", "helm"} if Rule.TAG_DIGEST_HEADER in known else set())
    assert found.applied is not None
    assert (found.applied.deltas, found.applied.unproven) == (6, ())


@pytest.mark.parametrize("server", servers.ALL)
def test_our_configurations_pass_every_client(server: str, tree: Path) -> None:
    with servers.ALL[server](tree) as site:
        found = look(f"http://{site.registry}")
    assert_passes(found, *KNOWN[server])


def test_a_bucket_and_nginx_before_it_pass_every_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3_servers.environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    with s3_servers.seaweedfs() as storage, servers.public_directory() as folder:
        publish(tmp_path, S3Target(storage.bucket, "", storage.options()))
        assert storage.registry is not None
        known = NO_TAG_DIGEST_AND_404 | {Rule.PUBLISHER_STATE}  # this bucket lets anybody read everything
        assert_passes(look(f"http://{storage.registry}"), ServerKind.S3, known)
        configuration = folder / "deltapress-s3.conf"
        stored = storage.client().get_object(Bucket=storage.bucket, Key=server_key("nginx-s3.conf"))
        configuration.write_bytes(stored["Body"].read())
        with servers.nginx_edge(configuration, storage.registry) as site:
            assert_passes(look(f"http://{site.registry}"), ServerKind.NGINX, set())


# --- real clients


def skopeo_copy(home: Path, registry: str) -> None:
    Skopeo(home=home).copy(f"docker://{registry}/{SINGLE}:1.2", f"dir:{home}/copy")


def skopeo_inspect(home: Path, registry: str) -> None:
    """What flightctl's agent does."""
    Skopeo(home=home).run("inspect", "--tls-verify=false", f"docker://{registry}/{SINGLE}:1.2")


def crane_pull(home: Path, registry: str) -> None:
    crane = require_tool("crane")
    run(home, crane, "--insecure", "pull", "--format", "oci", f"{registry}/{INDEXED}:1.1", f"{home}/pulled")


def oras_discover(home: Path, registry: str) -> None:
    run(home, require_tool("oras"), "discover", "--plain-http", f"{registry}/{SINGLE}:1.2")


def oras_copy(home: Path, registry: str) -> None:
    oras = require_tool("oras")
    run(home, oras, "copy", "--from-plain-http", f"{registry}/{INDEXED}:1.1", "--to-oci-layout", f"{home}/copy:1")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A real client that stops at a defect, and what `check` calls it."""

    client: str
    does: Callable[[Path, str], None]
    defect: bad.Defect
    rule: Rule
    verdict: Verdict = Verdict.FAIL

    def __str__(self) -> str:
        return f"{self.does.__name__}-{self.rule.label}"


TRIALS = (
    Trial(client=PODMAN, does=skopeo_copy, defect=bad.typed("text/plain"), rule=Rule.MANIFEST_TYPE),
    Trial(
        client=PODMAN,
        does=skopeo_copy,
        defect=bad.header("Content-Encoding", "gzip", bad.is_blob, method="GET"),
        rule=Rule.ENCODED,
    ),
    Trial(
        client="flightctl",
        does=skopeo_inspect,
        defect=bad.refused(404, lambda request: request.path.endswith(f"{SINGLE}/tags/list")),
        rule=Rule.TAGS_LIST,
    ),
    Trial(client="crane", does=crane_pull, defect=bad.suffixed(bad.is_manifest), rule=Rule.INDEX_TYPE_EXACT),
    Trial(
        client="crane", does=crane_pull, defect=bad.refused(403, lambda request: request.path == "/v2/"), rule=Rule.PING
    ),
    Trial(client="oras", does=oras_discover, defect=bad.refused(403, bad.is_referrers), rule=Rule.REFERRERS_DENIED),
    Trial(
        client="oras",
        does=oras_discover,
        defect=bad.refused(404, bad.is_referrers, code="NAME_UNKNOWN"),
        rule=Rule.REFERRERS_CODE,
    ),
    Trial(client="oras", does=oras_discover, defect=bad.without_length, rule=Rule.HEAD_LENGTH),
    Trial(
        client="oras",
        does=oras_discover,
        defect=bad.header("Docker-Content-Digest", None, bad.is_tag),
        rule=Rule.TAG_DIGEST_HEADER,
        verdict=Verdict.WARN,
    ),
    Trial(
        client="oras",
        does=oras_copy,
        defect=bad.header("Docker-Content-Digest", WRONG, bad.is_tag),
        rule=Rule.DIGEST_HEADER,
    ),
)


@pytest.mark.parametrize("does", {trial.does: None for trial in TRIALS}, ids=lambda does: does.__name__)
def test_without_a_defect_the_clients_are_content(
    does: Callable[[Path, str], None], tree: Path, tmp_path: Path
) -> None:
    with bad.serving(tree) as url:
        does(tmp_path, url.removeprefix("http://"))


@pytest.mark.parametrize("trial", TRIALS, ids=str)
def test_a_client_that_stops_is_one_of_which_check_says_so(trial: Trial, tree: Path, tmp_path: Path) -> None:
    with bad.serving(tree, trial.defect) as url:
        with pytest.raises(ClientError):
            trial.does(tmp_path, url.removeprefix("http://"))
        found = look(url)
    [verdict] = [client for client in found.clients if client.client.name == trial.client]
    assert verdict.verdict is trial.verdict
    assert trial.rule in (verdict.fails if trial.verdict is Verdict.FAIL else verdict.warns)


@pytest.mark.parametrize(
    ("client", "does", "defect"),
    [
        (PODMAN, skopeo_copy, bad.suffixed(bad.is_manifest)),
        (PODMAN, skopeo_copy, bad.header("Docker-Content-Digest", WRONG, bad.is_tag)),
        ("oras", oras_discover, bad.suffixed(bad.is_referrers)),
        ("oras", oras_copy, bad.refused(403, lambda request: request.path == "/v2/")),
        ("crane", crane_pull, bad.refused(405, bad.is_manifest, method="HEAD")),
        ("crane", crane_pull, bad.compressed(bad.is_blob)),
    ],
)
def test_a_client_that_puts_up_with_a_defect_does_not_fail(
    client: str, does: Callable[[Path, str], None], defect: bad.Defect, tree: Path, tmp_path: Path
) -> None:
    with bad.serving(tree, defect) as url:
        does(tmp_path, url.removeprefix("http://"))
        found = look(url)
    assert found.broken
    [verdict] = [known for known in found.clients if known.client.name == client]
    assert not verdict.fails
