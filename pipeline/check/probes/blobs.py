"""Blobs: whether they are there, whole, and can be asked for in parts."""

from collections.abc import Iterator
from typing import Final

from ...oci.descriptor import Descriptor
from ..answers import Answer
from ..connection import Host
from ..rules import Observation, Rule
from ..survey import Repository, Site, digest_like

WHOLE: Final = 1 << 20  # bytes: what is larger is looked at, and not read to its end
_PART: Final = 1024


def blob_answer(host: Host, repository: Repository, blob: Descriptor, **headers: str) -> Answer:
    """GET of a blob: all of it where it is small, and its beginning otherwise."""
    return host.get(repository.blob_path(blob.digest), limit=WHOLE, **headers)


def contents(site: Site) -> Iterator[Observation]:
    for repository in site.repositories:
        for blob in repository.blobs:
            path = repository.blob_path(blob.digest)
            answer = blob_answer(site.host, repository, blob)
            if not answer.is_ok:
                yield Observation(rule=Rule.BLOB_THERE, path=path, detail=f"answers {answer.said}")
            elif answer.encoding is not None:
                continue  # what comes of it is looked at where encodings are
            elif answer.is_whole and digest_like(blob.digest, answer.body) != blob.digest:
                detail = f"is {len(answer.body):,} bytes of another digest; {blob.size:,} are named"
                yield Observation(rule=Rule.BLOB_BYTES, path=path, detail=detail)
            elif answer.length not in {None, blob.size}:
                detail = f"says that it is {answer.length:,} bytes; {blob.size:,} are named"
                yield Observation(rule=Rule.BLOB_BYTES, path=path, detail=detail)


def ranges(site: Site) -> Iterator[Observation]:
    """A part from the middle of a small blob and of a large one."""
    for repository in site.repositories:
        there = [blob for blob in repository.blobs if blob.size > 1 and blob_answer(site.host, repository, blob).is_ok]
        for blob in {blob.digest: blob for blob in (*there[:1], *there[-1:])}.values():
            first = blob.size // 2
            last = min(first + _PART, blob.size) - 1
            path, asked = repository.blob_path(blob.digest), f"bytes={first}-{last}"
            answer = site.host.get(path, limit=WHOLE, Range=asked)
            if answer.status != 206:
                yield Observation(rule=Rule.RANGES, path=path, detail=f"{asked} is answered {answer.said}")
                continue
            whole = blob_answer(site.host, repository, blob)
            wanted = whole.body[first : last + 1] if whole.is_whole else None
            named = answer.header("content-range")
            if named != f"bytes {first}-{last}/{blob.size}" or len(answer.body) != last + 1 - first:
                detail = f"{asked} is answered with {len(answer.body):,} bytes, Content-Range {named}"
                yield Observation(rule=Rule.RANGE_BYTES, path=path, detail=detail)
            elif wanted is not None and whole.encoding is None and answer.body != wanted:
                yield Observation(rule=Rule.RANGE_BYTES, path=path, detail=f"{asked} gives other bytes than the whole")
