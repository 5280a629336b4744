"""Where a template writes: buffers that tell its own text from data.

A template's literal text arrives by ``literal``, the value of an output by ``value``, and what other tags write by
``write``. So each sink can treat data as data, wherever it comes from: branches, loops, captures and partials need no
analysis. ``write`` counts as data unless a sink says otherwise.
"""

from __future__ import annotations

from liquid import RenderContext
from liquid.builtin.content import ContentNode, Literal
from liquid.token import Token
from markupsafe import escape

from scenario.liquid.engine.limits import MAX_OUTPUT, BoundReached
from scenario.liquid.engine.values import to_text


class Sink:
    """A plain text, limited to ``MAX_OUTPUT`` characters.

    python-liquid asks of its buffers nothing but ``write`` and ``getvalue``. Unlike its own limited buffer this one
    leaves CR and CRLF alone and takes lone surrogates.

    Attributes:
        size: Characters written so far, by this sink and those that it carries on from.
    """

    __slots__ = ("_append", "_parts", "size")

    def __init__(self, carried: int = 0) -> None:
        self.size = carried
        self._parts: list[str] = []
        self._append = self._parts.append

    def getvalue(self) -> str:
        """All that was written."""
        return "".join(self._parts)

    def put(self, text: str) -> int:
        """Append text as it is.

        Returns:
            Its number of characters.

        Raises:
            BoundReached: That is more than ``MAX_OUTPUT`` characters.
        """
        length = len(text)
        self.size += length
        if self.size > MAX_OUTPUT:
            raise BoundReached(f"the template writes more than {MAX_OUTPUT:,} characters")
        self._append(text)
        return length

    def write(self, text: str, /) -> int:
        """Take what a tag writes by itself, as ``cycle`` and ``increment`` do."""
        return self.put(text)

    def literal(self, node: Content) -> int:
        """Take the template's own text."""
        return self.put(node.text)

    def value(self, value: object, token: Token) -> int:
        """Take the value of an output."""
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


class Content(ContentNode):
    """The template's own text."""

    __slots__ = ()

    # Every buffer is a sink of ours; a cast at run time would cost a tenth of a rendering.
    def render_to_output(self, _: RenderContext, buffer: Sink) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Hand the text to the sink as what it is: not data."""
        return buffer.literal(self)

    # python-liquid asks here whether the tag is disabled: text is not a tag.
    render = render_to_output  # pyright: ignore[reportAssignmentType]


class ContentTag(Literal):
    """Parses text."""

    node_class = Content
