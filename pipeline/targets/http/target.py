"""A registry, or a published tree behind a web server, as a target to read from."""

import io
import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Final, cast

from ...content import CHUNK
from ...keys import (
    CATALOG_KEY,
    MANIFESTS,
    OCTET_STREAM,
    Headers,
    Key,
    Kind,
    blob_key,
    classify,
    kind_of,
    manifest_key,
    referrers_key,
    referrers_tag,
    tags_key,
)
from ...oci.digest import Digest, DigestError
from ...oci.fields import FieldError, Fields, parse_json_object
from ...oci.manifest import MAX_MANIFEST_SIZE, Document, parse_document, successors
from ...oci.reference import DELTA_INDEX, is_repository, is_tag
from ..base import DeniedError, KeyMissingError, Properties, Stored, TargetError
from ..checks import check_object_key
from .connections import Answer, UnreachableError, host_of
from .listings import read_listing
from .options import HTTPOptions
from .requests import Requests
from .stream import BlobStream

_CONCURRENCY: Final = 8
# where the entries of a list stand
_MEMBERS: Final = {Kind.TAGS_LIST: "tags", Kind.CATALOG: "repositories", Kind.REFERRERS: "manifests"}
_TOTAL: Final = re.compile(r"bytes ([0-9]{1,19})-[0-9]{1,19}/")


class HTTPTarget:
    """The keys below `base`, `http(s)://HOST[:PORT][/PATH]`, in front of which `v2/…` is put. Safe for threads."""

    def __init__(self, base: str, options: HTTPOptions | None = None) -> None:
        self.url = base.rstrip("/")
        self._requests = Requests(f"{self.url}/", options or HTTPOptions())

    @property
    def properties(self) -> Properties:
        return Properties(stores_headers=True, concurrency=_CONCURRENCY)

    def open(self, key: Key) -> BinaryIO:
        return self.open_from(key, 0)

    def open_from(self, key: Key, start: int) -> BinaryIO:
        """`open`, from the byte `start` on; of a blob, nothing else is fetched."""
        check_object_key(key)
        parsed = classify(key)
        kind = None if parsed is None else parsed.kind
        if kind in _MEMBERS or kind in MANIFESTS:
            document = io.BytesIO(self._document(key)[1] if kind in MANIFESTS else self._listing(key))
            document.seek(start)
            return document
        answer = self._answer_from(key, start)
        stream = BlobStream(key, answer, start, lambda position: self._answer_from(key, position))
        return cast(BinaryIO, io.BufferedReader(stream, CHUNK))

    def stat(self, key: Key) -> Stored | None:
        check_object_key(key)
        parsed = classify(key)
        try:
            if parsed is not None and parsed.kind in _MEMBERS:  # which may have pages
                return Stored(size=len(self._listing(key)))
            answer = self._head(key)
            if answer is None or answer.size is None:
                answer, data = self._requests.read(key, limit=MAX_MANIFEST_SIZE)
                return _stored(answer, len(data), self._digest(key, answer))
            return _stored(answer, answer.size, self._digest(key, answer))
        except KeyMissingError:
            return None

    def keys(self) -> Iterator[Key]:
        """Every key that `_catalog`, the lists of tags, and the manifests lead to."""
        try:
            names = self._names(CATALOG_KEY, "repositories")
        except (KeyMissingError, DeniedError) as error:
            raise TargetError(
                f"{host_of(self.url)} does not list its repositories ({error}); name them", key=CATALOG_KEY
            ) from error
        found = {CATALOG_KEY}
        for name in filter(is_repository, names):
            found.update(self.keys_of(name))
        yield from sorted(found)

    def keys_of(self, repository: str) -> set[Key]:
        """Every key of one repository. Raises TargetError, KeyMissingError where it lists no tags."""
        found = {tags_key(repository)}
        tags = [tag for tag in self._names(tags_key(repository), "tags") if is_tag(tag)]
        left: list[str | Digest] = [DELTA_INDEX, *tags]
        while left:
            reference = left.pop()
            key = manifest_key(repository, reference)
            if key in found:
                continue
            try:
                document = self._parsed(key)
            except KeyMissingError:
                if reference in tags:
                    raise  # a list that names what is not there is no basis for anything
                continue  # an index may lack platforms, and there may be no delta
            found.add(key)
            edges = successors(document)
            left += [entry.digest for entry in edges.documents]
            if kind_of(reference) in {Kind.DELTA_INDEX, Kind.REFERRERS_TAG}:
                continue  # a list under a name; nobody asks for it by its digest
            own = manifest_key(repository, document.digest)
            if own in found and own != key:
                continue  # another tag led to it before
            found.add(own)
            found.update(blob_key(repository, entry.digest) for entry in edges.blobs)
            left += self._attached(repository, document.digest, found)
        return found

    def _attached(self, repository: str, subject: Digest, found: set[Key]) -> Iterable[str | Digest]:
        """What the listing of referrers, and the tag that stands for it, lead to."""
        key = referrers_key(repository, subject)
        try:
            listed = parse_document(self._listing(key))
        except KeyMissingError:
            return ()
        except FieldError as error:
            raise TargetError(f"is no list of referrers: {error}", key=key) from error
        found.add(key)
        return (referrers_tag(subject), *(entry.digest for entry in successors(listed).documents))

    def _names(self, key: Key, member: str) -> tuple[str, ...]:
        try:
            return Fields(parse_json_object(read_listing(self._requests, key, member), max_objects=None)).list_of_texts(
                member
            )
        except FieldError as error:
            raise TargetError(f"is no list of a registry: {error}", key=key) from error

    def _listing(self, key: Key) -> bytes:
        parsed = classify(key)
        if parsed is None:
            raise KeyMissingError(key)
        try:
            return read_listing(self._requests, key, _MEMBERS[parsed.kind])
        except (KeyMissingError, DeniedError):
            if parsed.kind is not Kind.REFERRERS or parsed.digest is None:
                raise
            # distribution-spec, "Referrers Tag Schema": what a registry has that knows no referrers
            tag = manifest_key(str(parsed.repository), referrers_tag(parsed.digest))
            return self._document(tag)[1]

    def _document(self, key: Key) -> tuple[str, bytes]:
        """Media type and bytes of a manifest, which have the digest that the server says, where it says one."""
        answer, data = self._requests.read(key, limit=MAX_MANIFEST_SIZE)
        said = self._digest(key, answer)
        if said is not None:
            hasher = said.new_hasher()
            hasher.update(data)
            if hasher.hexdigest() != said.hex:
                raise TargetError(f"{host_of(self.url)} says that its digest is {said}, which it is not", key=key)
        return (answer.header("Content-Type") or "").partition(";")[0].strip(), data

    def _parsed(self, key: Key) -> Document:
        parsed = classify(key)
        try:
            media_type, data = self._document(key)
            known = media_type if media_type.startswith("application/vnd.") else ""
            return parse_document(data, known, None if parsed is None else parsed.content_digest)
        except FieldError as error:
            raise TargetError(f"is no manifest: {error}", key=key) from error

    def _head(self, key: Key) -> Answer | None:
        """None where the server answers GET alone."""
        try:
            answer = self._requests.send(key, method="HEAD")
        except (KeyMissingError, DeniedError, UnreachableError):
            raise
        except TargetError:
            return None
        answer.close()
        return answer

    def _answer_from(self, key: Key, start: int) -> Answer:
        """An answer that is read from the byte `start` on."""
        headers = {"Range": f"bytes={start}-"} if start else {}
        answer = self._requests.send(key, headers={"Accept": "*/*", **headers})
        try:
            self._digest(key, answer)
            if start and answer.status == 206:
                came = _TOTAL.match(answer.header("Content-Range") or "")
                if came is None or int(came[1]) != start:
                    raise TargetError(f"{host_of(self.url)} sent another range than the one asked for", key=key)
                return answer
            while start and (data := answer.read(min(CHUNK, start))):  # it knows no ranges
                start -= len(data)
            return answer
        except BaseException:  # whoever gets no answer closes none
            answer.close()
            raise

    def _digest(self, key: Key, answer: Answer) -> Digest | None:
        """Docker-Content-Digest, where it is sent. Raises TargetError where it is not that of the key."""
        text = answer.header("Docker-Content-Digest")
        if not text:
            return None
        try:
            said = Digest.parse(text)
        except DigestError:
            return None  # of another algorithm, or nonsense: it says nothing
        parsed = classify(key)
        named = None if parsed is None else parsed.content_digest
        if named is not None and named.algorithm == said.algorithm and named != said:
            raise TargetError(f"{host_of(self.url)} has other content there, {said}", key=key)
        return said


def _stored(answer: Answer, size: int, digest: Digest | None) -> Stored:
    return Stored(
        size=size,
        headers=Headers(
            content_type=answer.header("Content-Type") or OCTET_STREAM,
            cache_control=answer.header("Cache-Control") or "",
            digest=digest,
        ),
    )
