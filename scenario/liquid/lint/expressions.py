"""The linter of expressions: paths, filters, comparisons, and the shapes of their values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from liquid.builtin.expressions import BooleanExpression, Filter, FilteredExpression, Path, StringLiteral, logical
from liquid.builtin.expressions.primitive import FalseLiteral, FloatLiteral, IntegerLiteral, RangeLiteral, TrueLiteral
from liquid.expression import Expression

from scenario.liquid.analysis.usage import BY_FIELD
from scenario.liquid.engine.environment import Engine
from scenario.liquid.engine.filter_call import find_argument_problem
from scenario.liquid.engine.limits import MAX_FILTERS
from scenario.liquid.engine.logic import COMPARISONS
from scenario.liquid.lint.comparisons import ComparisonLinter
from scenario.liquid.lint.constants import find_constant_problem
from scenario.liquid.lint.findings import LintedText, find_nearest
from scenario.liquid.lint.scope import (
    ANYTHING,
    DATE,
    FLAG,
    FOREIGN_CONSTANTS,
    NUMBER,
    TEXT,
    TemplateScope,
    check_item_field,
    describe_shape,
    field_argument,
    shape_after,
)
from scenario.liquid.shapes import ListOf, Tree, Value

_CLOCK_WORDS: Final = ("now", "today")
_ONE_NUMBER: Final = re.compile(r"%[-_0]?[CdeGgHIjklmMSsUuVWwYy]", re.ASCII)
_OF_LISTS: Final = frozenset({"map", "where", "find", "find_index", "reject", "has"})
_FOR_HTML: Final = frozenset({"escape", "escape_once", "escapejs"})
_BY_HAND: Final[Mapping[str, frozenset[str]]] = {
    "json": _FOR_HTML,
    "form": _FOR_HTML | {"url_encode", "url_param_escape"},
    "url": _FOR_HTML,
    "path": _FOR_HTML,
}
"""By output format, filters that escape redundantly or for another format."""
_HANDMADE: Final = frozenset({'"', "\\", "\n"})


class ExpressionLinter:
    """The linter of one template's expressions."""

    def __init__(self, linted: LintedText, engine: Engine, kind: str) -> None:
        self.linted, self._engine, self._kind = linted, engine, kind
        self._comparisons = ComparisonLinter(linted, kind)

    def check(self, expression: Expression, names: TemplateScope, *, test: bool = False) -> Tree:
        """Check an expression, and return the shape of its value. A test reads a value only to see if it exists."""
        match expression:
            case Path():
                return names.resolve(expression, self.linted, test=test)
            case FilteredExpression():
                has_default = bool(expression.filters) and expression.filters[0].name == "default"
                shape = self.check(expression.left, names, test=test or has_default)
                return self._check_filters(expression.left, expression.filters, shape, names)
            case BooleanExpression():
                self._check_test(expression.expression, names)
                return FLAG
            case logical.LogicalNotExpression():
                self._check_test(expression.right, names)
                return FLAG
            case logical.LogicalAndExpression() | logical.LogicalOrExpression():
                self._check_logic(expression)
                self._check_test(expression.left, names)
                self._check_test(expression.right, names)
                return FLAG
            case _ if isinstance(expression, COMPARISONS):
                first, second = (self._check_side(side, names) for side in expression.children())
                self._comparisons.check_comparison(expression, first, second)
                return FLAG
            case _:
                for part in expression.children():
                    self.check(part, names)
                return _literal_shape(expression)

    def _check_logic(self, expression: logical.LogicalAndExpression | logical.LogicalOrExpression) -> None:
        if isinstance(expression, logical.LogicalAndExpression) and isinstance(
            expression.right, logical.LogicalOrExpression
        ):
            other = "'(a and b) or c' in other languages: write parentheses"
            message = f"'a and b or c' is 'a and (b or c)' here, and {other}"
            # A template may come from a system with the same precedence. Conditions are written for this one.
            severity = "error" if self._kind == "condition" else "warning"
            self.linted.add("mixed-logic", message, expression.token.start_index, severity=severity)

    def _check_test(self, part: Expression, names: TemplateScope) -> None:
        self._comparisons.check_test(part, self.check(part, names, test=True))

    def _check_side(self, side: Expression, names: TemplateScope) -> Tree:
        """Check one side of a comparison. An unknown word is probably a text without quotes."""
        if isinstance(side, Path) and len(side.path) == 1 and isinstance(word := side.path[0], str):
            is_known = names.find(word) is not None or word in names.schema.availability or word in FOREIGN_CONSTANTS
            if not is_known and find_nearest(word, names.all_names()) is None:
                message = f"there is no variable '{word}': a text is written in quotes, '{word}'"
                if not word.replace("-", "_").isidentifier():
                    message = "there are no lists in a condition: compare with each value, joined by 'or'"
                self.linted.add("unknown-variable", message, side.token.start_index)
                return ANYTHING
        return self.check(side, names, test=True)

    def _check_filters(self, left: Expression, filters: list[Filter] | None, shape: Tree, names: TemplateScope) -> Tree:
        if filters and len(filters) > MAX_FILTERS:
            message = f"an expression has more than {MAX_FILTERS} filters"
            self.linted.add("limit", message, filters[MAX_FILTERS].token.start_index)
        before: Filter | None = None
        for position, applied in enumerate(filters or ()):
            for argument in applied.args:
                self._check_argument(applied, argument.value, names)
            self._check_filter(applied, shape, str(left) if not position else "the list")
            self._check_date_arithmetic(applied, shape, before)
            if not position:
                self._check_clock(left, applied)
            shape = shape_after(applied, shape) if applied.name in self._engine.filters else ANYTHING
            before = applied
        return shape

    def _check_argument(self, applied: Filter, argument: Expression, names: TemplateScope) -> None:
        if applied.name in BY_FIELD and isinstance(argument, Path) and len(argument.path) == 1:
            word = argument.path[0]
            if isinstance(word, str) and names.find(word) is None:
                message = f"there is no variable '{word}': the name of a field is written in quotes, '{word}'"
                self.linted.add("unknown-variable", message, argument.token.start_index)
                return
        self.check(argument, names)

    def _check_filter(self, applied: Filter, shape: Tree, what: str) -> None:
        linted, at = self.linted, applied.token.start_index
        function = self._engine.filters.get(applied.name)
        if function is None:
            meant = find_nearest(applied.name, self._engine.filters)
            linted.add("unknown-filter", f"there is no filter '{applied.name}'", at, suggestion=meant)
            return
        if problem := find_argument_problem(applied, function) or find_constant_problem(applied, function):
            linted.add("filter-arguments", problem, at)
        if isinstance(shape, Value) and applied.name in _OF_LISTS:
            linted.add("not-a-list", f"'{applied.name}' works on lists, and this is {describe_shape(shape)}", at)
        field = field_argument(applied)
        if field is not None:
            what = f"'{what}'" if isinstance(shape, ListOf) else what
            check_item_field(shape, field.value, what, field.token.start_index, linted)
        self._check_escaping(applied)

    def _check_escaping(self, applied: Filter) -> None:
        linted, at = self.linted, applied.token.start_index
        by_hand = applied.name in _BY_HAND.get(self._kind, ())
        if by_hand or (self._kind == "json" and _replaces_quotes(applied)):
            message = f"'{applied.name}' escapes a value that is escaped automatically: remove it"
            linted.add("escaped-by-hand", message, at, severity="warning")
        if self._kind == "html" and applied.name == "safe":
            message = "'safe' keeps markup: make sure that no contact can write it"
            linted.add("unescaped", message, at, severity="warning")

    def _check_date_arithmetic(self, applied: Filter, shape: Tree, before: Filter | None) -> None:
        right = {"plus": "add", "minus": "subtract"}.get(applied.name)
        if right is not None and (shape == DATE or (before is not None and _writes_date(before))):
            message = f"'{applied.name}' works with numbers, and this is a date: write {right}: '3d', before 'date'"
            self.linted.add("date", message, applied.token.start_index)

    def _check_clock(self, left: Expression, applied: Filter) -> None:
        if applied.name == "date" and isinstance(left, StringLiteral) and left.value in _CLOCK_WORDS:
            why = "is the time at which the message may leave, not the clock's: write it without quotes"
            message = f"'{left.value}' {why}"
            self.linted.add("clock", message, left.token.start_index, severity="warning")


def _writes_date(applied: Filter) -> bool:
    """Return True if a filter formats more than one number of a date."""
    if applied.name != "date" or not applied.args or not isinstance(applied.args[0].value, StringLiteral):
        return False
    return _ONE_NUMBER.fullmatch(applied.args[0].value.value) is None


def _replaces_quotes(applied: Filter) -> bool:
    if not applied.name.startswith("replace") or not applied.args:
        return False
    first = applied.args[0].value
    return isinstance(first, StringLiteral) and first.value in _HANDMADE


def _literal_shape(expression: Expression) -> Tree:
    match expression:
        case StringLiteral():
            return TEXT
        case IntegerLiteral() | FloatLiteral():
            return NUMBER
        case TrueLiteral() | FalseLiteral():
            return FLAG
        case RangeLiteral():
            return ListOf(NUMBER)
        case _:
            return ANYTHING
