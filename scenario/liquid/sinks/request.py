"""URLs with a literal destination, and header fields that cannot leave their line.

Scheme, host and port must be plain text in the template, so that data cannot redirect a request. Values are
percent-encoded, so that they cannot add a segment, a parameter or a fragment. A path segment that data leave empty is
rejected, since ``/contacts/{{ contact.id }}`` without an id would address all contacts. A segment that a branch or loop
omits between two slashes is rejected as well.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any, Final

from liquid.ast import Node
from liquid.builtin.tags.assign_tag import AssignNode
from liquid.builtin.tags.capture_tag import CaptureNode
from liquid.builtin.tags.comment_tag import CommentNode
from liquid.exceptions import LiquidTypeError
from liquid.token import Token

from scenario.errors import TemplateError
from scenario.http.destinations import MAX_VALUE, denied_header
from scenario.http.urls import is_dotted
from scenario.liquid.engine.context import LiteralText, Sink
from scenario.liquid.engine.environment import ParsedTemplate, TemplateCache, strict_engine
from scenario.liquid.engine.errors import make_error
from scenario.liquid.engine.values import PercentEncoded, replace_surrogates, to_text
from scenario.liquid.sinks.text import parse_template, render_into

_ORIGIN: Final = re.compile(r"https?://(?:[\w.-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?(?=[/?#]|\Z)")
_USER: Final = re.compile(r"https?://[^/?#]*@")
_LAST_PORT: Final = 65535
_LITERAL: Final = "/:?#[]@!$&'()*+,;=%-._~"
_DROPPED: Final = str.maketrans("", "", "\r\n\t")

SILENT: Final = (AssignNode, CaptureNode, CommentNode)

_shapes: Final = TemplateCache[str]()


class UrlSink(Sink):
    """An unfinished URL that records the positions of data.

    Attributes:
        data: The index and the token of each value.
        seams: The index of each ``//`` that two pieces of text form, and the second one's index in the template. A
            branch or loop omitted the part between them.
    """

    __slots__ = ("data", "seams")

    def __init__(self, carried: int = 0) -> None:
        super().__init__(carried)
        self.data: list[tuple[int, Token | None]] = []
        self.seams: list[tuple[int, Token]] = []

    def literal(self, node: LiteralText) -> int:
        # Line breaks are removed, as browsers do, since YAML may fold a long URL.
        text = node.text.translate(_DROPPED)
        if not text:
            return 0  # so that the last piece is the last visible one
        if text.startswith("/") and self._parts and self._parts[-1].endswith("/"):
            self.seams.append((self.size, node.token))
        return self.put(urllib.parse.quote(replace_surrogates(text), safe=_LITERAL + " "))

    def value(self, value: object, token: Token) -> int:
        return self._encoded(value, token)

    def write(self, text: str, /) -> int:
        return self._encoded(text, None)

    def _encoded(self, value: object, token: Token | None) -> int:
        is_encoded = isinstance(value, PercentEncoded)
        text = value if is_encoded else urllib.parse.quote(replace_surrogates(to_text(value)), safe="")
        self.data.append((self.size, token))
        return self.put(text)


def _check_segments(sink: UrlSink, path_start: int, source: str) -> str:
    """Return the finished URL. Segments that are dotted, or empty because of data, are rejected."""
    url = sink.getvalue()
    leading = len(url) - len(url.lstrip(" "))
    if " " in url.strip(" "):
        raise make_error("a URL cannot contain a space", source, 0)
    path_start += leading
    query = re.search(r"[?#]", url[path_start:])
    path_end = path_start + query.start() if query else len(url)
    for start, token in sink.data:
        begin = url.rfind("/", path_start, start) + 1 or path_start
        end = url.find("/", start, path_end)
        segment = url[begin : path_end if end == -1 else end].strip(" ")
        if start <= path_end and (not segment or is_dotted(f"/{segment}")):
            offset = token.start_index if token is not None else 0
            raise make_error("this value leaves a part of the URL's path empty, '.' or '..'", source, offset)
    for start, token in sink.seams:
        if start < path_end:
            raise make_error("the part of the URL's path before this is empty", source, token.start_index)
    if is_dotted(f"/{url[path_start:path_end].strip(' ')}"):
        raise make_error("a URL's path cannot have '.' or '..' as a part", source, 0)
    return url.strip(" ")


def _first_text(parsed: ParsedTemplate) -> tuple[LiteralText | None, list[Node]]:
    """Return the leading text of a template, unless an output comes before it, and the nodes after it."""
    for index, node in enumerate(parsed.nodes):
        if isinstance(node, LiteralText) and node.text.strip():
            return node, parsed.nodes[index + 1 :]
        if not isinstance(node, (*SILENT, LiteralText)):
            break
    return None, []


def find_origin(source: str) -> str:
    """Return the scheme, host and port of a URL template, such as ``https://hooks.example.com``."""
    return _shapes.get(source, len(source), lambda: _origin(source))


def _origin(source: str) -> str:
    parsed = parse_template(strict_engine, source)
    first, after = _first_text(parsed)
    if first is None:
        reason = "a URL starts with its scheme and host as plain text, as in https://hooks.example.com/"
        raise make_error(reason, source, 0)
    text = first.text.lstrip()
    found = _ORIGIN.match(text)
    if found is None:
        reason = "a URL starts with https:// and a host, as plain text, followed by '/'"
        if _USER.match(text):
            reason = "a URL cannot contain a user name: put credentials into a header"
        raise make_error(reason, source, first.token.start_index)
    if int(found["port"] or 0) > _LAST_PORT:
        raise make_error(f"a port is a number up to {_LAST_PORT}", source, first.token.start_index)
    if found.end() == len(text.rstrip("\r\n\t ")) and any(not isinstance(node, LiteralText) for node in after):
        reason = "a URL's host is plain text: put a '/' after it"
        raise make_error(reason, source, first.token.start_index + len(first.text))
    return found[0]


def render_url(source: str, data: Mapping[str, Any]) -> str:
    """Render a URL, in ASCII except for its host."""
    return _render_cached(_url, source, data)


def _render_cached(rendered: Callable[[str, Mapping[str, Any]], str], source: str, data: Mapping[str, Any]) -> str:
    """Render a template. Plain text is rendered only once."""
    if "{" in source:
        return rendered(source, data)
    return _shapes.get((rendered, source), len(source), lambda: rendered(source, data))


def _url(source: str, data: Mapping[str, Any]) -> str:
    start = find_origin(source)
    sink = render_into(strict_engine, source, data, UrlSink())
    plain = urllib.parse.quote(start, safe=_LITERAL)
    url = _check_segments(sink, len(plain), source)
    if not url.startswith(plain) or not re.match(r"[/?#]|\Z", url[len(plain) :]):
        raise make_error("the URL's scheme, host and port must be literal in the template", source, 0)
    return start + url[len(plain) :]


def check_path(source: str) -> None:
    _shapes.get(("path", source), len(source), lambda: _path_shape(source))


def _path_shape(source: str) -> str:
    parsed = parse_template(strict_engine, source)
    first, _ = _first_text(parsed)
    if first is not None and (first.text.lstrip().startswith("//") or _ORIGIN.match(first.text.lstrip())):
        reason = "a path continues the destination's URL: write /orders, not https://… or //…"
        raise make_error(reason, source, first.token.start_index)
    return source


def render_path(source: str, data: Mapping[str, Any]) -> str:
    """Render a path below a destination's base URL, with an optional query. Raises as ``render_url`` does.

    The path starts with ``/`` unless it is empty or only a query.
    """
    return _render_cached(_path, source, data)


def _path(source: str, data: Mapping[str, Any]) -> str:
    check_path(source)
    sink = render_into(strict_engine, source, data, UrlSink())
    path = _check_segments(sink, 0, source)
    if path.startswith("//"):
        raise make_error("a path cannot start with '//'", source, 0)
    return path if not path or path[0] in "/?#" else f"/{path}"


_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VISIBLE: Final = re.compile(r"[\t\x20-\x7e]*")


def check_header_name(name: str) -> None:
    """Reject a name that is malformed (RFC 9110 §5.6.2) or reserved."""
    if not _TOKEN.fullmatch(name):
        raise TemplateError("a header's name is made of letters, digits and '-'")
    if denied_header(name):
        raise TemplateError(f"the header '{name}' cannot be set by a scenario: remove it")


def check_header_value(value: str, source: str = "") -> None:
    """Reject a value that could end its line or that HTTP cannot carry (RFC 9110 §5.5)."""
    if not _VISIBLE.fullmatch(value):
        reason = "a header's value contains a line break, a control character or a character that is not ASCII"
    elif value != value.strip(" \t"):
        reason = "a header's value starts or ends with a space: is one of its parts empty?"
    elif len(value) > MAX_VALUE:
        reason = f"a header's value is longer than {MAX_VALUE} characters"
    else:
        return
    raise make_error(reason, source, 0)


class HeaderSink(Sink):
    """A header's value. Each output is checked when it is written, so that errors have positions."""

    __slots__ = ()

    def value(self, value: object, token: Token) -> int:
        text = to_text(value)
        if not _VISIBLE.fullmatch(text):
            reason = "this value has a line break, a control character or a character that is not ASCII"
            raise LiquidTypeError(f"{reason}, which a header cannot contain", token=token)
        return self.put(text)


def render_header(source: str, data: Mapping[str, Any]) -> str:
    """Render a header's value: visible ASCII, stripped of spaces."""
    value = render_into(strict_engine, source, data, HeaderSink()).getvalue()
    check_header_value(value, source)
    return value
