"""What a condition compares its data with: the values that make it come out one way or the other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from liquid.builtin.expressions import BooleanExpression, Filter, FilteredExpression, Nil, Path, StringLiteral
from liquid.builtin.expressions.logical import (
    ContainsExpression,
    EqExpression,
    GeExpression,
    GtExpression,
    LeExpression,
    LogicalAndExpression,
    LogicalNotExpression,
    LogicalOrExpression,
    LtExpression,
    NeExpression,
)
from liquid.builtin.expressions.primitive import (
    Blank,
    Empty,
    FalseLiteral,
    FloatLiteral,
    IntegerLiteral,
    TrueLiteral,
)
from liquid.builtin.output import OutputNode
from liquid.expression import Expression

from scenario.errors import TemplateError
from scenario.liquid.engine.environment import text_engine
from scenario.liquid.engine.logic import COMPARISONS
from scenario.liquid.sinks.text import condition, template

Place = tuple[str, ...]
"""A path in the data. The items of a list are at the place of the list."""

SIZE: Final = "size"
"""Last part of a place that stands for how many items a list has, or characters a text."""
_FEW: Final = (1, 2)
"""How many items a list needs to have that is asked for what is in them."""
_OF_ITEMS: Final = frozenset({"first", "last"})
_CALCULATING: Final = frozenset({"divided_by", "minus", "number", "plus", "times"})
"""Filters that take a number in text."""
_LOOKING: Final = frozenset({"find", "find_index", "has", "reject", "where"})
"""Filters that ask for items whose field has a value."""


def compared(source: str, values: Sequence[Any] | None = None) -> Mapping[Place, Sequence[Any]]:
    """The values that a condition compares its data with, by where these are; and how many items lists need.

    What filters do is undone as far as that is possible: data that are ``'fr'`` or ``'FR'`` meet ``contact.language |
    downcase == 'fr'``. Beside a number there are its neighbours, so that they meet ``<`` both ways.

    Args:
        source: The condition; or a template with one output, if there are values.
        values: What the value of the template is compared with.

    Raises:
        TemplateError: It is malformed.
    """
    reader = _Reader()
    if values is None:
        reader.read(condition(source).expression)
        return reader.found
    for node in template(text_engine, source).nodes:
        if isinstance(node, OutputNode):
            reader.meet(node.expression, list(values))
    return reader.found


class _Reader:
    def __init__(self) -> None:
        self.found: defaultdict[Place, list[Any]] = defaultdict(list)

    def read(self, part: Expression) -> None:
        """Note what a part of the condition compares."""
        if isinstance(part, COMPARISONS):
            left, right = part.children()
            self.meet(left, _values(right))
            self.meet(right, _values(left))
        elif isinstance(part, Path | FilteredExpression):
            self.meet(part, [])
        else:
            for inner in part.children():
                self.read(inner)

    def meet(self, side: Expression, values: list[Any]) -> None:
        """Note the values that one side of a comparison has to have."""
        filters: Sequence[Filter] = ()
        while isinstance(side, FilteredExpression):
            filters, side = [*(side.filters or ()), *filters], side.left
        if not isinstance(side, Path):
            for inner in side.children():
                self.read(inner)
            return
        place = self._place(side)
        places: list[Place] = []
        for used in filters:
            places.append(place)
            place = self._through(used, place)
        for used, before in zip(reversed(filters), reversed(places), strict=True):
            if used.name == SIZE:
                place = (*before, SIZE)
            else:
                values = _undone(used, values)
        self._note(place, values)

    def _through(self, used: Filter, place: Place) -> Place:
        """Where the values are that come out of a filter. Notes what it asks of them."""
        match used.name, _arguments(used):
            case (("map" | "sum"), [str(field), *_]):
                self._note((*place, SIZE), _FEW)
                return (*place, field)
            case name, [str(field), *wanted] if name in _LOOKING:
                self._note((*place, SIZE), _FEW)
                self._note((*place, field), wanted or [True])
            case _:
                pass
        return place

    def _note(self, place: Place, values: Iterable[Any]) -> None:
        known = self.found[place]
        for value in values:
            if not any(type(value) is type(other) and value == other for other in known):  # 1 is not true here
                known.append(value)

    def _place(self, path: Path) -> Place:
        """Where a path leads to, as far as its author spelt that out."""
        made: list[str] = []
        for key in path.path:
            if isinstance(key, Path):
                break
            if isinstance(key, str) and not (made and key in _OF_ITEMS):
                made.append(key)
            else:
                self._note((*made, SIZE), _FEW)
        return tuple(made)


def _values(side: Expression) -> list[Any]:
    match side:
        case IntegerLiteral() | FloatLiteral():
            return [side.value - 1, side.value, side.value + 1]
        case StringLiteral():
            return [side.value]
        case TrueLiteral():
            return [True]
        case FalseLiteral():
            return [False]
        case Nil() | Blank() | Empty():
            return [None]
        case _:
            return []


def _arguments(used: Filter) -> list[Any]:
    """A filter's arguments that are constants, up to the first that is none."""
    made: list[Any] = []
    for argument in used.args:
        values = _values(argument.value)
        if not values:
            break
        made.append(values[len(values) // 2])
    return made


def _undone(used: Filter, values: list[Any]) -> list[Any]:
    """What a filter has to be given to make values; more than enough where nobody knows."""
    arguments = _arguments(used)
    by = arguments[0] if arguments else None
    made: list[Any] = []
    for value in values:
        if isinstance(value, str):
            made.extend(_text_before(used.name, value, by))
            continue
        made.append(_number_before(used.name, value, by))
        if used.name in _CALCULATING and value is not None:
            made.append(str(made[-1]))
    return made


def _text_before(name: str, value: str, by: Any) -> list[Any]:
    match name:
        case "downcase" | "capitalize":
            return [value, value.upper()]
        case "upcase":
            return [value, value.lower()]
        case "strip" | "lstrip" | "rstrip" | "squish":
            return [value, f" {value} "]
        case "append":
            return [value.removesuffix(str(by))]
        case "prepend":
            return [value.removeprefix(str(by))]
        case "slice" if isinstance(by, int):
            return [f"{'x' * by}{value}x" if by >= 0 else f"x{value}"]
        case _:
            return [value]


def _number_before(name: str, value: Any, by: Any) -> Any:
    if not isinstance(value, int | float) or not isinstance(by, int | float) or isinstance(value, bool):
        return value
    match name:
        case "plus":
            return value - by
        case "minus":
            return value + by
        case "times" if by:
            return value / by if value % by else value // by
        case "divided_by":
            return value * by
        case _:
            return value


_TRUE: Final = frozenset({True})
_FALSE: Final = frozenset({False})
_KEEP_NOTHING: Final = frozenset({"find", "first", "last", "number"})
"""Filters that make nothing of nothing."""
_MAKE_EMPTY: Final = frozenset({"compact", "map", "reject", "reverse", "sort", "sort_natural", "uniq", "where"})
"""Filters that make an empty list of nothing."""


def told_by(source: str, root: str) -> frozenset[bool]:
    """The results of a condition with which a variable is certain to be there.

    What is missing is false, equals `nil` and `blank`, is neither more nor less than anything, and contains nothing.

    Args:
        source: The condition. A malformed one is a mistake already, and no other shall follow from it.
        root: The variable's name.
    """
    try:
        return told(condition(source).expression, root)
    except TemplateError:
        return _TRUE | _FALSE


def told(part: Expression, root: str) -> frozenset[bool]:
    """The same of a condition that is parsed."""
    match part:
        case BooleanExpression():
            return told(part.expression, root)
        case LogicalAndExpression():
            left, right = told(part.left, root), told(part.right, root)
            return ((left | right) & _TRUE) | (left & right & _FALSE)
        case LogicalOrExpression():
            left, right = told(part.left, root), told(part.right, root)
            return ((left | right) & _FALSE) | (left & right & _TRUE)
        case LogicalNotExpression():
            return frozenset(not result for result in told(part.right, root))
        case Path() | FilteredExpression():
            return _TRUE if _is_of(part, root, frozenset({"has"})) else frozenset()
        case EqExpression() | NeExpression():
            asked = _asked(part, root)
            # A missing one equals these two: it is there where the answer is "unequal".
            unequal = any(isinstance(side, Nil | Blank) for side in part.children())
            return asked and (_TRUE if unequal is isinstance(part, NeExpression) else _FALSE)
        case ContainsExpression():
            return _asked(part, root, _MAKE_EMPTY)
        case LtExpression() | GtExpression() | LeExpression() | GeExpression():
            return _asked(part, root)
        case _:
            return frozenset()


def _asked(comparison: Expression, root: str, last: frozenset[str] = frozenset()) -> frozenset[bool]:
    """That a comparison is true tells of a variable which is a side of it."""
    return _TRUE if any(_is_of(side, root, last) for side in comparison.children()) else frozenset()


def _is_of(side: Expression, root: str, last: frozenset[str]) -> bool:
    """Whether a side is nothing where a variable is missing.

    Args:
        side: The side.
        root: The variable's name.
        last: Filters that may be the last one, because what they make of nothing is as good as nothing there.
    """
    if isinstance(side, FilteredExpression):
        *others, final = [used.name for used in side.filters or ()] or ["first"]
        if not (_KEEP_NOTHING | _MAKE_EMPTY).issuperset(others) or final not in _KEEP_NOTHING | last:
            return False
        side = side.left
    return isinstance(side, Path) and side.path[0] == root
