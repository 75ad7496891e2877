"""Reading a rendered page."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser

NASTY = "<script>alert(1)</script><img src=x onerror=alert(1)>"
VOID = {"meta", "link", "br", "wbr", "hr", "img", "input"}


class Page(HTMLParser):
    """Tags, attributes, texts by section and table cells of a page; fails on tags that do not close."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str]] = []
        self._cells: list[list[str]] = []  # pieces, since a page may have millions of them
        self._texts: list[str] = []
        self.svg_texts: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []
        self.text = "".join(self._texts)
        self.cells = ["".join(cell) for cell in self._cells]

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags[tag] += 1
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("td", "th"):
            self._cells.append([])

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.tags[tag] += 1
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            return
        self._texts.append(data)
        if "td" in self.open or "th" in self.open:
            self._cells[-1].append(data)
        if "text" in self.open:
            self.svg_texts.append(data.strip())
