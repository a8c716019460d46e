"""The connection itself: certificate, scheme, redirects, answers that do not come or break off."""

from collections.abc import Iterator

from ..rules import Observation, Rule
from ..survey import Site


def security(site: Site) -> Iterator[Observation]:
    """Looks at nothing new: the first request told."""
    address = site.host.address
    if site.host.certificate_problem is not None:
        yield Observation(rule=Rule.CERTIFICATE, path="/", detail=site.host.certificate_problem)
    if address.scheme == "http" and not address.is_loopback:
        yield Observation(rule=Rule.PLAIN_HTTP, path="/", detail="speaks plain http")


def ping(site: Site) -> Iterator[Observation]:
    answer = site.host.get("/v2/")
    if not answer.is_ok:
        yield Observation(rule=Rule.PING, path="/v2/", detail=f"answers {answer.said}")


def redirects(site: Site) -> Iterator[Observation]:
    for answer in site.host.answers:
        if 300 <= answer.status < 400 and answer.header("location") is not None:
            yield Observation(rule=Rule.REDIRECTS_END, path=answer.path, detail=f"leads on from {answer.hops[-1]}")
        plain = [hop for hop in answer.hops if hop.startswith("http://")]
        if plain and site.host.address.scheme == "https":
            yield Observation(rule=Rule.REDIRECT_TO_HTTP, path=answer.path, detail=f"leads to {plain[0]}")


def broken(site: Site) -> Iterator[Observation]:
    for answer in site.host.answers:
        if answer.problem is not None:
            yield Observation(rule=Rule.ANSWERS, path=answer.path, detail=f"{answer.method}: {answer.problem}")
