"""Of what a publish of a repository comes, as one mark: as long as it stays the same, so does what would be published.

That is the layout, the configuration, the pulls that were counted, the user's templates, and this program. A run takes
the mark before it reads any of them: what changes meanwhile has another mark, and is looked at by the next run.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from .. import __version__
from ..config import Config, Reporting, Repository
from ..demand.document import DemandError, read_demand
from ..layout.identity import identity_of
from ..oci.digest import Digest
from ..tardiff.encoder import GENERATOR
from ..targets.s3.options import S3Options
from ..tree.templates import templates_digest


class Origins:
    """Makes the marks. Each file of counted pulls is read once."""

    def __init__(self, config: Config) -> None:
        """Raises OwnTemplateError."""
        self._common = _common(config)
        self._files: dict[Path, Mapping[str, Mapping[Digest, int]] | DemandError] = {}

    def mark_of(self, repository: Repository) -> str | None:
        """None where nothing tells whether its layout has changed."""
        identity = identity_of(repository.layout)
        if identity is None:
            return None
        parts = self._common, repr(replace(repository, layout=Path())), identity, self._pulls(repository)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]

    def _pulls(self, repository: Repository) -> str:
        """Those that were counted for it; or what is wrong with their file, in which case it is not at rest."""
        path = repository.policy.demand
        if path is None:
            return ""
        if path not in self._files:
            try:
                self._files[path] = read_demand(path)
            except DemandError as error:
                self._files[path] = error
        found = self._files[path]
        return str(found) if isinstance(found, DemandError) else repr(sorted(found.get(repository.name, {}).items()))


def _common(config: Config) -> str:
    """Of what a publish of any repository comes: this program, and what is configured for all.

    Where things lie, how they are reached, what may be deleted at once and who is told of it changes nothing of what is
    published.
    """
    rest = replace(
        config, path=Path(), target_url="", s3=S3Options(), max_delete=0.0, report=Reporting(), repositories=()
    )
    own = config.site.templates
    templates = templates_digest(own) if own is not None else None
    return f"{__version__}\n{GENERATOR}\n{rest}\n{templates}"
