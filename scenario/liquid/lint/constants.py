"""The linter of literals: invalid constants, and texts that no header, URL or HTML can contain.

It calls the functions that render, so that the rules exist once. It needs no data.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from liquid.ast import Node
from liquid.builtin.expressions import Filter, KeywordArgument, Nil, StringLiteral
from liquid.builtin.expressions.primitive import FloatLiteral, IntegerLiteral
from liquid.builtin.output import OutputNode
from liquid.exceptions import LiquidError
from liquid.expression import Expression

from scenario.errors import TemplateError
from scenario.http.urls import Access, UrlError, parse
from scenario.liquid.engine.context import LiteralText
from scenario.liquid.engine.nodes import child_nodes
from scenario.liquid.filters import dates
from scenario.liquid.lint.findings import LintedText
from scenario.liquid.sinks.request import SILENT, check_header_value, render_path, render_url
from scenario.mail_limits import MAX_NESTING, MAX_SUBJECT
from scenario.source.findings import clip

_TAG: Final = re.compile(r"<!--.*?(?:-->|\Z)|<(/?)([a-z][^\s/>]*)", re.IGNORECASE | re.DOTALL)
_NESTING: Final = frozenset(
    {"a", "article", "aside", "b", "blockquote", "center", "div", "em", "font", "footer", "header", "i", "main", "nav"}
    | {"ol", "section", "small", "span", "strong", "sub", "sup", "table", "td", "th", "tr", "u", "ul"}
)
_FROM: Final = {"tr": ("table",), "td": ("tr", "table"), "th": ("tr", "table")}
"""Enclosing elements in which such an element closes the open ones."""
_CELLS: Final = ("td", "th", "table")
"""Elements that limit the effect of an end tag."""


def _check_nesting(nodes: Iterable[Node], linted: LintedText, around: Iterable[str] = ()) -> bool:
    """Report the first element that is nested too deeply, and return True if there is one."""
    stack = list(around)
    for node in nodes:
        if not isinstance(node, LiteralText):
            if _check_nesting(child_nodes(node), linted, stack):
                return True
            continue
        for tag in _TAG.finditer(node.text):
            name = (tag[2] or "").lower()
            if name in _NESTING:
                _close_element(stack, name) if tag[1] else _open_element(stack, name)
            if len(stack) > MAX_NESTING:
                message = f"elements are nested more than {MAX_NESTING} levels deep: is one not closed?"
                linted.add("limit", message, node.token.start_index + tag.start())
                return True
    return False


def _open_element(stack: list[str], name: str) -> None:
    if name in _FROM and "table" in stack:
        while stack[-1] not in _FROM[name]:
            stack.pop()
    stack.append(name)


def _close_element(stack: list[str], name: str) -> None:
    for place in range(len(stack) - 1, -1, -1):
        if stack[place] == name:
            del stack[place:]
            return
        if stack[place] in _CELLS and name not in ("table", "tr"):
            return


_SAMPLES: Final[Mapping[str, tuple[object, tuple[object, ...]]]] = {
    "audience_email": ("a@example.com", ("google",)),
    "audience_phone": ("+33612345678", ("google", None)),
    "add": ("2026-03-29", ("1d",)),
    "date": ("2026-03-29T10:00:00+02:00", ("%Y", None, None)),
    "money": (1, ("EUR", "en")),
    "phone_e164": ("+33612345678", (None,)),
    "divided_by": (1, (1,)),
    "modulo": (1, (1,)),
    "number": ("1", ("en",)),
    "subtract": ("2026-03-29", ("1d",)),
}
"""By filter, a valid value and valid replacements for arguments that are not constants."""

_URLS: Final[Mapping[str, Callable[[str, Mapping[str, Any]], str]]] = {"url": render_url, "path": render_path}
_HOST: Final = re.compile(r"https?://([^/?#:]*)")
_PLAIN: Final = Access()
"""The access of a URL without a destination."""
_VALUE: Final = "x"
_SOMETHING: Final = "?x"
"""The replacement of a tag in a URL, which may write a query, a part of the path, or nothing."""
_NO_PART_OF_A_DATE: Final = re.compile(r"[^\d\s:+.,TtZzW-]", re.ASCII)
"""Characters that do not occur in ISO 8601 and therefore make any date invalid."""


def find_constant_problem(applied: Filter, function: Callable[..., Any]) -> str | None:
    """Return a message about a filter's constants, such as an unknown time zone, or None."""
    if applied.name not in _SAMPLES or not applied.args:
        return None
    value, right = _SAMPLES[applied.name]
    given = [argument.value for argument in applied.args if not isinstance(argument, KeywordArgument)]
    arguments = [_constant_or_sample(part, usual) for part, usual in zip(given, right, strict=False)]
    named = {"context": None} if getattr(function, "with_context", False) else {}
    try:
        function(value, *arguments, **named)
    except LiquidError as error:
        return str(error.args[0])
    if applied.name == "date" and arguments and dates.is_literal_format(str(arguments[0])):
        return f"'date' would print '{clip(str(arguments[0]))}': write directives such as '%d/%m/%Y', or 'long'"
    return None


def _constant_or_sample(part: Expression, usual: object) -> object:
    match part:
        case StringLiteral() | IntegerLiteral() | FloatLiteral():
            return part.value
        case Nil():
            return None
        case _:
            return usual


def check_texts(nodes: Sequence[Node], kind: str, linted: LintedText) -> None:
    """Report texts that are not allowed in a header, a URL or a date, whatever the values around them."""
    if kind == "value":
        message = "a date has no text around it: write only the output, such as '{{ reward.expiration_date }}'"
        _report_first(_NO_PART_OF_A_DATE, nodes, linted, "date", message)
    if kind == "html":
        _check_nesting(nodes, linted)
    if kind == "line":
        _check_length(nodes, linted)
    if kind not in ("header", *_URLS):
        return
    if kind in _URLS:
        # A fragment is never sent (RFC 9110 §4.2.5), so deliveries would be rejected.
        message = "a requested URL has no fragment: remove the '#' and the text after it, or write %23"
        _report_first(re.compile("#"), nodes, linted, "url", message)
    written = ""
    for node in nodes:
        match node:
            case OutputNode():
                written += _VALUE
            case LiteralText():
                written += node.text
            case _ if isinstance(node, SILENT):
                continue
            case _ if kind in _URLS:
                written += _SOMETHING
            case _:
                return
    if kind in _URLS:
        written = written.replace("{", "%7B")  # out of a raw block, and sent so
    if "{{" in written or "{%" in written:  # out of a raw block: it would be read as Liquid
        return
    try:
        if kind == "header":
            check_header_value(written)
        else:
            rendered = _URLS[kind](written, {})
            if not _check_host(written, linted):
                _check_refused(rendered, kind, linted)
    except TemplateError as error:
        linted.add("header" if kind == "header" else "url", error.reason, 0)


def _check_length(nodes: Iterable[Node], linted: LintedText) -> None:
    left = MAX_SUBJECT
    for node in nodes:
        if isinstance(node, LiteralText):
            if len(node.text) > left:
                message = f"a subject has at most {MAX_SUBJECT:,} characters"
                linted.add("limit", message, node.token.start_index + left)
                return
            left -= len(node.text)


def _report_first(pattern: re.Pattern[str], nodes: Iterable[Node], linted: LintedText, code: str, message: str) -> None:
    """Report the first literal text that matches."""
    for node in nodes:
        if isinstance(node, LiteralText) and (found := pattern.search(node.text)) is not None:
            linted.add(code, message, node.token.start_index + found.start())
            return


def _check_host(written: str, linted: LintedText) -> bool:
    """Report a host with letters outside of ASCII (RFC 3986 §3.2.2), and return True if it has some."""
    found = _HOST.match(written)
    if found is None or found[1].isascii():
        return False
    try:
        spelt = f", here '{found[1].encode('idna').decode()}'"
    except UnicodeError:
        spelt = ""
    linted.add("url", f"a host is written in ASCII{spelt}", found.start(1))
    return True


def _check_refused(rendered: str, kind: str, linted: LintedText) -> None:
    """Report a URL that no delivery may call, or a path that is invalid for any destination."""
    try:
        parse(rendered if kind == "url" else f"https://destination.example{rendered}", _PLAIN)
    except UrlError as error:
        if not any(found.code == "url" for found in linted.findings):
            hint = "; operators can allow it for a destination: then write 'to' instead of 'url'"
            linted.add("refused-url", f"every delivery is refused: {error}{hint if error.openable else ''}", 0)
