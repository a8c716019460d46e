"""index/static, by which flatpak finds images."""

from collections.abc import Iterator
from typing import Final

from ...keys import FLATPAK_INDEX_KEY, JSON, manifest_key
from ...oci.digest import Digest
from ...oci.fields import FieldError, Fields, parse_json_object
from ...oci.reference import is_repository
from ..answers import Answer
from ..rules import Observation, Rule
from ..survey import MAX_LISTING, Site

_PATH: Final = f"/{FLATPAK_INDEX_KEY}"
# as flatpak asks (common/flatpak-oci-registry.c)
_QUERY: Final = "?label%3Aorg.flatpak.ref%3Aexists=1&architecture=amd64&os=linux&tag=latest"
_REF: Final = "org.flatpak.ref"
_MAX_IMAGES: Final = 50


def index(site: Site) -> Iterator[Observation]:
    plain, asked = (site.host.get(f"{_PATH}{query}", limit=MAX_LISTING) for query in ("", _QUERY))
    if plain.status == 404 and asked.status == 404:
        yield Observation(rule=Rule.FLATPAK_ABSENT, path=_PATH, detail=f"answers {plain.said}")
        return
    for answer in (plain, asked):
        try:
            images = _images(answer)
        except FieldError as error:
            detail = f"answers {answer.said}; {error}" if answer.is_ok else f"answers {answer.said}"
            yield Observation(rule=Rule.FLATPAK_INDEX, path=answer.path, detail=detail)
            return
    if plain.body != asked.body:
        yield Observation(rule=Rule.FLATPAK_INDEX, path=asked.path, detail="answers otherwise than without the query")
    if plain.media_type != JSON:
        detail = f"is served as {plain.content_type or 'nothing'}"
        yield Observation(rule=Rule.FLATPAK_TYPE, path=_PATH, detail=detail)
    refs: set[tuple[str, str]] = set()
    for ref, architecture, _, _ in images:
        if (ref, architecture) in refs:
            yield Observation(rule=Rule.FLATPAK_IMAGES, path=_PATH, detail=f"names {ref} for {architecture} twice")
        refs.add((ref, architecture))
    for _, _, name, digest in images[:_MAX_IMAGES]:
        path = f"/{manifest_key(name, digest)}"
        answer = site.host.head(path)
        if not answer.is_ok:
            yield Observation(rule=Rule.FLATPAK_IMAGES, path=path, detail=f"HEAD answers {answer.said}")


def _images(answer: Answer) -> list[tuple[str, str, str, Digest]]:
    """Ref, architecture, repository and digest of each. Raises FieldError."""
    if not answer.is_ok or not answer.is_whole:
        raise FieldError("", f"is not to be read ({answer.said})")
    fields = Fields(parse_json_object(answer.decoded(limit=MAX_LISTING) or b"", max_objects=None))
    fields.text("Registry")
    found = []
    for result in fields.objects("Results"):
        name = result.text("Name")
        if not is_repository(name):
            raise result.error("Name", "is no name of a repository")
        for image in result.objects("Images"):
            labels = image.texts("Labels")
            found.append((labels.get(_REF, ""), image.text("Architecture", ""), name, image.digest("Digest")))
    return found
