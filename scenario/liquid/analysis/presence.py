"""What the result of a condition tells of a variable: whether it is certain to be there."""

from __future__ import annotations

from typing import Final

from liquid.builtin.expressions import BooleanExpression, FilteredExpression, Nil, Path
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
from liquid.builtin.expressions.primitive import Blank
from liquid.expression import Expression

from scenario.errors import TemplateError
from scenario.liquid.sinks.text import condition

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
