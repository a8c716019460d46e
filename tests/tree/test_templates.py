"""The templates: found, strict, and escaped where the result is HTML alone."""

from pathlib import Path

import pytest

from pipeline.tree.templates import TemplateError, read_template, render, template_folder

SERVERS = sorted(path.name for path in (template_folder() / "servers").iterdir())


def test_the_folder_is_the_one_of_the_checkout() -> None:
    assert template_folder() == Path(__file__).parents[2] / "templates"


@pytest.mark.parametrize("name", SERVERS)
def test_a_variable_that_is_not_given_is_an_error(name: str) -> None:
    if "{{" in read_template(f"servers/{name}") or "{%" in read_template(f"servers/{name}"):
        with pytest.raises(TemplateError, match="is undefined"):
            render(f"servers/{name}", {})


@pytest.mark.parametrize("name", ["nowhere.j2", "../pyproject.toml"])
def test_what_is_no_template(name: str) -> None:
    with pytest.raises(TemplateError, match="there is no"):
        render(name, {})
    with pytest.raises(TemplateError):
        read_template("nowhere.toml")
