"""Pure: what a person copies into a terminal, for each client.

Rule 1. Clients of registries look for /v2/ at the root of a host; below a path only flatpak and `deltapress` find it.
Rule 2. What stands in a command obeys a grammar without anything that a shell would understand.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ...config.values import FlatpakRemote
from ...oci.flatpak import FlatpakRef

HOST: Final = "\0"  # stands in a command for a host that is not known yet; no name has it


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """`text` has a line for each command."""

    client: str
    text: str


def commands_of(
    repository: str, tag: str, *, url: str | None, remote: FlatpakRemote | None, ref: FlatpakRef | None
) -> tuple[Command, ...]:
    """For the image that `tag` leads to. `url` is where the target is served, if that is known; `ref` what a flatpak
    is, which belongs to `remote` if to any."""
    return tuple(_commands(repository, tag, url or f"https://{HOST}", remote, ref))


def _commands(
    repository: str, tag: str, url: str, remote: FlatpakRemote | None, ref: FlatpakRef | None
) -> Iterator[Command]:
    host, _, path = url.partition("://")[2].partition("/")
    image, folder = f"{repository}:{tag}", repository.rpartition("/")[2]
    if ref is not None:
        name = remote.name if remote is not None else "REMOTE"
        add = f"flatpak remote-add --user --if-not-exists {name} oci+{remote.url if remote is not None else url}"
        yield Command(client="flatpak", text=f"{add}\nflatpak install --user {name} {ref.id}//{ref.branch}")
    if not path:
        yield Command(client="podman", text=f"podman pull {host}/{image}")
        yield Command(client="docker", text=f"docker pull {host}/{image}")
        yield Command(client="skopeo", text=f"skopeo copy docker://{host}/{image} oci:{folder}:{tag}")
        yield Command(client="crane", text=f"crane pull --format=oci {host}/{image} {folder}")
        yield Command(client="oras", text=f"oras copy {host}/{image} --to-oci-layout {folder}:{tag}")
        yield Command(client="deltapress", text=f"deltapress pull {host}/{image} --into oci:{folder}")
    else:
        yield Command(client="deltapress", text=f"deltapress pull {image} --from {url} --into oci:{folder}")
