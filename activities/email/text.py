"""The plain text of an HTML e-mail, for readers that show no HTML and for the filters that want to see both."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Final

_UNSEEN: Final = frozenset({"head", "style", "script", "title", "template"})
_BLOCKS: Final = frozenset(
    {"address", "article", "aside", "blockquote", "body", "center", "dd", "div", "dl", "dt", "fieldset", "figure"}
    | {"footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "html", "main", "nav", "ol", "p", "pre"}
    | {"section", "table", "tbody", "tfoot", "thead", "tr", "ul"}
)
_SPACED: Final = frozenset({"p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "table", "blockquote", "hr", "pre"})
_LINKED: Final = ("http://", "https://", "mailto:", "tel:")
_BLANKS: Final = re.compile(r"[ \t\r\n\f\v]+")
_INVISIBLE: Final = re.compile("[\u00ad\u034f\u200b\u200c\u2060\ufeff]")


def plain(html: str) -> str:
    """Reads an HTML text as a person would, top to bottom.

    Paragraphs stay apart, list items get a dash, links keep their address in brackets, images their description.

    Args:
        html: A document or a fragment, however malformed.

    Returns:
        Lines, each ended by a line feed, without blanks at their ends; ``""`` where nothing is to be read.
    """
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.text()


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._lines: list[str] = [""]
        self._unseen = 0
        self._links: list[tuple[str, int, int]] = []

    def text(self) -> str:
        lines = [line.strip() for line in self._lines]
        text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")
        return f"{text}\n" if text else ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in _UNSEEN:
            self._unseen += 1
        elif tag == "br":
            self._lines.append("")
        elif tag == "li":
            self._break()
            self._lines[-1] = "- "
        elif tag in _BLOCKS:
            # A body is seen, even where an author forgot to close the head.
            self._unseen = 0 if tag == "body" else self._unseen
            self._break(blank=tag in _SPACED)
        elif tag in ("td", "th"):
            self._write(" ")
        elif tag == "img":
            self._write(given.get("alt") or "")
        elif tag == "a":
            self._links.append((given.get("href") or "", len(self._lines) - 1, len(self._lines[-1])))

    def handle_endtag(self, tag: str) -> None:
        if tag in _UNSEEN:
            self._unseen = max(0, self._unseen - 1)
        elif tag in _BLOCKS or tag == "li":
            self._break(blank=tag in _SPACED)
        elif tag == "a" and self._links:
            self._end_link(*self._links.pop())

    def handle_data(self, data: str) -> None:
        self._write(_INVISIBLE.sub("", data))

    def _end_link(self, href: str, line: int, column: int) -> None:
        address = href.strip()
        shown = " ".join([self._lines[line][column:], *self._lines[line + 1 :]]).strip()
        bare = address.removeprefix("mailto:").removeprefix("tel:")
        if address.lower().startswith(_LINKED) and bare != shown:
            self._write(f" ({bare})" if shown else bare)

    def _write(self, text: str) -> None:
        if self._unseen:
            return
        text = _BLANKS.sub(" ", text)
        line = self._lines[-1]
        self._lines[-1] = line + (text.lstrip(" ") if not line or line.endswith(" ") else text)

    def _break(self, *, blank: bool = False) -> None:
        if self._lines[-1].strip():
            self._lines.append("")
        if blank and len(self._lines) > 1 and self._lines[-2].strip():
            self._lines.append("")
