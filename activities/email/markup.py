"""Makes the plain text of an e-mail's HTML, and inlines its styles.

Only the child process of `activities.email.sandbox` may import this module: it loads parsers in C and Rust.
"""

from __future__ import annotations

import json
import os
import re
from typing import Final

import css_inline
from selectolax.lexbor import LexborHTMLParser, LexborNode, SelectolaxError

from activities.email.sandbox import MEGABYTES, SECONDS
from runtime.process.sandboxed import answer_requests
from scenario.errors import LimitExceeded, TemplateError
from scenario.mail_limits import MAX_NESTING, MAX_PART

_NOT_INLINED: Final = "the styles cannot be inlined"
_INLINER: Final = css_inline.CSSInliner(
    load_remote_stylesheets=False,
    # Media queries and hover states cannot be inlined, and readers that know them read the style element.
    keep_style_tags=True,
    keep_link_tags=True,
)


def inlined(html: str) -> str:
    """Copy the rules of style elements to the elements they apply to, for mail clients that ignore style elements.

    Nothing is fetched. HTML without a style element is returned unchanged. It recurses, so the nesting must be limited.
    Raise TemplateError if the styles cannot be inlined, or the result is too large.
    """
    if "<style" not in html.lower():
        return html
    try:
        made = _INLINER.inline(html)
    except css_inline.InlineError:
        raise TemplateError(_NOT_INLINED) from None
    except Exception:
        raise
    except BaseException:  # a panic in Rust is not an Exception
        raise TemplateError(_NOT_INLINED) from None
    if len(made) > MAX_PART:
        raise LimitExceeded(f"with its styles inlined it has more than {MAX_PART:,} characters")
    return made


def serve() -> None:
    answer_requests(_answer, megabytes=MEGABYTES, cpu_seconds=SECONDS)


def _answer(html: bytes) -> bytes:
    try:
        text = html.decode()
        made = {"text": plain(text), "html": inlined(text)}
    except SelectolaxError:
        os.abort()  # as the parsers do themselves
    except TemplateError as error:
        made = {"reason": error.reason}
    return json.dumps(made, ensure_ascii=False).encode()


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
    """Return the text of HTML, however malformed, in reading order.

    Paragraphs are separated, list items get a dash, links keep their URL in brackets, images their description. Lines
    end with a line feed, without trailing blanks. Raise LimitExceeded if it is nested too deeply or too long.
    """
    reader = _TextReader()
    node, depth = LexborHTMLParser(html).root, 1
    # Nodes are never compared: the parser would compare their HTML.
    while node is not None:
        if depth > MAX_NESTING and node.is_element_node:
            raise LimitExceeded(f"elements are nested more than {MAX_NESTING} levels deep: is one not closed?")
        reader.begin(node)
        if (below := node.child) is not None:
            node, depth = below, depth + 1
            continue
        reader.end(node)
        while (beside := node.next) is None and depth > 1 and (above := node.parent) is not None:
            node, depth = above, depth - 1
            reader.end(node)
        node = beside if depth > 1 else None
    return reader.text()


class _TextReader:
    """Collects lines in pieces, to avoid copying a growing text."""

    def __init__(self) -> None:
        self._lines: list[list[str]] = [[]]
        self._length = 0
        self._unseen = 0
        self._links: list[tuple[int, int]] = []

    def text(self) -> str:
        lines = ["".join(line).strip() for line in self._lines]
        text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")
        return f"{text}\n" if text else ""

    def begin(self, node: LexborNode) -> None:
        tag = node.tag or ""
        if tag == "-text":
            self._write(_INVISIBLE.sub("", node.text_content or ""))
        elif tag in _UNSEEN:
            self._unseen += 1
        elif tag == "br":
            self._lines.append([])
        elif tag == "li":
            self._break()
            self._lines[-1] = ["- "]
        elif tag in _BLOCKS:
            self._break(blank=tag in _SPACED)
        elif tag in ("td", "th"):
            self._write(" ")
        elif tag == "img":
            self._write(node.attributes.get("alt") or "")
        elif tag == "a":
            self._links.append((len(self._lines) - 1, len(self._lines[-1])))

    def end(self, node: LexborNode) -> None:
        tag = node.tag or ""
        if tag in _UNSEEN:
            self._unseen -= 1
        elif tag in _BLOCKS or tag == "li":
            self._break(blank=tag in _SPACED)
        elif tag == "a":
            self._end_link(node.attributes.get("href") or "", *self._links.pop())

    def _end_link(self, href: str, line: int, piece: int) -> None:
        address = href.strip()
        lines = [self._lines[line][piece:], *self._lines[line + 1 :]]
        shown = " ".join("".join(pieces) for pieces in lines).strip()
        bare = address.removeprefix("mailto:").removeprefix("tel:")
        if address.lower().startswith(_LINKED) and bare != shown:
            self._write(f" ({bare})" if shown else bare)

    def _write(self, text: str) -> None:
        if self._unseen:
            return
        text, line = _BLANKS.sub(" ", text), self._lines[-1]
        if not line or line[-1].endswith(" "):
            text = text.removeprefix(" ")
        if text:
            line.append(text)
            # A few letters may repeat a long address: a link that is not closed begins again in each paragraph.
            self._length += len(text)
            if self._length > MAX_PART:
                raise LimitExceeded(f"as plain text it has more than {MAX_PART:,} characters")

    def _break(self, *, blank: bool = False) -> None:
        if _seen(self._lines[-1]):
            self._lines.append([])
        else:
            self._lines[-1].clear()
        if blank and len(self._lines) > 1 and _seen(self._lines[-2]):
            self._lines.append([])


def _seen(line: list[str]) -> bool:
    return any(piece.strip() for piece in line)
