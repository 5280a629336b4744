"""What an author's own HTML comes to, whatever the data: elements nested deeper than an e-mail may have them.

This does not parse HTML: it knows what is certain to nest, so that it gives no false alarm. Rendering finds the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, cast

from liquid import RenderContext
from liquid.ast import Node

from scenario.liquid.engine.sink import Content
from scenario.liquid.lint.findings import Page
from scenario.mail_limits import MAX_NESTING

_NO_CONTEXT: Final = cast("RenderContext", None)
_TAG: Final = re.compile(r"<!--.*?(?:-->|\Z)|<(/?)([a-z][^\s/>]*)", re.IGNORECASE | re.DOTALL)
_NESTING: Final = frozenset(
    {"a", "article", "aside", "b", "blockquote", "center", "div", "em", "font", "footer", "header", "i", "main", "nav"}
    | {"ol", "section", "small", "span", "strong", "sub", "sup", "table", "td", "th", "tr", "u", "ul"}
)
_FROM: Final = {"tr": ("table",), "td": ("tr", "table"), "th": ("tr", "table")}
"""Where such an element stands; what is open inside of it is closed by its beginning."""
_CELLS: Final = ("td", "th", "table")
"""Beyond these an end tag closes nothing."""


def check_nesting(nodes: Iterable[Node], page: Page) -> None:
    """Note the first element that is nested too deeply.

    Args:
        nodes: The template. What is inside of a tag, such as a branch, counts there and not behind it.
        page: Takes what is wrong.
    """
    _check(nodes, [], page)


def _check(nodes: Iterable[Node], around: list[str], page: Page) -> bool:
    stack = list(around)
    for node in nodes:
        if not isinstance(node, Content):
            if _check(node.children(_NO_CONTEXT, include_partials=False), stack, page):
                return True
            continue
        for tag in _TAG.finditer(node.text):
            name = (tag[2] or "").lower()
            if name in _NESTING:
                _end(stack, name) if tag[1] else _begin(stack, name)
            if len(stack) > MAX_NESTING:
                message = f"elements are nested more than {MAX_NESTING} levels deep: is one not closed?"
                page.add("limit", message, node.token.start_index + tag.start())
                return True
    return False


def _begin(stack: list[str], name: str) -> None:
    if name in _FROM and "table" in stack:
        while stack[-1] not in _FROM[name]:
            stack.pop()
    stack.append(name)


def _end(stack: list[str], name: str) -> None:
    for place in range(len(stack) - 1, -1, -1):
        if stack[place] == name:
            del stack[place:]
            return
        if stack[place] in _CELLS and name not in ("table", "tr"):
            return
