"""The files of `templates/`: pages, server configurations, the starter configuration. The one user of jinja2.

Rule 1. The folder is `pipeline/templates` in an installed package and `templates/` beside `pipeline/` in a checkout.
Rule 2. Pages and feeds are escaped, nothing else is: an escaped server configuration would be a wrong one.
Rule 3. A variable that the caller did not give is an error, never an empty text.
Rule 4. A user's own templates of pages stand before ours, which they reach as `deltapress/NAME`. They run in jinja's
        sandbox, and whatever goes wrong in one is that user's to mend: one line, with file and line.
"""

import hashlib
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import jinja2
import jinja2.sandbox

from ..errors import DeltapressError, ExitCode

_PAGES: Final = "site"  # the folder of the templates that a user may replace
_OURS: Final = "deltapress"


class TemplateError(DeltapressError):
    """A template is missing or broken; a mistake in the package, or in its installation."""

    def __init__(self, name: str, problem: str) -> None:
        self.name = name
        super().__init__(f"template {name}: {problem}")


class OwnTemplateError(TemplateError):
    """A user's own template is broken."""

    exit_code = ExitCode.BAD_CONFIGURATION

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(place, f"{problem}; mend it, or leave `templates` in [site] out")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Templates:
    """The templates of pages; those of `own`, a folder of the user's, stand before ours."""

    environment: jinja2.Environment
    own: Path | None

    def render(self, name: str, variables: Mapping[str, object]) -> str:
        """The text that `name` makes of `variables`. Raises TemplateError."""
        try:
            return self.environment.get_template(name).render(variables)
        except Exception as error:  # a template can do anything that an expression can, and so meet any exception
            if self.own is None:
                if isinstance(error, jinja2.TemplateError):
                    raise TemplateError(name, str(error)) from error
                raise
            problem = " ".join(str(error).split()) or type(error).__name__
            raise OwnTemplateError(_place(error, self.own / name), problem) from error


def page_templates(own: Path | None) -> Templates:
    """Those of pages. Raises OwnTemplateError when `own` is no folder."""
    if own is not None and not own.is_dir():
        raise OwnTemplateError(str(own), "there is no such folder")
    return _page_templates(own)


def templates_digest(own: Path) -> str:
    """What changes when a file of the folder does. Raises OwnTemplateError when it cannot be read."""
    hasher = hashlib.sha256()
    try:
        for path in sorted(path for path in own.rglob("*") if path.is_file()):
            for part in (str(path.relative_to(own)).encode("utf-8", "surrogateescape"), path.read_bytes()):
                hasher.update(len(part).to_bytes(8) + part)
    except OSError as error:
        raise OwnTemplateError(error.filename or str(own), f"cannot be read ({error.strerror})") from error
    return hasher.hexdigest()


@cache
def _page_templates(own: Path | None) -> Templates:
    ours = jinja2.FileSystemLoader(template_folder() / _PAGES)
    loaders: list[jinja2.BaseLoader] = [jinja2.FileSystemLoader(own)] if own is not None else []
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        loader=jinja2.ChoiceLoader([*loaders, ours, jinja2.PrefixLoader({_OURS: ours})]),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return Templates(environment=environment, own=own)


def _place(error: Exception, template: Path) -> str:
    """File and line of what went wrong: where it does not parse, or the last line of a template that was at work."""
    if isinstance(error, jinja2.TemplateSyntaxError):
        return f"{error.filename or error.name or template}:{error.lineno}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.endswith(".py")]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else str(template)


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(template_folder()),
        undefined=jinja2.StrictUndefined,
        autoescape=lambda name: name is not None and name.endswith((".html", ".html.j2")),
        keep_trailing_newline=True,
    )
