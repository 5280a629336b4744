"""Static analysis of conditions: the compared values, and the variables that an outcome proves to exist."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Any, Final

from liquid.builtin.expressions import BooleanExpression, Filter, FilteredExpression, Nil, Path, StringLiteral, logical
from liquid.builtin.expressions.primitive import Blank, Empty, FalseLiteral, FloatLiteral, IntegerLiteral, TrueLiteral
from liquid.builtin.output import OutputNode
from liquid.expression import Expression

from scenario.liquid.engine.environment import text_engine
from scenario.liquid.engine.logic import COMPARISONS
from scenario.liquid.sinks.text import compile_condition, parse_template

DataPath = tuple[str, ...]
"""A path in the data. The items of a list have the path of the list."""

SIZE: Final = "size"
"""The last part of a path that represents the number of items of a list or of characters of a text."""
_FEW: Final = (1, 2)
"""Sizes to try for a list if its items are read."""
_OF_ITEMS: Final = frozenset({"first", "last"})
_CALCULATING: Final = frozenset({"divided_by", "minus", "number", "plus", "times"})
"""Filters that accept numbers in text."""
_LOOKING: Final = frozenset({"find", "find_index", "has", "reject", "where"})
"""Filters that select items by the value of a field."""


def find_compared_values(source: str, values: Sequence[Any] | None = None) -> Mapping[DataPath, Sequence[Any]]:
    """Return the values that a condition compares its data with, by path, and the sizes that its lists need.

    The effects of filters are inverted if possible: ``'fr'`` and ``'FR'`` satisfy ``contact.language | downcase ==
    'fr'``. For a number the result includes its neighbours, which satisfy ``<`` either way.

    Args:
        source: The condition, or a template with one output if there are values.
        values: The values that the template's output is compared with.
    """
    reader = _ValueCollector()
    if values is None:
        reader.collect(compile_condition(source))
        return reader.found
    for node in parse_template(text_engine, source).nodes:
        if isinstance(node, OutputNode):
            reader.collect_side(node.expression, list(values))
    return reader.found


class _ValueCollector:
    def __init__(self) -> None:
        self.found: defaultdict[DataPath, list[Any]] = defaultdict(list)

    def collect(self, part: Expression) -> None:
        if isinstance(part, COMPARISONS):
            left, right = part.children()
            self.collect_side(left, _literal_values(right))
            self.collect_side(right, _literal_values(left))
        elif isinstance(part, Path | FilteredExpression):
            self.collect_side(part, [])
        else:
            for inner in part.children():
                self.collect(inner)

    def collect_side(self, side: Expression, values: list[Any]) -> None:
        filters: Sequence[Filter] = ()
        while isinstance(side, FilteredExpression):
            filters, side = [*(side.filters or ()), *filters], side.left
        if not isinstance(side, Path):
            for inner in side.children():
                self.collect(inner)
            return
        place = self._resolve_path(side)
        places: list[DataPath] = []
        for used in filters:
            places.append(place)
            place = self._apply_filter(used, place)
        for used, before in zip(reversed(filters), reversed(places), strict=True):
            if used.name == SIZE:
                place = (*before, SIZE)
            else:
                values = _invert_filter(used, values)
        self._record(place, values)

    def _apply_filter(self, used: Filter, place: DataPath) -> DataPath:
        """Return the path of a filter's results, and record the values that it compares."""
        match used.name, _constant_arguments(used):
            case (("map" | "sum"), [str(field), *_]):
                self._record((*place, SIZE), _FEW)
                return (*place, field)
            case name, [str(field), *wanted] if name in _LOOKING:
                self._record((*place, SIZE), _FEW)
                self._record((*place, field), wanted or [True])
            case _:
                pass
        return place

    def _record(self, place: DataPath, values: Iterable[Any]) -> None:
        known = self.found[place]
        for value in values:
            if not any(type(value) is type(other) and value == other for other in known):  # 1 does not equal true here
                known.append(value)

    def _resolve_path(self, path: Path) -> DataPath:
        """Return the data path of a template's path, up to its first dynamic key."""
        made: list[str] = []
        for key in path.path:
            if isinstance(key, Path):
                break
            if isinstance(key, str) and not (made and key in _OF_ITEMS):
                made.append(key)
            else:
                self._record((*made, SIZE), _FEW)
        return tuple(made)


def _literal_values(side: Expression) -> list[Any]:
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


def _constant_arguments(used: Filter) -> list[Any]:
    made: list[Any] = []
    for argument in used.args:
        values = _literal_values(argument.value)
        if not values:
            break
        made.append(values[len(values) // 2])
    return made


def _invert_filter(used: Filter, values: list[Any]) -> list[Any]:
    """Return inputs with which a filter gives the values. The result may include others."""
    arguments = _constant_arguments(used)
    by = arguments[0] if arguments else None
    made: list[Any] = []
    for value in values:
        if isinstance(value, str):
            made.extend(_invert_text_filter(used.name, value, by))
            continue
        made.append(_invert_number_filter(used.name, value, by))
        if used.name in _CALCULATING and value is not None:
            made.append(str(made[-1]))
    return made


def _invert_text_filter(name: str, value: str, by: Any) -> list[Any]:
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


def _invert_number_filter(name: str, value: Any, by: Any) -> Any:
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


_KEEP_NOTHING: Final = frozenset({"find", "first", "last", "number"})
"""Filters that return nil for nil."""
_MAKE_EMPTY: Final = frozenset({"compact", "map", "reject", "reverse", "sort", "sort_natural", "uniq", "where"})
"""Filters that return an empty list for nil."""
_NOTHING: Final = frozenset[DataPath]()


def find_proven_paths(source: str, *, outcome: bool) -> frozenset[DataPath]:
    """Return the paths of one or two names that certainly have a value if a condition has an outcome.

    ``event.total > 5`` proves ``event`` and ``event.total``. A missing value is false, equals `nil` and `blank`, is
    neither less nor more than any value, and contains nothing. Raise TemplateError for a malformed condition.
    """
    return proven_paths(compile_condition(source), outcome=outcome)


def proven_paths(part: Expression, *, outcome: bool) -> frozenset[DataPath]:
    """Return the same for a parsed condition."""
    match part:
        case BooleanExpression():
            return proven_paths(part.expression, outcome=outcome)
        case logical.LogicalAndExpression() | logical.LogicalOrExpression():
            left, right = proven_paths(part.left, outcome=outcome), proven_paths(part.right, outcome=outcome)
            # A true "and" has two true sides, and a false "or" two false ones.
            return left | right if isinstance(part, logical.LogicalAndExpression) is outcome else left & right
        case logical.LogicalNotExpression():
            return proven_paths(part.right, outcome=not outcome)
        case Path() | FilteredExpression():
            return _paths_with_value(part, frozenset({"has"})) if outcome else _NOTHING
        case logical.EqExpression() | logical.NeExpression():
            # A missing value equals both, so only "unequal" proves that the variable exists.
            unequal = any(isinstance(side, Nil | Blank) for side in part.children())
            return _compared(part) if (unequal is isinstance(part, logical.NeExpression)) is outcome else _NOTHING
        case logical.ContainsExpression():
            return _compared(part, _MAKE_EMPTY) if outcome else _NOTHING
        case logical.LtExpression() | logical.GtExpression() | logical.LeExpression() | logical.GeExpression():
            return _compared(part) if outcome else _NOTHING
        case _:
            return _NOTHING


def _compared(comparison: Expression, last: frozenset[str] = frozenset()) -> frozenset[DataPath]:
    """Return the paths of both sides of a comparison."""
    return _NOTHING.union(*(_paths_with_value(side, last) for side in comparison.children()))


def _paths_with_value(side: Expression, last: frozenset[str]) -> frozenset[DataPath]:
    """Return the paths without which a side has no value.

    Args:
        last: Further filters that may be the last one, since the comparison treats their empty result as missing.
    """
    if isinstance(side, FilteredExpression):
        *others, final = [used.name for used in side.filters or ()] or ["first"]
        if not (_KEEP_NOTHING | _MAKE_EMPTY).issuperset(others) or final not in _KEEP_NOTHING | last:
            return _NOTHING
        side = side.left
    if not isinstance(side, Path):
        return _NOTHING
    names = list(takewhile(lambda key: isinstance(key, str), side.path[:2]))
    return frozenset(tuple(map(str, names[: length + 1])) for length in range(len(names)))
