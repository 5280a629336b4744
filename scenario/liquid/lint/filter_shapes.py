"""The shapes of filters' results and inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from liquid.builtin.expressions import Filter, PositionalArgument, StringLiteral

from scenario.liquid.analysis.usage import BY_FIELD
from scenario.liquid.shapes import Anything, ListOf, Object, Tree, Value

TEXT: Final = Value("text")
NUMBER: Final = Value("number")
FLAG: Final = Value("flag")
DATE: Final = Value("date")
ANYTHING: Final = Anything()

FORLOOP: Final = Object(
    {
        **dict.fromkeys(("index", "index0", "rindex", "rindex0", "length"), NUMBER),
        **dict.fromkeys(("first", "last"), FLAG),
        "name": TEXT,
        "parentloop": ANYTHING,
    }
)
TABLEROWLOOP: Final = Object(
    {
        **dict.fromkeys(("col", "col0", "row", "index", "index0", "rindex", "rindex0", "length"), NUMBER),
        **dict.fromkeys(("first", "last", "col_first", "col_last"), FLAG),
    }
)

_SAME_LIST: Final = frozenset({"where", "sort", "sort_natural", "reverse", "reject", "uniq", "compact", "concat"})
_ITEM: Final = frozenset({"first", "last", "find"})
_NUMBERS: Final = frozenset(
    {
        *("abs", "at_least", "at_most", "ceil", "days_until", "divided_by", "find_index", "floor", "minus", "modulo"),
        "number",
        *("plus", "round", "size", "sum", "times"),
    }
)
DATES: Final = frozenset({"add", "next_anniversary", "subtract"})
"""Filters that return a date."""
_OTHERS: Final = frozenset({"default", "has", "json", "property", "property_accessor", "slice", "safe"})


def shape_after(applied: Filter, shape: Tree) -> Tree:
    """Return the shape of a filter's result."""
    name = applied.name
    if name in _SAME_LIST:
        return shape if isinstance(shape, ListOf) else ANYTHING
    if name in _ITEM:
        return shape.item if isinstance(shape, ListOf) else ANYTHING
    if name in _NUMBERS:
        return NUMBER
    if name in DATES:
        return DATE
    match name:
        case "map":
            field = named_field(applied)
            known = shape.item if isinstance(shape, ListOf) else ANYTHING
            return ListOf(known.fields.get(field, ANYTHING) if isinstance(known, Object) and field else ANYTHING)
        case "split":
            return ListOf(TEXT)
        case "default" | "safe":
            return shape
        case "slice":
            return shape if isinstance(shape, ListOf) else TEXT
        case "has":
            return FLAG
        case _:
            return ANYTHING if name in _OTHERS else TEXT


def named_field(applied: Filter) -> str | None:
    """Return the field that a filter's first argument names literally, or None."""
    literal = field_argument(applied)
    return literal.value if literal is not None else None


def field_argument(applied: Filter) -> StringLiteral | None:
    """Return the first argument of a filter that reads a field, if it is literal."""
    arguments: Sequence[object] = applied.args
    if applied.name in BY_FIELD and arguments and isinstance(arguments[0], PositionalArgument):
        value = arguments[0].value
        return value if isinstance(value, StringLiteral) else None
    return None


def describe_shape(shape: Tree) -> str:
    """Return a shape's name for a message."""
    match shape:
        case Value("text"):
            return "a text"
        case Value("number"):
            return "a number"
        case Value("flag"):
            return "true or false"
        case Value():
            return "a date"
        case ListOf():
            return "a list"
        case Object():
            return "an object"
        case Anything():
            return "a value"
