"""The state of one rendering: its variables, its budget and its output.

Buffers of output distinguish a template's literal text from data: ``literal`` takes the template's own text, ``value``
the value of an output, and ``write`` the output of other tags, which counts as data by default. Branches, loops and
captures therefore need no analysis.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from io import StringIO
from typing import Any, Final, TextIO, cast

from liquid import BoundTemplate, RenderContext
from liquid.builtin.content import ContentNode, Literal
from liquid.expression import Expression
from liquid.token import Token
from liquid.undefined import UNDEFINED
from liquid.utils import ReadOnlyChainMap
from markupsafe import escape

from scenario.liquid.engine.access import OPEN_NAMES, Open, open_value
from scenario.liquid.engine.limits import MAX_LOCALS, MAX_OUTPUT, BoundReached, Budget, size_limit
from scenario.liquid.engine.values import to_text
from scenario.type_guards import is_mapping

_empty_outputs: Final[ContextVar[list[Expression] | None]] = ContextVar("empty outputs", default=None)


@contextmanager
def record_empty_outputs() -> Generator[list[Expression]]:
    """Record the expressions of all outputs that print nothing, or null in JSON, while templates are rendered."""
    recorded: list[Expression] = []
    token = _empty_outputs.set(recorded)
    try:
        yield recorded
    finally:
        _empty_outputs.reset(token)


def note_empty_output(expression: Expression) -> None:
    """Note an output that printed nothing, while they are recorded."""
    if (recorded := _empty_outputs.get()) is not None:
        recorded.append(expression)


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


class Context(RenderContext):
    """A rendering context with a budget and without a clock.

    python-liquid's context reads ``now`` and ``today`` from the machine's clock. Here they are ordinary variables.
    """

    __slots__ = ("_room", "_weights", "budget")

    def __init__(self, template: BoundTemplate, **options: Any) -> None:
        super().__init__(template, **options)
        self.scope = ReadOnlyChainMap(self.locals, self.globals, self.counters)  # without python-liquid's clock
        self._weights: dict[str, int] = {}
        self.budget = Budget()
        self._room = MAX_LOCALS

    def assign(self, key: str, val: Any) -> None:
        # Updated incrementally: python-liquid measures all variables at each assignment.
        weight = len(val) if isinstance(val, str | list | tuple | dict) else 1  # pyright: ignore[reportUnknownArgumentType]
        self._room += self._weights.get(key, 0) - weight
        if self._room < 0:
            raise BoundReached(f"the template's variables hold more than {MAX_LOCALS:,} characters")
        name = str(key)  # python-liquid's name type compares in Python, which is slow
        self._weights[name] = weight
        self.locals[name] = val

    def get_buffer(self, buf: TextIO | None = None) -> StringIO:
        """Return a sink for output that a tag captures.

        In HTML the captured text is markup from then on, so this sink escapes its values.
        """
        carried = buf.size if isinstance(buf, Sink) else 0
        return cast("StringIO", HtmlSink(carried) if self.autoescape else Sink(carried))

    def get(self, path: list[object], *, token: Token | None, default: object = UNDEFINED) -> object:
        """Resolve a path by the rules of ``access``. A missing key gives a value that represents it."""
        root, *keys = path
        try:
            found: object = self.scope[root]  # pyright: ignore[reportArgumentType]
            if root in OPEN_NAMES:
                found = open_value(found)
            for key in keys:
                found = self.get_item(found, key)
        except (KeyError, TypeError, IndexError):
            return self.missing(path, token)
        return found

    def missing(self, path: Sequence[object], token: Token | None) -> object:
        root = path[0]
        name = root if isinstance(root, str) else "a variable"
        # Only literal keys: evaluated ones are data.
        spelled = token.value if token is not None else name
        hint = f"there is no '{_find_spelling(token) or spelled}'" if token is not None else None
        return self.env.undefined(name, obj=tuple(path), hint=hint, token=token)

    def get_item(self, obj: Any, key: Any) -> Any:
        """Return one item or field of a value, including ``size``, ``first`` and ``last``, or raise a lookup error."""
        if obj is None:
            return None
        if is_mapping(obj):
            return _get_mapping_item(obj, key)
        if isinstance(obj, str):
            if key == "size":
                return len(obj)
            raise TypeError("a text has no fields")
        if isinstance(obj, Sequence):
            items = cast("Sequence[Any]", obj)
            match key:
                case "size":
                    # Not len(), which fails for ranges longer than a machine word.
                    return max(obj.stop - obj.start, 0) if isinstance(obj, range) else len(items)
                case "first":
                    return items[0]
                case "last":
                    return items[-1]
                case int() if not isinstance(key, bool):
                    return items[key]
                case _:
                    raise TypeError("a list has no fields")
        raise TypeError("a value without fields")


def _get_mapping_item(mapping: Mapping[Any, Any], key: Any) -> Any:
    if key in mapping:
        found = mapping[key]
        return open_value(found) if key in OPEN_NAMES else found
    if key == "size":
        return len(mapping)
    if key == "first" and mapping:
        return next(iter(mapping.items()))
    if isinstance(mapping, Open):
        return None
    raise KeyError(key)


def _find_spelling(token: Token | None) -> str:
    """Return the path in the template's own spelling."""
    if token is None or token.start_index < 0:
        return ""
    source, start = token.source, token.start_index
    end, depth = start, 0
    while end < len(source):
        character = source[end]
        if character == "[":
            depth += 1
        elif character == "]":
            depth -= 1
        elif not depth and not (character.isalnum() or character in "_.-?"):
            break
        if depth < 0:
            break
        end += 1
    return source[start:end].strip()
