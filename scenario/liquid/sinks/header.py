"""Header fields of requests. Reserved names are rejected, and values cannot leave their line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from liquid.exceptions import LiquidTypeError
from liquid.token import Token

from scenario.errors import TemplateError
from scenario.http.headers import MAX_VALUE, denied
from scenario.liquid.engine.environment import strict_engine
from scenario.liquid.engine.errors import make_error
from scenario.liquid.engine.sink import Sink
from scenario.liquid.engine.values import to_text
from scenario.liquid.sinks.text import render_into

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VISIBLE: Final = re.compile(r"[\t\x20-\x7e]*")


def check_header_name(name: str) -> None:
    """Reject a name that is malformed (RFC 9110 §5.6.2) or reserved."""
    if not _TOKEN.fullmatch(name):
        raise TemplateError("a header's name is made of letters, digits and '-'")
    if denied(name):
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
    sink = HeaderSink()
    render_into(strict_engine, source, data, sink)
    check_header_value(value := sink.getvalue(), source)
    return value
