"""How registries are reached. The command line finds the files; nothing here reads the environment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class HTTPOptions:
    """How to reach registries. Times in seconds.

    credential_files: auth.json or Docker's config.json, in the order in which they are asked (containers-auth.json(5)).
    certificate_folders: folders with a folder for each HOST or HOST:PORT, in which `*.crt` are authorities, and
        `*.cert` with its `*.key` is a client's certificate (containers-certs.d(5)).
    ca_file, client_cert, client_key: the same for every host, in PEM. `client_key` None: it is in `client_cert`.
    proxies: the URL of a proxy for `http` and `https`, and under `no` the hosts that are reached without.
    attempts: counts the first one. longest_pause: however long a server asks us to wait.
    slowest: bytes of a body in a second, on average, once it has lasted for `read_timeout`; a tenth of what a GSM phone
        has.
    """

    credential_files: tuple[Path, ...] = ()
    certificate_folders: tuple[Path, ...] = ()
    ca_file: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    proxies: Mapping[str, str] = field(default_factory=dict)
    connect_timeout: float = 10
    read_timeout: float = 60
    attempts: int = 5
    longest_pause: float = 60
    slowest: float = 100
