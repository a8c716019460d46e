"""Whole runs for tests: a configuration in a folder, layouts beside it, a target, and one call a night."""

import io
import json
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

from pipeline import publish
from pipeline.config import Config, parse_config
from pipeline.content import Content
from pipeline.history.ledger import Ledger
from pipeline.history.removal import Removable
from pipeline.history.retraction import Retractable
from pipeline.history.store import LedgerStore, load_ledger
from pipeline.keys import LEDGER_KEY, Headers, Key, Kind, classify
from pipeline.oci.digest import Digest
from pipeline.progress import Silent
from pipeline.publish.reconcile import Reconciliation
from pipeline.targets.base import LockInfo, Properties, ReadableTarget, Stored, Target
from pipeline.targets.directory import DirectoryTarget
from pipeline.targets.memory import MemoryTarget

from .client import deltas_of, problems, unproven
from .layouts.builder import Json, LayoutBuilder, tar_of
from .layouts.builder import sha256 as diff_id_of
from .targets.wrappers import RecordingTarget

START = datetime(2026, 1, 1, tzinfo=UTC)
_NOISE = random.Random(7).randbytes(4000)


def night(number: float) -> datetime:
    return START + timedelta(days=number)


def app(version: int) -> bytes:
    """A layer whose versions differ in a few bytes of what does not compress: about 4 KB, a delta of 200 bytes."""
    data = bytearray(_NOISE)
    data[10 * version : 10 * version + 8] = random.Random(version).randbytes(8)
    return tar_of({"bin/app": bytes(data)})


def other(version: int) -> bytes:
    """The same for another program: nothing in it is like anything of `app`."""
    data = bytearray(reversed(_NOISE))
    data[10 * version : 10 * version + 8] = random.Random(version).randbytes(8)
    return tar_of({"lib/other": bytes(data)})


def pairs(*layers: tuple[bytes, bytes]) -> list[tuple[str, str]]:
    """What `Shop.listed` says of deltas between these tars, old and new."""
    return sorted((diff_id_of(old), diff_id_of(new)) for old, new in layers)


def is_of_ledger(key: str) -> bool:
    parsed = classify(key)
    return parsed is not None and parsed.kind is Kind.LEDGER


def deleted(target: RecordingTarget) -> list[Key]:
    """What was deleted of the published tree."""
    return [call.key for call in target.calls if call.method == "delete" and call.key and not is_of_ledger(call.key)]


def stored_ledger(target: ReadableTarget) -> Ledger:
    """What the ledger of a target says, all of which can be read."""
    stored = load_ledger(target)
    assert stored is not None
    assert stored.bad == {}
    return stored.ledger


def read_again(ledger: Ledger) -> Ledger:
    """What is read when it was written."""
    target = MemoryTarget()
    LedgerStore(target).save(ledger)
    return stored_ledger(target)


def document_key(target: MemoryTarget, repository: str) -> Key:
    """Where the part of the ledger lies that belongs to a repository."""
    root = json.loads(target.contents[LEDGER_KEY])
    return Key(f"_deltapress/ledger/{root['repositories'][repository]['document']}")


def change_document(target: MemoryTarget, repository: str, change: Callable[[Any], None]) -> None:
    """Let another publisher have said something else of a repository."""
    document = json.loads(target.contents.pop(document_key(target, repository)))
    change(document)
    raw = json.dumps(document).encode()
    root = json.loads(target.contents[LEDGER_KEY])
    root["repositories"][repository] = {"document": diff_id_of(raw)}
    target.contents[LEDGER_KEY] = json.dumps(root).encode()
    target.contents[document_key(target, repository)] = raw


class MemoryFolder(MemoryTarget):
    """In memory what a directory is: it stores no headers, so web servers must find them in the tree."""

    properties = Properties(stores_headers=False)

    def copy(self) -> "MemoryFolder":
        twin = MemoryFolder()
        twin.contents, twin.headers = dict(self.contents), dict(self.headers)
        return twin

    def published(self) -> dict[Key, bytes]:
        """All but the publisher's own ledger."""
        return {key: data for key, data in self.contents.items() if not is_of_ledger(key)}


class ClocklessDirectory(DirectoryTarget):
    """A directory for nights that pass in a moment: its files' times are not those of the runs."""

    @contextmanager
    def lock(self, *, now: datetime, wait: float) -> Iterator[LockInfo]:
        with super().lock(now=now, wait=wait) as held:
            yield replace(held, clock=None)


class Twins:
    """Two targets to which the same is done, and which must answer alike."""

    def __init__(self, one: Target, other: Target) -> None:
        mine, theirs = one.properties, other.properties
        assert mine.stores_headers == theirs.stores_headers
        self.one, self.other, self.url = one, other, one.url
        self.properties = replace(mine, folds_case=False, concurrency=max(mine.concurrency, theirs.concurrency))

    def open(self, key: Key) -> BinaryIO:
        with self.one.open(key) as mine, self.other.open(key) as theirs:
            data = mine.read()
            assert data == theirs.read(), key
        return io.BytesIO(data)

    def stat(self, key: Key) -> Stored | None:
        found = self.one.stat(key)
        assert found == self.other.stat(key), key
        return found

    def put(self, key: Key, content: Content, headers: Headers, *, digest: Digest, same_as: Key | None = None) -> None:
        for target in (self.one, self.other):
            target.put(key, content, headers, digest=digest, same_as=same_as)

    def delete(self, key: Key) -> None:
        for target in (self.one, self.other):
            target.delete(key)

    def keys(self) -> Iterator[Key]:
        found = list(self.one.keys())
        assert found == list(self.other.keys())
        yield from found

    @contextmanager
    def lock(self, *, now: datetime, wait: float) -> Iterator[LockInfo]:
        with self.one.lock(now=now, wait=wait) as held, self.other.lock(now=now, wait=wait) as other:
            yield LockInfo(last=held.last or other.last, clock=held.clock or other.clock)


class WatchedTarget(RecordingTarget):
    """Calls `look` after every put and delete, and lets no other happen meanwhile."""

    def __init__(self, inner: Target, look: Callable[[], None]) -> None:
        super().__init__(inner)
        self._look = look
        self._looking = threading.Lock()

    def put(self, key: Key, content: Content, headers: Headers, *, digest: Digest, same_as: Key | None = None) -> None:
        with self._looking:
            super().put(key, content, headers, digest=digest, same_as=same_as)
            self._look()

    def delete(self, key: Key) -> None:
        with self._looking:
            super().delete(key)
            self._look()


@dataclass
class Shop:
    """A folder with layouts and a configuration. `repositories` maps each name to more lines of its table; `site` are
    more tables."""

    path: Path
    target: Target = field(default_factory=MemoryFolder)
    policy: str = "versions = 2"
    repositories: dict[str, str] = field(default_factory=lambda: {"app": ""})
    site: str = ""

    @property
    def folder(self) -> MemoryFolder:
        assert isinstance(self.target, MemoryFolder)
        return self.target

    @property
    def config(self) -> Config:
        lines = ["[target]", 'url = "public"', "[policy]", self.policy, self.site]
        for name, more in self.repositories.items():
            lines += ["[[repository]]", f'name = "{name}"', f'layout = "{name.replace("/", "-")}"', more]
        return parse_config("\n".join(lines), path=self.path / "deltapress.toml")

    def layout(self, tags: dict[str, Json], build: LayoutBuilder, repository: str = "app") -> Path:
        """Write the layout of a repository, whose descriptors `build` has made, in place of an earlier one."""
        for tag, descriptor in tags.items():
            build.tag(tag, descriptor)
        path = self.path / repository.replace("/", "-")
        for file in path.rglob("*"):
            if file.is_file():
                file.unlink()
        return build.write(path)

    def images(self, tags: dict[str, bytes | tuple[bytes, ...]], repository: str = "app") -> Path:
        """A layout with an image for each tag, of one layer or several."""
        build = LayoutBuilder()
        found = {tag: build.image(*((tar,) if isinstance(tar, bytes) else tar)) for tag, tar in tags.items()}
        return self.layout(found, build, repository)

    def run(self, number: float = 0, *, target: Target | None = None, **settings: Any) -> publish.Outcome:
        """Publish, `number` nights after the first."""
        return publish.run(self.config, target or self.target, _settings(number, settings), progress=Silent())

    def dry_run(self, number: float = 0, **settings: Any) -> publish.Outcome:
        return publish.dry_run(self.config, self.target, _settings(number, settings), progress=Silent())

    def prune(
        self, number: float = 0, *, target: Target | None = None, is_dry: bool = False, **settings: Any
    ) -> publish.Outcome:
        chosen = _settings(number, settings)
        return publish.prune(self.config, target or self.target, chosen, is_dry=is_dry, progress=Silent())

    def remove(
        self,
        what: str,
        number: float = 0,
        *,
        target: Target | None = None,
        is_undo: bool = False,
        is_dry: bool = False,
        is_now: bool = False,
        **settings: Any,
    ) -> publish.Outcome:
        return publish.remove(
            Removable.parse(what),
            self.config,
            target or self.target,
            _settings(number, settings),
            is_undo=is_undo,
            is_dry=is_dry,
            is_now=is_now,
            progress=Silent(),
        )

    def tag(
        self,
        what: str,
        image: Digest | str,
        number: float = 0,
        *,
        target: Target | None = None,
        is_dry: bool = False,
    ) -> publish.Outcome:
        return publish.tag(
            Removable.parse(what),
            image,
            self.config,
            target or self.target,
            _settings(number, {"prune": False}),
            is_dry=is_dry,
            progress=Silent(),
        )

    def retract(
        self,
        what: str | None,
        source: str | None = None,
        number: float = 0,
        *,
        target: Target | None = None,
        is_all: bool = False,
        is_undo: bool = False,
        is_dry: bool = False,
    ) -> publish.Outcome:
        return publish.retract(
            Retractable.named(what, source, is_all=is_all),
            self.config,
            target or self.target,
            _settings(number, {"prune": False}),
            is_undo=is_undo,
            is_dry=is_dry,
            progress=Silent(),
        )

    def reconcile(
        self, number: float = 0, *, target: Target | None = None, is_dry: bool = False, **settings: Any
    ) -> Reconciliation:
        chosen = _settings(number, settings)
        return publish.reconcile(target or self.target, chosen, is_dry=is_dry, progress=Silent())

    def listed(self) -> list[tuple[str, str]]:
        """The DiffIDs from and to which deltas of `app` are listed."""
        return sorted((delta.from_diff_id, delta.to_diff_id) for delta in deltas_of(self.folder.contents, "app"))

    def check(self) -> None:
        """Readers stumble over nothing, and every delta that they are offered is right."""
        assert problems(self.folder.contents, at_rest=True) == []
        assert unproven(self.folder.published()) == []

    def watched_run(self, number: float = 0, **settings: Any) -> tuple[publish.Outcome, WatchedTarget]:
        """Publish under the eyes of a client that looks after every single call."""

        def look() -> None:
            assert problems(self.folder.contents) == []

        target = WatchedTarget(self.target, look)
        outcome = self.run(number, target=target, **settings)
        assert problems(self.folder.contents, at_rest=True) == []
        return outcome, target


def _settings(number: float, more: dict[str, Any]) -> publish.Settings:
    return publish.Settings(now=night(number), **{"jobs": 1, "memory": 1 << 30, **more})
