"""Knowledge is the caller's, and goes with what it is about."""

import gc
import io
import weakref

from pipeline.tardiff.encoder import encode
from pipeline.tardiff.knowledge import Knowledge
from pipeline.tardiff.layer.new_tar import NewTar
from pipeline.tardiff.pool import Pool
from tests.tars import file, tar

from .lab import FAST, Lab

OLD, NEW = tar(file("f", b"old " * 9000)), tar(file("f", b"old " * 5000 + b"new " * 4000), file("g", b"old " * 9000))


def new_tar(lab: Lab) -> NewTar:
    path = lab.directory / "new"
    path.write_bytes(NEW)
    return NewTar.at(path)


def test_what_is_known_of_a_tree_or_a_tar_goes_with_it(lab: Lab) -> None:
    tree, new, knowledge = lab.tree(OLD), new_tar(lab), Knowledge()
    with Pool(workers=2, memory=1 << 30) as pool:
        encode(tree, new, io.BytesIO(), options=FAST, pool=pool, knowledge=knowledge)
    fingerprints, covers = weakref.ref(knowledge.of_tar(new)), weakref.ref(knowledge.covers(new))
    about_tree = weakref.ref(knowledge.of_tree(tree))
    del new
    gc.collect()
    assert (fingerprints(), covers()) == (None, None)
    assert about_tree() is knowledge.of_tree(tree)
    del tree
    gc.collect()
    assert about_tree() is None


def test_trees_with_the_same_content_are_known_apart(lab: Lab) -> None:
    first, second, knowledge = lab.tree(OLD), lab.tree(OLD), Knowledge()
    assert first.sources == second.sources
    assert knowledge.of_tree(first) is not knowledge.of_tree(second)
    assert knowledge.of_tree(first) is knowledge.of_tree(first)
    assert Knowledge().of_tree(first) is not knowledge.of_tree(first)
