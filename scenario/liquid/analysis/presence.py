"""What the result of a condition tells of a variable: whether it is certain to be there."""

from __future__ import annotations

from typing import Final

from liquid.builtin.expressions import BooleanExpression, Nil, Path
from liquid.builtin.expressions.logical import (
    ContainsExpression,
    EqExpression,
    GeExpression,
    GtExpression,
    LeExpression,
    LogicalAndExpression,
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
        case Path():
            return _TRUE if part.path[0] == root else frozenset()
        case EqExpression() | NeExpression():
            asked = _asked(part, root)
            # A missing one equals these two: it is there where the answer is "unequal".
            unequal = any(isinstance(side, Nil | Blank) for side in part.children())
            return asked and (_TRUE if unequal is isinstance(part, NeExpression) else _FALSE)
        case LtExpression() | GtExpression() | LeExpression() | GeExpression() | ContainsExpression():
            return _asked(part, root)
        case _:
            return frozenset()


def _asked(comparison: Expression, root: str) -> frozenset[bool]:
    """That a comparison is true tells of a variable which is a side of it."""
    sides = comparison.children()
    return _TRUE if any(isinstance(side, Path) and side.path[0] == root for side in sides) else frozenset()
