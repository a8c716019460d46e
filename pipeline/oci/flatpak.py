"""Names that flatpak gives: refs of apps and runtimes, branches, remotes (flatpak, `flatpak_is_valid_name`)."""

import re
from dataclasses import dataclass
from typing import Final, Self

MAX_NAME: Final = 100  # of a remote, and of the id and the branch in a ref: together they are the name of a file

_ID: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*\.[A-Za-z_][A-Za-z0-9_-]*")
_BRANCH: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")
_REMOTE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class FlatpakRef:
    """`app/org.example.App/x86_64/stable`."""

    kind: str
    id: str
    arch: str
    branch: str

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """None for what is no ref, or has names that are too long for a file."""
        kind, *names = text.split("/")
        if kind not in {"app", "runtime"} or len(names) != 3:
            return None
        id_, arch, branch = names
        return cls(kind=kind, id=id_, arch=arch, branch=branch) if is_id(id_) and arch and is_branch(branch) else None


def is_id(text: str) -> bool:
    return len(text) <= MAX_NAME and _ID.fullmatch(text) is not None


def is_branch(text: str) -> bool:
    return len(text) <= MAX_NAME and _BRANCH.fullmatch(text) is not None


def is_remote_name(text: str) -> bool:
    return len(text) <= MAX_NAME and _REMOTE.fullmatch(text) is not None
