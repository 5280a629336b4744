"""Where a template writes: buffers that tell its own text from data.

A template's literal text arrives by ``literal``, the value of an output by ``value``, and what other tags write by
``write``. So each sink can treat data as data, wherever it comes from: branches, loops, captures and partials need no
analysis. ``write`` counts as data unless a sink says otherwise.
"""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING

from liquid.token import Token
from markupsafe import escape

from scenario.liquid.bounds import MAX_OUTPUT, BoundReached
from scenario.liquid.values import to_text

if TYPE_CHECKING:
    from scenario.liquid.nodes import Content


class Sink(StringIO):
    """A plain text, limited to ``MAX_OUTPUT`` characters.

    Unlike python-liquid's limited buffer it leaves CR and CRLF alone and takes lone surrogates.

    Attributes:
        size: Characters written so far, by this sink and those that it carries on from.
    """

    __slots__ = ("size",)

    def __init__(self, carried: int = 0) -> None:
        super().__init__()
        self.size = carried

    def put(self, text: str) -> int:
        """Append text as it is.

        Raises:
            BoundReached: That is more than ``MAX_OUTPUT`` characters.
        """
        self.size += len(text)
        if self.size > MAX_OUTPUT:
            raise BoundReached(f"the template writes more than {MAX_OUTPUT:,} characters")
        return StringIO.write(self, text)

    def write(self, text: str, /) -> int:
        """Take what a tag writes by itself, as ``cycle`` and ``increment`` do."""
        return self.put(text)

    def literal(self, node: Content) -> int:
        """Take the template's own text."""
        return self.put(node.text)

    def value(self, value: object, token: Token) -> int:
        """Take the value of an output.

        Args:
            value: The value.
            token: The output, for error positions.
        """
        return self.put(value if type(value) is str else to_text(value))


class HtmlSink(Sink):
    """HTML whose outputs are escaped, but for text that a filter or a capture made safe."""

    __slots__ = ()

    def value(self, value: object, token: Token) -> int:
        """Take the value of an output, with ``& < > " '`` escaped."""
        if not hasattr(value, "__html__"):
            value = to_text(value)
        return self.put(str(escape(value)))


class Nowhere(Sink):
    """What a block of nothing but blanks writes to: its tags run, its blanks are dropped, as in Shopify's Liquid."""

    __slots__ = ()

    def put(self, text: str) -> int:
        """Drop the text."""
        return 0
