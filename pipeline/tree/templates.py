"""The files of `templates/`: pages, server configurations, the starter configuration. The one user of jinja2.

Rule 1. The folder is `pipeline/templates` in an installed package and `templates/` beside `pipeline/` in a checkout.
Rule 2. HTML is escaped, nothing else is: an escaped server configuration would be a wrong one.
Rule 3. A variable that the caller did not give is an error, never an empty text.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import jinja2

from ..errors import DeltapressError


class TemplateError(DeltapressError):
    """A template is missing or broken; a mistake in the package, or in its installation."""

    def __init__(self, name: str, problem: str) -> None:
        self.name = name
        super().__init__(f"template {name}: {problem}")


def template_folder() -> Path:
    """Where the templates lie."""
    here = Path(__file__).parents[1]
    packaged = here / "templates"
    return packaged if packaged.is_dir() else here.parent / "templates"


def read_template(name: str) -> str:
    """The text of a template that has no variables.

    Raises:
        TemplateError: it is missing.
    """
    try:
        return (template_folder() / name).read_text("utf-8")
    except OSError as error:
        raise TemplateError(name, f"cannot be read ({error.strerror})") from error


def render(name: str, variables: Mapping[str, object]) -> str:
    """The text that the template `name` (`servers/nginx.conf.j2`) makes of `variables`.

    Raises:
        TemplateError: it is missing or broken, or asks for a variable that is not given.
    """
    try:
        return _environment().get_template(name).render(variables)
    except jinja2.TemplateNotFound as error:
        raise TemplateError(name, f"there is no {error.name} in {template_folder()}") from error
    except jinja2.TemplateError as error:
        raise TemplateError(name, str(error)) from error


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(template_folder()),
        undefined=jinja2.StrictUndefined,
        autoescape=lambda name: name is not None and name.endswith((".html", ".html.j2")),
        keep_trailing_newline=True,
    )
