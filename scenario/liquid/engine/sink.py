"""Output buffers that distinguish a template's literal text from data.

``literal`` takes the template's own text, ``value`` the value of an output, and ``write`` the output of other tags,
which counts as data by default. Branches, loops and captures therefore need no analysis.
"""

from __future__ import annotations

from liquid import RenderContext
from liquid.builtin.content import ContentNode, Literal
from liquid.token import Token
from markupsafe import escape

from scenario.liquid.engine.limits import MAX_OUTPUT, BoundReached, size_limit
from scenario.liquid.engine.values import to_text


class Sink:
    """A plain text of at most ``MAX_OUTPUT`` characters.

    python-liquid needs only ``write`` and ``getvalue`` of its buffers. Unlike its own limited buffer, this one keeps CR
    and CRLF and accepts lone surrogates.

    Attributes:
        size: Characters written by this sink and the sinks that it continues.
    """

    __slots__ = ("_append", "_parts", "size")

    def __init__(self, carried: int = 0) -> None:
        self.size = carried
        self._parts: list[str] = []
        self._append = self._parts.append

    def getvalue(self) -> str:
        return "".join(self._parts)

    def put(self, text: str) -> int:
        """Append text unchanged, and return its length."""
        length = len(text)
        self.size += length
        if self.size > MAX_OUTPUT and self.size > (most := size_limit(MAX_OUTPUT)):
            raise BoundReached(f"the template writes more than {most:,} characters")
        self._append(text)
        return length

    def write(self, text: str, /) -> int:
        """Write the output of a tag such as ``cycle`` and ``increment``."""
        return self.put(text)

    def literal(self, node: LiteralText) -> int:
        return self.put(node.text)

    def value(self, value: object, token: Token) -> int:
        return self.put(value if type(value) is str else to_text(value))


class HtmlSink(Sink):
    """HTML with escaped outputs, except text that a filter or a capture marked as safe."""

    __slots__ = ()

    def value(self, value: object, token: Token) -> int:
        if not hasattr(value, "__html__"):
            value = to_text(value)
        return self.put(str(escape(value)))


class DiscardingSink(Sink):
    """The sink of a block of whitespace and tags: the tags run, the whitespace is discarded, as in Shopify's Liquid."""

    __slots__ = ()

    def put(self, text: str) -> int:
        return 0


class LiteralText(ContentNode):
    """The template's own text."""

    __slots__ = ()

    # Every buffer is a Sink. A cast at run time would cost a tenth of a rendering.
    def render_to_output(self, _: RenderContext, buffer: Sink) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        return buffer.literal(self)

    # python-liquid's version checks if the tag is disabled, which does not apply to text.
    render = render_to_output  # pyright: ignore[reportAssignmentType]


class LiteralTextTag(Literal):
    """Parses text."""

    node_class = LiteralText
