"""Real web servers on a published directory, each with the configuration that deltapress generates.

Rule 1. A server runs as an ordinary child process in a private directory, on a free port of the loopback, and is ended
        by its own process id.
Rule 2. It runs without privileges (www-data where the tests are root): a file that only its owner can read is a fault.
Rule 3. The administrator's part of a configuration is what the generated file's first comment shows, nothing more.
"""

import http.client
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..conftest import require_tool

_CHECKOUT = Path(__file__).parents[2]
_USER = "www-data"
_START_LIMIT = 20  # seconds until a server must answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A running server: `registry` is `host:port`; `requests` reads its access log."""

    port: int
    access_log: Path

    @property
    def registry(self) -> str:
        return f"127.0.0.1:{self.port}"

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def requests(self) -> list[str]:
        """One line a request so far, holding method, path and status."""
        return self.access_log.read_text("utf-8", "replace").splitlines()


@contextmanager
def public_directory() -> Iterator[Path]:
    """An empty directory that a server without privileges can reach (pytest's own are closed to others)."""
    with tempfile.TemporaryDirectory(prefix="deltapress-tree-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory


@contextmanager
def nginx(root: Path) -> Iterator[Site]:
    with _nginx(f"root {root};\ninclude {root}/_deltapress/servers/nginx.conf;") as site:
        yield site


@contextmanager
def nginx_below(root: Path, path: str) -> Iterator[Site]:
    """The registry is below `path`, as README, "Flatpak", says."""
    below = f"location ^~ {path}/ {{ rewrite ^{path}(/.*)$ $1 last; }}"
    with _nginx(f"root {root};\n{below}\ninclude {root}/_deltapress/servers/nginx.conf;") as site:
        yield site


@contextmanager
def nginx_edge(configuration: Path, bucket: str) -> Iterator[Site]:
    """nginx with the generated configuration of an edge, before the bucket whose root is at `bucket`, a `host:port`."""
    upstream = f"upstream deltapress_bucket {{ server {bucket}; keepalive 4; }}"
    server = f"""
set $deltapress_bucket http://deltapress_bucket;
set $deltapress_host {bucket};
set $deltapress_prefix "";
include {configuration};
"""
    with _nginx(server, upstream) as site:
        yield site


@contextmanager
def _nginx(server: str, more: str = "") -> Iterator[Site]:
    program = require_tool("nginx")
    with _state() as (state, port):
        conf = state / "nginx.conf"
        conf.write_text(
            f"""
daemon off;
pid {state}/pid;
error_log {state}/error.log;
worker_processes 1;
events {{}}
http {{
    client_body_temp_path {state}/body;
    proxy_temp_path {state}/proxy;
    fastcgi_temp_path {state}/fastcgi;
    uwsgi_temp_path {state}/uwsgi;
    scgi_temp_path {state}/scgi;
    include /etc/nginx/mime.types;
    # what an administrator may well have
    gzip on; gzip_types *; gzip_min_length 0;
    merge_slashes off;
    log_format line '$request_method $request_uri $status';
    access_log {state}/access.log line;
    {more}
    server {{
        listen 127.0.0.1:{port};
        {server}
    }}
}}
"""
        )
        with _running([program, "-p", str(state), "-c", str(conf), "-e", f"{state}/error.log"], state, port) as site:
            yield site


@contextmanager
def apache(root: Path) -> Iterator[Site]:
    """Apache with the generated virtual host (mod_cern_meta sidecars)."""
    host = f"""
Define DELTAPRESS_ROOT {root}
Include {root}/_deltapress/servers/apache.conf
"""
    with _apache(host, ["alias", "cern_meta", "headers"]) as site:
        yield site


@contextmanager
def apache_htaccess(root: Path) -> Iterator[Site]:
    """Apache as on shared hosting: nothing but the .htaccess files of the tree speaks for it."""
    host = f"""
DocumentRoot {root}
<Directory {root}>
    AllowOverride FileInfo
    Require all granted
</Directory>
"""
    with _apache(host, ["alias", "headers"]) as site:
        yield site


@contextmanager
def _apache(host: str, modules: list[str]) -> Iterator[Site]:
    program = require_tool("apache2")
    with _state() as (state, port):
        conf = state / "apache.conf"
        always = ["mpm_event", "authz_core", "dir", "env", "mime", "setenvif", "deflate", "filter", "autoindex"]
        load = "\n".join(
            f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so" for name in always + modules
        )
        conf.write_text(
            f"""
ServerName 127.0.0.1
ServerRoot {state}
DefaultRuntimeDir {state}
PidFile {state}/pid
Listen 127.0.0.1:{port}
{load}
TypesConfig /etc/mime.types
AddEncoding x-gzip .gz .tgz
AddOutputFilterByType DEFLATE text/html text/plain application/json application/octet-stream
ErrorLog {state}/error.log
LogFormat "%m %U %>s" line
CustomLog {state}/access.log line
StartServers 1
<VirtualHost 127.0.0.1:{port}>
MergeSlashes Off
{host}
</VirtualHost>
"""
        )
        with _running([program, "-f", str(conf), "-DFOREGROUND"], state, port) as site:
            yield site


@contextmanager
def caddy(root: Path) -> Iterator[Site]:
    program = require_tool("caddy")
    with _state() as (state, port):
        conf = state / "Caddyfile"
        conf.write_text(
            f"""
{{
	admin off
	auto_https off
}}
http://127.0.0.1:{port} {{
	bind 127.0.0.1
	log {{
		output file {state}/access.log
		format console
	}}
	encode gzip
	root * {root}
	import {root}/_deltapress/servers/Caddyfile
}}
"""
        )
        with _running([program, "run", "--config", str(conf)], state, port) as site:
            yield site


@contextmanager
def own(root: Path) -> Iterator[Site]:
    """`deltapress serve`'s server, as a process of its own."""
    with _state() as (state, port):
        code = (
            "import sys; from pathlib import Path; from pipeline.serve import serve\n"
            "log = open(sys.argv[3], 'a', buffering=1)\n"
            "with serve(Path(sys.argv[1]), port=int(sys.argv[2]), log=lambda line: print(line, file=log)) as server:\n"
            "    server.run()\n"
        )
        command = [sys.executable, "-c", code, str(root), str(port), f"{state}/access.log"]
        # as ourselves: the checkout and the virtual environment may be closed to others
        with _running(command, state, port, privileged=True) as site:
            yield site


@contextmanager
def _state() -> Iterator[tuple[Path, int]]:
    """A private directory of the server's user, and a free port."""
    with tempfile.TemporaryDirectory(prefix="deltapress-server-") as name:
        if os.geteuid() == 0:
            shutil.chown(name, _USER, _USER)
        with socket.create_server(("127.0.0.1", 0)) as bound:
            port = bound.getsockname()[1]
        yield Path(name), port


@contextmanager
def _running(command: list[str], state: Path, port: int, *, privileged: bool = False) -> Iterator[Site]:
    output = state / "output"
    access_log = state / "access.log"
    access_log.touch()
    user = None
    if os.geteuid() == 0 and not privileged:
        user = _USER
        shutil.chown(access_log, _USER, _USER)
    with output.open("wb") as out:
        process = subprocess.Popen(
            command,
            cwd=state,
            env={"PATH": os.environ["PATH"], "HOME": str(state), "LANG": "C.UTF-8", "PYTHONPATH": str(_CHECKOUT)},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
        )
    try:
        _await(process, port, output)
        access_log.write_text("")
        yield Site(port=port, access_log=access_log)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await(process: subprocess.Popen[bytes], port: int, output: Path) -> None:
    deadline = time.monotonic() + _START_LIMIT
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/v2/")
            connection.getresponse().read()
            connection.close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    logs = [path.read_text("utf-8", "replace") for path in (output, output.with_name("error.log")) if path.exists()]
    raise AssertionError(f"{process.args!r} does not answer:\n" + "\n".join(logs))


ALL: Mapping[str, Callable[[Path], AbstractContextManager[Site]]] = {
    "nginx": nginx,
    "apache": apache,
    "apache-htaccess": apache_htaccess,
    "caddy": caddy,
    "serve": own,
}


@contextmanager
def crane_registry() -> Iterator[Site]:
    """A registry that is written through its API: go-containerregistry's, which crane brings along."""
    program = require_tool("crane")
    with _state() as (state, port):
        command = [program, "registry", "serve", f"--address=127.0.0.1:{port}"]
        # as ourselves: the tool may lie where others cannot go
        with _running(command, state, port, privileged=True) as site:
            yield site
