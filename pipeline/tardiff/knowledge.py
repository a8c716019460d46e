"""What was found while deltas were made, kept for those that are made from the same tree, or make the same tar.

Rule 1. Whoever makes several deltas owns one `Knowledge`, and hands it to `encode` for each. Trees and tars are plain
        values, which know nothing of it.
Rule 2. It decides how soon a delta is there, and never about its bytes.
Rule 3. What is known of a tree or a tar goes when that goes, and has a bound in between: see `Fingerprints` and
        `CoverMemory`.
"""

import threading
from weakref import WeakKeyDictionary

from .layer.new_tar import NewFile, NewTar
from .layer.tree import Source, SourceTree
from .match.remembered import CoverMemory
from .pair.fingerprints import Fingerprints


class Knowledge:
    """Nothing at first. Usable from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._trees: WeakKeyDictionary[SourceTree, Fingerprints[Source]] = WeakKeyDictionary()
        self._tars: WeakKeyDictionary[NewTar, Fingerprints[NewFile]] = WeakKeyDictionary()
        self._covers: WeakKeyDictionary[NewTar, CoverMemory] = WeakKeyDictionary()

    def of_tree(self, tree: SourceTree) -> Fingerprints[Source]:
        """Of the sources of `tree`: to pair them."""
        with self._lock:
            return self._trees.setdefault(tree, Fingerprints())

    def of_tar(self, tar: NewTar) -> Fingerprints[NewFile]:
        """Of the files of `tar`: to pair them."""
        with self._lock:
            return self._tars.setdefault(tar, Fingerprints())

    def covers(self, tar: NewTar) -> CoverMemory:
        """What files of `tar` share with old ones."""
        with self._lock:
            return self._covers.setdefault(tar, CoverMemory())
