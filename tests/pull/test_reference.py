"""Names of images, as people write them for podman, skopeo and docker."""

import pytest

from pipeline.client.reference import BadReferenceError, ImageName

HEX = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "url", "repository", "reference", "full"),
    [
        ("alpine", "https://registry-1.docker.io", "library/alpine", "latest", "docker.io/library/alpine:latest"),
        ("grafana/grafana:11", "https://registry-1.docker.io", "grafana/grafana", "11", "docker.io/grafana/grafana:11"),
        ("docker.io/alpine:3", "https://registry-1.docker.io", "library/alpine", "3", "docker.io/library/alpine:3"),
        ("localhost/app", "https://localhost", "app", "latest", "localhost/app:latest"),
        ("r.test:5000/a/b:1.0", "https://r.test:5000", "a/b", "1.0", "r.test:5000/a/b:1.0"),
        (f"r.test/a/b@{HEX}", "https://r.test", "a/b", HEX, f"r.test/a/b@{HEX}"),
        (f"r.test/a/b:1@{HEX}", "https://r.test", "a/b", HEX, f"r.test/a/b@{HEX}"),
    ],
)
def test_names_are_completed_as_elsewhere(text: str, url: str, repository: str, reference: str, full: str) -> None:
    name = ImageName.parse(text)
    assert (name.registry_url, name.registry_repository) == (url, repository)
    assert (str(name.reference), name.full) == (reference, full)
    assert str(ImageName.parse(str(name))) == str(name)


def test_in_a_mirror_the_name_is_the_repository() -> None:
    assert ImageName.parse("team/app:1").names_in_tree == ("team/app",)
    assert ImageName.parse("r.test/team/app:1").names_in_tree == ("team/app", "r.test/team/app")
    assert ImageName.parse("r.test:5000/team/app").names_in_tree == ("team/app",)


@pytest.mark.parametrize(
    "text", ["", ":1", "App", "a//b", "r.test/", "a:-x", "a@sha256:1", "a b", "r.test@x/a", "a/../b", "a:1:2", "é.x/a"]
)
def test_what_names_nothing_is_refused(text: str) -> None:
    with pytest.raises(BadReferenceError, match=r"write HOST/NAME:TAG"):
        ImageName.parse(text)


def test_an_address_is_no_name() -> None:
    with pytest.raises(BadReferenceError, match=r"no scheme .*--from http://HOST.*write HOST/NAME:TAG"):
        ImageName.parse("http://r.test:5000/team/app:1")
