"""How the commands that read registries find credentials and certificates: where podman, skopeo and docker keep theirs.

Sources: containers-auth.json(5), containers-certs.d(5), docker's "dockerd: client verification" and "docker login".
"""

import argparse
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from ..targets.http.options import HTTPOptions

_CERTIFICATE_FOLDERS: Final = (Path("/etc/containers/certs.d"), Path("/etc/docker/certs.d"))
_PROXY_VARIABLES: Final = {"http": "http_proxy", "https": "https_proxy", "no": "no_proxy"}


def add_registry_options(parser: argparse.ArgumentParser) -> None:
    """`--authfile`, `--ca`, `--cert` and `--key`, for `http_options`."""
    group = parser.add_argument_group("registries over https")
    group.add_argument(
        "--authfile",
        type=_credentials,
        metavar="FILE",
        help="the credentials (default: those of podman, skopeo and docker)",
    )
    group.add_argument("--ca", type=Path, metavar="FILE", help="a certificate authority to trust besides the system's")
    group.add_argument("--cert", type=Path, metavar="FILE", help="the certificate that a registry wants to see")
    group.add_argument("--key", type=Path, metavar="FILE", help="the key of --cert, where it is not in the same file")


def http_options(arguments: argparse.Namespace, environment: Mapping[str, str] = os.environ) -> HTTPOptions:
    """What the options of `add_registry_options` and the environment say."""
    home = _home(environment)
    own_certificates = [] if home is None else [home / ".config/containers/certs.d"]
    return HTTPOptions(
        credential_files=(
            tuple(_credential_files(environment, home)) if arguments.authfile is None else (arguments.authfile,)
        ),
        certificate_folders=(*own_certificates, *_CERTIFICATE_FOLDERS),
        ca_file=arguments.ca,
        client_cert=arguments.cert,
        client_key=arguments.key,
        proxies={
            scheme: found
            for scheme, name in _PROXY_VARIABLES.items()
            if (found := environment.get(name) or environment.get(name.upper()))
        },
    )


def _credentials(text: str) -> Path:
    """A file that is named must be there, unlike those that are looked for: otherwise we would be nobody unawares."""
    path = Path(text)
    if not path.exists():
        raise argparse.ArgumentTypeError(f"{text!r} does not exist; it holds the credentials")
    return path


def _home(environment: Mapping[str, str]) -> Path | None:
    return Path(environment["HOME"]) if environment.get("HOME") else None


def _credential_files(environment: Mapping[str, str], home: Path | None) -> Iterator[Path]:
    if environment.get("REGISTRY_AUTH_FILE"):
        yield Path(environment["REGISTRY_AUTH_FILE"])
        return
    runtime = environment.get("XDG_RUNTIME_DIR")
    yield Path(runtime or f"/run/containers/{os.getuid()}", "containers" if runtime else "", "auth.json")
    if environment.get("XDG_CONFIG_HOME"):
        yield Path(environment["XDG_CONFIG_HOME"], "containers/auth.json")
    elif home is not None:
        yield home / ".config/containers/auth.json"
    if environment.get("DOCKER_CONFIG"):
        yield Path(environment["DOCKER_CONFIG"], "config.json")
    elif home is not None:
        yield home / ".docker/config.json"
