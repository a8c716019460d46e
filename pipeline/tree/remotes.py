"""Pure: remotes of flatpak, and the files on which people click: to add a remote, to install an app of it.

Rule 1. A remote, and what is said of it, is remembered with the repositories that belong to it: so every publisher of
        the target makes the same files.
Rule 2. A ref in a label is untrusted: none becomes a key unless its grammar allows it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..config.values import FlatpakRemote
from ..history.ledger import Ledger
from ..history.records.repositories import RepositoryRecord
from ..keys import Key, flatpak_ref_key, flatpak_repo_key
from ..oci.flatpak import FlatpakRef
from .flatpak import newest_flatpaks


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedApp:
    """An app of a remote, and the file by which it is installed."""

    ref: FlatpakRef
    key: Key


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedRemote:
    """A remote, the file by which it is added, and its apps."""

    remote: FlatpakRemote
    key: Key
    apps: tuple[OfferedApp, ...]


def remote_files(ledger: Ledger) -> dict[Key, bytes]:
    """The files of all remotes, by key."""
    files: dict[Key, bytes] = {}
    for offered in offered_remotes(ledger):
        files[offered.key] = _repo_file(offered.remote)
        files |= {app.key: _ref_file(offered.remote, app.ref) for app in offered.apps}
    return files


def offered_remotes(ledger: Ledger) -> tuple[OfferedRemote, ...]:
    """The remotes to which repositories belong, by name, each with its apps: an app of several architectures once."""
    if not ledger.remotes:
        return ()
    apps: dict[str, dict[tuple[str, str], FlatpakRef]] = {}
    for record in ledger.repositories.values():
        if (remote := remote_of(record, ledger)) is not None:
            apps.setdefault(remote.name, {})
    for text, candidate in newest_flatpaks(ledger.repositories).items():
        ref, remote = FlatpakRef.parse(text), remote_of(ledger.repositories[candidate.repository], ledger)
        if ref is not None and ref.kind == "app" and remote is not None:
            apps[remote.name].setdefault((ref.id, ref.branch), ref)
    taken: set[str] = set()
    return tuple(
        OfferedRemote(
            remote=ledger.remotes[name].remote,
            key=flatpak_repo_key(name),
            apps=tuple(_named(ledger.remotes[name].remote, found.values(), taken)),
        )
        for name, found in sorted(apps.items())
        if _is_free(flatpak_repo_key(name), taken)
    )


def remote_of(record: RepositoryRecord, ledger: Ledger) -> FlatpakRemote | None:
    """The remote to which a repository belongs, if any."""
    known = ledger.remotes.get(record.rules.remote or "") if record.rules is not None else None
    return known.remote if known is not None else None


def _named(remote: FlatpakRemote, refs: Iterable[FlatpakRef], taken: set[str]) -> Iterator[OfferedApp]:
    """An app goes by its name alone where its branch is the remote's own, and no other remote offers one so."""
    for ref in sorted(refs):
        short = flatpak_ref_key(ref.id)
        is_short = ref.branch == remote.branch and _is_free(short, taken)
        key = short if is_short else flatpak_ref_key(ref.id, ref.branch)
        if is_short or _is_free(key, taken):
            yield OfferedApp(ref=ref, key=key)


def _is_free(key: Key, taken: set[str]) -> bool:
    """True for the first that asks; a file system may not tell upper and lower case apart."""
    is_free = key.lower() not in taken
    taken.add(key.lower())
    return is_free


def _repo_file(remote: FlatpakRemote) -> bytes:
    """flatpak-flatpakrepo(5)."""
    return _key_file(
        "Flatpak Repo",
        Version="1",
        Title=remote.title or remote.name,
        Url=f"oci+{remote.url}",
        Homepage=remote.homepage,
        Comment=remote.comment,
        Description=remote.description,
        Icon=remote.icon,
        DefaultBranch=remote.branch,
    )


def _ref_file(remote: FlatpakRemote, ref: FlatpakRef) -> bytes:
    """flatpak-flatpakref(5)."""
    return _key_file(
        "Flatpak Ref",
        Version="1",
        Title=f"{ref.id} from {remote.title or remote.name}",
        Name=ref.id,
        Branch=ref.branch,
        IsRuntime="false",
        Url=f"oci+{remote.url}",
        SuggestRemoteName=remote.name,
        RuntimeRepo=remote.runtime_repo,
    )


def _key_file(group: str, **values: str) -> bytes:
    """In the format of GLib, in which a backslash stands for itself when it is doubled; without what is empty."""
    text = "".join(f"{name}={value}\n" for name, value in values.items() if value)
    return (f"[{group}]\n" + text.replace("\\", "\\\\")).encode("utf-8")
