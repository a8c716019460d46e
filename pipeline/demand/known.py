"""What is known of the pulls of a repository: what was counted last, steadied by what is remembered of it.

A file that is missing or bad keeps no image from being published: what is remembered goes on to count.
"""

from pathlib import Path

from ..config.values import Repository
from ..history.records.repositories import RepositoryRecord
from ..oci.digest import Digest
from .counting import steadied
from .document import DemandError, read_demand


class Demand:
    """The files of counted pulls that a configuration names, each read once. `problems` are lines for the user, and
    begin with the name of a repository."""

    def __init__(self) -> None:
        self._files: dict[Path, dict[str, dict[Digest, int]]] = {}
        self.problems: list[str] = []

    def pulls(self, repository: Repository, record: RepositoryRecord) -> dict[Digest, int] | None:
        """Those of the images that `record` has; None where nothing was counted, or the policy does not ask."""
        path = repository.policy.demand
        if path is None:
            return None
        before = record.rules.pulls if record.rules is not None and record.rules.pulls is not None else {}
        counted = before
        try:
            counted = self._read(path).get(repository.name, before)
        except DemandError as error:
            self.problems.append(
                f"{repository.name}: {error}. Until then what was counted before decides, or else what is newest"
            )
        images = {image.manifest for image in record.platform_images()}
        return steadied({image: pulls for image, pulls in counted.items() if image in images}, before) or None

    def _read(self, path: Path) -> dict[str, dict[Digest, int]]:
        if path not in self._files:
            self._files[path] = read_demand(path)
        return self._files[path]
