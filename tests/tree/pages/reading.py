"""Pages as a browser reads them, as far as tests ask."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Final

from pipeline.keys import PAGE_KEY, Key, page_key
from pipeline.targets.memory import MemoryTarget

_EMPTY: Final = {"meta", "link", "input", "br"}


@dataclass
class Page:
    """`text` is what a person sees, with single spaces; `rows` are those of all tables, each the texts of its cells."""

    key: Key
    raw: str
    links: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    tags: set[str] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)
    metas: dict[str, str] = field(default_factory=dict)
    rows: list[list[str]] = field(default_factory=list)
    text: str = ""

    def elements(self, name: str) -> list[str]:
        """The contents of the elements that hold no others."""
        return re.findall(rf"<{name}>(.*?)</{name}>", self.raw, flags=re.DOTALL)


class _Reader(HTMLParser):
    def __init__(self, page: Page) -> None:
        super().__init__()
        self.page, self.open, self.texts, self.cells = page, [""], [""], [""]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.page.tags.add(tag)
        found = {name: value or "" for name, value in attrs}
        self.page.attributes |= found.keys()
        self.page.links += [found[name] for name in ("href", "src") if name in found]
        self.page.ids += [found["id"]] if "id" in found else []
        if tag == "meta":
            self.page.metas[found.get("http-equiv", found.get("name", ""))] = found.get("content", "")
        if tag == "tr":
            self.page.rows.append([])
        if tag in {"td", "th"}:
            self.cells = []
        if tag not in _EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"{tag} closes what is not open"
        if tag in {"td", "th"}:
            self.page.rows[-1].append(" ".join(" ".join(self.cells).split()))

    def handle_data(self, data: str) -> None:
        if self.open[-1] not in {"style", "script", "button"}:
            self.texts.append(data)
            self.cells.append(data)


def page_of(target: MemoryTarget, repository: str | None = None) -> Page:
    """The page of a repository, or the front page."""
    return page_at(target, PAGE_KEY if repository is None else page_key(repository))


def page_at(target: MemoryTarget, key: Key) -> Page:
    """The page that lies there."""
    page = Page(key=key, raw=target.contents[key].decode())
    reader = _Reader(page)
    reader.feed(page.raw)
    reader.close()
    page.text = " ".join(" ".join(reader.texts).split())
    return page
