"""The linter of comparisons that always have the same result or always fail, by the shapes of their sides."""

from __future__ import annotations

from typing import Final

from liquid.builtin.expressions import BooleanExpression, Nil, Path, StringLiteral
from liquid.builtin.expressions.logical import ContainsExpression, EqExpression, NeExpression
from liquid.builtin.expressions.primitive import Blank, Empty, FalseLiteral, FloatLiteral, IntegerLiteral, TrueLiteral
from liquid.expression import Expression

from scenario.liquid.engine.logic import COMPARISONS
from scenario.liquid.lint.findings import LintedText, Severity
from scenario.liquid.lint.scope import describe_shape
from scenario.liquid.shapes import Anything, ListOf, Object, Tree, Value
from scenario.numbers import parse_number

_NOTHING: Final = (Nil, Blank, Empty)
_LITERALS: Final = (StringLiteral, IntegerLiteral, FloatLiteral)
_FLAGS: Final = {**dict.fromkeys(("true", "1", "yes"), "true"), **dict.fromkeys(("false", "0", "no"), "false")}
"""Texts of boolean custom fields by their converted value; see `scenario.entry.values`."""
_CONSTANTS: Final = (*_LITERALS, TrueLiteral, FalseLiteral, *_NOTHING)


class ComparisonLinter:
    """The linter of one template's comparisons.

    A constant result is an error in a scenario's condition. In a template, which may come from another system, it is a
    warning.
    """

    def __init__(self, linted: LintedText, kind: str) -> None:
        self._linted, self._is_condition = linted, kind == "condition"
        self._last = "order.currency"
        """The last comparison, to which ``or 'y'`` in ``a == 'x' or 'y'`` refers."""

    def check_comparison(self, comparison: Expression, first: Tree, second: Tree) -> None:
        left, right = comparison.children()
        self._last = str(left) if isinstance(left, Path) else self._last
        chained = [side for side in (left, right) if isinstance(side, COMPARISONS)]
        if chained:
            at = max(comparison.token.start_index, chained[0].token.start_index)
            message = "this compares the result of a comparison: join two comparisons with 'and'"
            self._report_constant("comparison", message, at)
        elif isinstance(left, _CONSTANTS) and isinstance(right, _CONSTANTS):
            at = comparison.token.start_index
            self._report_constant("constant", "both sides are constants: the result is the same for every contact", at)
        elif str(left) == str(right):
            why = "the result is the same for every contact"
            if isinstance(left, Path) and left.path[0] == "event":
                why = "the awaited event is 'event', and the trigger's event is 'trigger'"
            self._report_constant("same-sides", f"both sides are '{left}': {why}", comparison.token.start_index)
        elif isinstance(comparison, ContainsExpression):
            self._check_contains(comparison, first, second)
        elif isinstance(comparison, EqExpression | NeExpression):
            if _differ_in_type(first, second):
                sides = f"{describe_shape(first)} and {describe_shape(second)}"
                message = f"{sides} are never equal{_suggest(comparison, first, second)}"
                self._report_constant("comparison", message, comparison.token.start_index)
            self._check_custom_type(comparison, first, second)
        else:
            self._check_order(comparison, first, second)
            self._check_custom_type(comparison, first, second)

    def check_test(self, part: Expression, shape: Tree) -> None:
        """Report a tested value that is always true."""
        if isinstance(part, _LITERALS):
            message = f"{part} alone is always true: write the whole comparison, such as {self._last} == {part}"
            self._report_constant("constant", message, part.token.start_index)
        elif self._is_condition and isinstance(shape, ListOf):
            how = f"{part}.size > 0" if isinstance(part, Path) else "| size > 0"
            message = f"an empty list is true as well: compare its size, {how}"
            self._report_constant("constant", message, part.token.start_index)

    def _report_constant(self, code: str, message: str, at: int) -> None:
        severity: Severity = "error" if self._is_condition else "warning"
        self._linted.add(code, message, at, severity=severity)

    def _check_order(self, comparison: Expression, first: Tree, second: Tree) -> None:
        if any(isinstance(side, _NOTHING) for side in comparison.children()):
            message = "this value has no order: compare with == or !="
            self._report_constant("comparison", message, comparison.token.start_index)
        elif any(isinstance(shape, ListOf | Object) for shape in (first, second)) or (
            _differ_in_type(first, second) and {"number", "flag"} & {_type_name(first), _type_name(second)}
        ):
            sides = f"{describe_shape(first)} and {describe_shape(second)}"
            message = f"{sides} cannot be compared{_suggest(comparison, first, second)}"
            self._linted.add("comparison", message, comparison.token.start_index)

    def _check_custom_type(self, comparison: Expression, first: Tree, second: Tree) -> None:
        """Report a text that a custom field never equals because the platform types it."""
        is_equality = isinstance(comparison, EqExpression | NeExpression)
        left, right = comparison.children()
        for side, shape, other in ((left, first, right), (right, second, left)):
            is_custom = isinstance(side, Path) and len(side.path) > 1 and side.path[-2] == "custom"
            if not (is_custom and isinstance(shape, Anything) and isinstance(other, StringLiteral)):
                continue
            if is_equality and (flag := _FLAGS.get(other.value.lower())) is not None:
                typed = f"if its data_type is boolean, '{side}' is never the text {other}: write {side} == {flag}"
            elif not is_equality and parse_number(other.value, ".") is not None:
                typed = f"if its data_type is numeric, '{side}' cannot be compared with text: write {other.value}"
            else:
                continue
            self._linted.add("custom-type", typed, comparison.token.start_index, severity="warning")

    def _check_contains(self, comparison: Expression, first: Tree, second: Tree) -> None:
        left, right = comparison.children()
        at = comparison.token.start_index
        if isinstance(first, Value) and first.kind in ("number", "flag"):
            message = f"'contains' searches a text or a list, and '{left}' is {describe_shape(first)}: write =="
            self._linted.add("comparison", message, at)
        elif isinstance(second, ListOf | Object):
            message = f"'contains' searches for one value, and '{right}' is {describe_shape(second)}"
            self._report_constant("comparison", message, at)
        elif isinstance(first, ListOf) and isinstance(second, Value) and _differ_in_type(first.item, second):
            message = f"each item of the list is {describe_shape(first.item)}, and never {describe_shape(second)}"
            if isinstance(first.item, Object):
                message = f"{message}: write {left} | map: '{_find_key_field(first.item)}' contains {right}"
            self._report_constant("comparison", message, at)


def _type_name(shape: Tree) -> str:
    match shape:
        case Value(kind):
            return "text" if kind == "date" else kind  # a date is ISO 8601 text
        case ListOf():
            return "list"
        case Object():
            return "object"
        case Anything():
            return ""


def _differ_in_type(first: Tree, second: Tree) -> bool:
    """Return True if two values have different known types and are therefore never equal."""
    kinds = {_type_name(first), _type_name(second)}
    return len(kinds) == 2 and "" not in kinds


def _suggest(comparison: Expression, first: Tree, second: Tree) -> str:
    """Return the probable intention of a comparison of different types, as the end of a sentence."""
    sides = list(zip(comparison.children(), (first, second), strict=True))
    is_equality = isinstance(comparison, EqExpression | NeExpression)
    for (side, shape), (other, beside) in (sides, sides[::-1]):
        match shape:
            case ListOf(item):
                if not is_equality:
                    return f": write {side} | size"
                mapped = f" | map: '{_find_key_field(item)}'" if isinstance(item, Object) else ""
                return f": write {side}{mapped} contains {other}"
            case Object():
                return f": name a field of '{side}'"
            case Value("flag") if isinstance(side, BooleanExpression):
                return ": compare each value in the parentheses, a == 'x' or b == 'x'"
            case Value("flag"):
                is_literal = isinstance(side, TrueLiteral | FalseLiteral)
                return "" if is_literal else f": write {side} == true, or {side} alone"
            case Value("date") if _type_name(beside) == "number":
                return ": a date is text, such as '2026-12-24'"
            case Value("number") if isinstance(other, StringLiteral):
                number = parse_number(other.value, ".")
                return f": write {number} without quotes" if number is not None else ""
            case Value("text") if _type_name(beside) == "number" and not isinstance(side, StringLiteral):
                if is_equality and isinstance(other, IntegerLiteral | FloatLiteral):
                    return f": write '{other}' in quotes, or {side} | number"
                return f": write {side} | number"
            case _:
                continue
    return ""


def _find_key_field(item: Object) -> str:
    """Return the identifying field of a list's objects."""
    return next((name for name in ("name", "external_id", *item.fields) if name in item.fields), "name")
