"""The state of one rendering: variables, what is left of its bounds, and how data is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from io import StringIO
from typing import Any, TextIO, cast

from liquid import BoundTemplate, RenderContext
from liquid.token import Token
from liquid.undefined import UNDEFINED
from liquid.utils import ReadOnlyChainMap

from scenario.liquid.engine.access import OPEN_NAMES, Open, opened
from scenario.liquid.engine.limits import MAX_LOCALS, BoundReached, Budget
from scenario.liquid.engine.sink import HtmlSink, Sink


class Context(RenderContext):
    """A rendering context that has a budget and no clock.

    python-liquid's own context knows ``now`` and ``today`` from the machine's clock. Here they are variables like any
    other: a template is a pure function of its text and its data.
    """

    __slots__ = ("_room", "_weights", "budget")

    def __init__(self, template: BoundTemplate, **options: Any) -> None:
        super().__init__(template, **options)
        self.scope = ReadOnlyChainMap(self.locals, self.globals, self.counters)  # without python-liquid's clock
        self._weights: dict[str, int] = {}
        parent = self.parent_context
        if isinstance(parent, Context):
            self.budget = parent.budget
            self._room = parent._room
        else:
            self.budget = Budget()
            self._room = MAX_LOCALS

    def assign(self, key: str, val: Any) -> None:
        """Set a variable of the template.

        Raises:
            BoundReached: The template's variables hold more than ``MAX_LOCALS``.
        """
        # Counted as it changes: python-liquid measures all variables at each assignment.
        weight = len(cast("Sized", val)) if isinstance(val, str | list | tuple | dict) else 1
        self._room += self._weights.get(key, 0) - weight
        if self._room < 0:
            raise BoundReached(f"the template's variables hold more than {MAX_LOCALS:,} characters")
        name = str(key)  # python-liquid's names compare themselves in Python
        self._weights[name] = weight
        self.locals[name] = val

    def raise_for_loop_limit(self, length: int = 1) -> None:
        """Count the rounds of all loops that are inside of one another.

        Raises:
            LoopIterationLimitError: There are too many.
        """
        # A single loop is most of them, and a short one no reason to multiply.
        if self.loops or length * self.loop_iteration_carry > (self.env.loop_iteration_limit or 0):
            super().raise_for_loop_limit(length)

    def get_size_of_locals(self) -> int:
        """Nothing: ``assign`` does its own counting."""
        return 0

    def get_buffer(self, buf: TextIO | None = None) -> StringIO:
        """A sink for a part of the output that a tag keeps to itself, such as ``capture``.

        In HTML what is captured is markup from then on, so that values are escaped on their way in.
        """
        carried = buf.size if isinstance(buf, Sink) else 0
        return cast("StringIO", HtmlSink(carried) if self.autoescape else Sink(carried))

    def get(self, path: list[object], *, token: Token | None, default: object = UNDEFINED) -> object:
        """Resolve a path by the rules of ``access``.

        Args:
            path: The variable and the keys below it, evaluated.
            token: Where the path is, for messages.
            default: What a missing key gives; by default one of the ``missing`` types.
        """
        root, *keys = path
        try:
            found: object = self.scope[cast("str", root)]
        except (KeyError, TypeError):
            return self.missing(path, token) if default is UNDEFINED else default
        if root in OPEN_NAMES:
            found = opened(found)
        for key in keys:
            try:
                found = self.get_item(found, key)
            except (KeyError, TypeError, IndexError):
                return self.missing(path, token) if default is UNDEFINED else default
        return found

    def missing(self, path: Sequence[object], token: Token | None) -> object:
        """What stands for a path that leads nowhere."""
        root = path[0]
        name = root if isinstance(root, str) else "a variable"
        # Only keys that the template itself spells out: others are data.
        spelled = token.value if token is not None else name
        hint = f"there is no '{_written(token) or spelled}'" if token is not None else None
        return self.env.undefined(name, obj=tuple(path), hint=hint, token=token)

    def get_item(self, obj: Any, key: Any) -> Any:
        """One key of one value, with Liquid's ``size``, ``first`` and ``last``.

        Raises:
            KeyError, IndexError, TypeError: There is no such thing.
        """
        if obj is None:
            return None
        if isinstance(obj, Mapping):
            return _mapping_item(cast("Mapping[Any, Any]", obj), key)
        if isinstance(obj, str):
            if key == "size":
                return len(obj)
            raise TypeError("a text has no fields")
        if isinstance(obj, Sequence):
            items = cast("Sequence[Any]", obj)
            match key:
                case "size":
                    # Not len() of a range: it fails where there are more numbers than a machine word can count.
                    return max(obj.stop - obj.start, 0) if isinstance(obj, range) else len(items)
                case "first":
                    return items[0]
                case "last":
                    return items[-1]
                case _:
                    return items[_index(key)]
        raise TypeError("a value without fields")


def _mapping_item(mapping: Mapping[Any, Any], key: Any) -> Any:
    if key in mapping:
        found = mapping[key]
        return opened(found) if key in OPEN_NAMES else found
    if key == "size":
        return len(mapping)
    if key == "first" and mapping:
        return next(iter(mapping.items()))
    if isinstance(mapping, Open):
        return None
    raise KeyError(key)


def _index(key: Any) -> int:
    if isinstance(key, int) and not isinstance(key, bool):
        return key
    raise TypeError("a list has no fields")


def _written(token: Token | None) -> str:
    """The path as the template writes it: from its token on, as far as a path goes."""
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
