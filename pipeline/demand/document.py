"""The file that `deltapress demand` writes and `demand` in the configuration names: the pulls of each image manifest,
by repository. It is JSON."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ..errors import DeltapressError, ExitCode
from ..history.records.fields import read_pulls
from ..oci.digest import Digest
from ..oci.fields import FieldError, Fields, parse_json_object

_MAX_SIZE: Final = 64 << 20  # bytes: 700,000 images


class DemandError(DeltapressError):
    """A file of counted pulls that cannot be used."""

    exit_code = ExitCode.BAD_CONFIGURATION

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}; `deltapress demand LOG... --output FILE` writes one")


def demand_document(pulls: Mapping[str, Mapping[Digest, int]]) -> bytes:
    """The same pulls are the same bytes."""
    found = {
        name: {str(manifest): counts[manifest] for manifest in sorted(counts, key=str)}
        for name, counts in sorted(pulls.items())
    }
    return json.dumps({"pulls": found}, indent=1).encode() + b"\n"


def read_demand(path: Path) -> dict[str, dict[Digest, int]]:
    """Raises DemandError."""
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_SIZE + 1)
    except OSError as error:
        raise DemandError(path, f"cannot be read ({error.strerror})") from error
    if len(raw) > _MAX_SIZE:
        raise DemandError(path, f"has more than {_MAX_SIZE:,} bytes")
    try:
        pulls = Fields(parse_json_object(raw)).object("pulls")
        return {name: read_pulls(pulls.object(name)) for name in pulls.names()}
    except FieldError as error:
        raise DemandError(path, str(error)) from error
