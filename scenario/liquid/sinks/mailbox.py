"""Senders and reply addresses: ``Name <address>``, in which data cannot end the name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from liquid.token import Token

from scenario.liquid.engine.context import LiteralText, Sink
from scenario.liquid.engine.environment import text_engine
from scenario.liquid.engine.values import to_text
from scenario.liquid.sinks.text import one_line, render_into

_SPECIAL: Final = re.compile(r'[\\"]')


def _quote(text: str) -> str:
    return _SPECIAL.sub(r"\\\g<0>", text)


class MailboxSink(Sink):
    """An unfinished ``Name <address>``. Outputs in a quoted name are escaped (RFC 5322 §3.2.4).

    A name with data and without quotes is quoted when the template's own ``<`` ends it. Without such a ``<``, the data
    may be a whole ``Name <address>``, and stay unchanged.
    """

    __slots__ = ("_has_data", "_in_address", "_in_quotes", "_is_blank", "_is_quoted")

    def __init__(self, carried: int = 0) -> None:
        super().__init__(carried)
        self._has_data = self._in_address = self._in_quotes = self._is_quoted = False
        self._is_blank = True

    def literal(self, node: LiteralText) -> int:
        return sum(self._literal(part) for part in re.findall(r'\\.|["<]|[^"<\\]+|\\', node.text, re.DOTALL))

    def _literal(self, part: str) -> int:
        if self._in_quotes:
            self._in_quotes = part != '"'
        elif part == '"' and self._is_blank:
            self._in_quotes = self._is_quoted = True
        elif part == "<" and not self._in_address:
            self._in_address = True
            if self._has_data and not self._is_quoted:
                self._quote_name()
        return self.put(part)

    def _quote_name(self) -> None:
        name = self.getvalue().strip()
        self._parts.clear()
        self.put(f'"{_quote(name)}" ')

    def put(self, text: str) -> int:
        self._is_blank = self._is_blank and not text.strip()
        return super().put(text)

    def value(self, value: object, token: Token) -> int:
        return self.write(to_text(value))

    def write(self, text: str, /) -> int:
        self._has_data = True
        return self.put(_quote(text) if self._in_quotes else text)


def render_mailbox(source: str, data: Mapping[str, Any]) -> str:
    """Render a sender or reply address, which is one line for any data. Raises as ``render_text`` does."""
    return one_line(render_into(text_engine, source, data, MailboxSink()).getvalue())
