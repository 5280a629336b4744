"""The linter of expressions (paths, filters, comparisons, and the shapes of their values), and of nodes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from liquid.ast import Node
from liquid.builtin.expressions import (
    BooleanExpression,
    Filter,
    FilteredExpression,
    LoopExpression,
    Path,
    StringLiteral,
    logical,
)
from liquid.builtin.expressions.logical import EqExpression, LogicalOrExpression
from liquid.builtin.expressions.primitive import FalseLiteral, FloatLiteral, IntegerLiteral, RangeLiteral, TrueLiteral
from liquid.builtin.tags.assign_tag import AssignNode
from liquid.builtin.tags.capture_tag import CaptureNode
from liquid.builtin.tags.case_tag import CaseNode, MultiExpressionBlockNode
from liquid.builtin.tags.decrement_tag import DecrementNode
from liquid.builtin.tags.for_tag import BreakNode, ContinueNode, ForNode
from liquid.builtin.tags.if_tag import IfNode
from liquid.builtin.tags.increment_tag import IncrementNode
from liquid.builtin.tags.tablerow_tag import TablerowNode
from liquid.builtin.tags.unless_tag import UnlessNode
from liquid.expression import Expression

from scenario.liquid.analysis.usage import BY_FIELD
from scenario.liquid.engine.environment import Engine
from scenario.liquid.engine.instrument import find_argument_problem
from scenario.liquid.engine.limits import MAX_FILTERS
from scenario.liquid.engine.logic import COMPARISONS
from scenario.liquid.engine.nodes import child_nodes
from scenario.liquid.lint.comparisons import ComparisonLinter
from scenario.liquid.lint.constants import find_constant_problem
from scenario.liquid.lint.findings import LintedText
from scenario.liquid.lint.scope import (
    ANYTHING,
    DATE,
    FLAG,
    FOREIGN_CONSTANTS,
    FORLOOP,
    NUMBER,
    TABLEROWLOOP,
    TEXT,
    TemplateScope,
    check_item_field,
    describe_shape,
    field_argument,
    shape_after,
)
from scenario.liquid.shapes import ListOf, Object, Tree, Value
from scenario.source.findings import closest

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
            if not is_known and closest(word, names.all_names()) is None:
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
            meant = closest(applied.name, self._engine.filters)
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


def lint_nodes(nodes: Iterable[Node], reader: ExpressionLinter, names: TemplateScope, *, looping: bool = False) -> None:
    for node in nodes:
        _lint_node(node, reader, names, looping=looping)


def _lint_node(node: Node, reader: ExpressionLinter, names: TemplateScope, *, looping: bool) -> None:
    match node:
        case AssignNode():
            names.own[str(node.name)] = reader.check(node.expression, names)
        case CaptureNode():
            lint_nodes(child_nodes(node), reader, names, looping=looping)
            names.own[str(node.name)] = TEXT
        case IncrementNode() | DecrementNode():
            names.own.setdefault(str(node.name), NUMBER)
        case ForNode():
            item = loop_item_shape(node.expression, reader, names)
            inside = names.with_names({str(node.expression.identifier): item, "forloop": FORLOOP})
            lint_nodes([node.block], reader, inside, looping=True)
            if node.default is not None:
                lint_nodes([node.default], reader, names, looping=looping)
        case TablerowNode():
            item = loop_item_shape(node.expression, reader, names)
            inside = names.with_names({str(node.expression.identifier): item, "tablerowloop": TABLEROWLOOP})
            lint_nodes([node.block], reader, inside, looping=True)
        case BreakNode() | ContinueNode():
            if not looping:
                reader.linted.add("outside-loop", f"'{node.token.value}' is outside of a loop", node.token.start_index)
        case IfNode() | UnlessNode():
            _lint_branches(node, reader, names, looping=looping)
        case CaseNode():
            reader.check(node.expression, names, test=True)
            inside = otherwise = names.with_tested(mentioned_variables(node.expression))
            for block in node.blocks:
                if isinstance(block, MultiExpressionBlockNode):
                    for value in block.expression.children():
                        reader.check(value, names, test=True)
                    equal = _when_condition(node, block)
                    lint_nodes([block.block], reader, inside.with_outcome(equal, is_true=True), looping=looping)
                    otherwise = otherwise.with_outcome(equal, is_true=False)
                else:
                    lint_nodes([block], reader, otherwise, looping=looping)
        case _:
            for expression in node.expressions():
                reader.check(expression, names)
            lint_nodes(child_nodes(node), reader, names, looping=looping)


def _lint_branches(node: IfNode | UnlessNode, reader: ExpressionLinter, names: TemplateScope, *, looping: bool) -> None:
    """Check the branches of an ``if`` or ``unless``, each with the outcomes that lead to it."""
    reader.check(node.condition, names)
    is_if = isinstance(node, IfNode)
    names = names.with_tested(mentioned_variables(node.condition))
    lint_nodes([node.consequence], reader, names.with_outcome(node.condition, is_true=is_if), looping=looping)
    names = names.with_outcome(node.condition, is_true=not is_if)
    for branch in node.alternatives:
        reader.check(branch.expression, names)
        inside = names.with_tested(mentioned_variables(branch.expression)).with_outcome(branch.expression, is_true=True)
        lint_nodes([branch.block], reader, inside, looping=looping)
        names = names.with_outcome(branch.expression, is_true=False)
    if node.default is not None:
        lint_nodes([node.default], reader, names, looping=looping)


def _when_condition(case: CaseNode, when: MultiExpressionBlockNode) -> Expression:
    first, *others = (EqExpression(when.token, case.expression, value) for value in when.expression.children())
    made: Expression = first
    for other in others:
        made = LogicalOrExpression(when.token, made, other)
    return made


def loop_item_shape(loop: LoopExpression, reader: ExpressionLinter, names: TemplateScope) -> Tree:
    """Check a loop's expression, and return the shape of its items."""
    shape = reader.check(loop.iterable, names)
    for part in (loop.limit, loop.offset, loop.cols):
        if part is not None:
            reader.check(part, names)
    if isinstance(shape, ListOf):
        return shape.item
    if isinstance(shape, Value):
        at = loop.iterable.token.start_index
        reader.linted.add("not-a-list", f"'{loop.iterable}' is {describe_shape(shape)}, not a list to loop over", at)
    if isinstance(shape, Object) and not shape.open:
        at = loop.iterable.token.start_index
        lists = [name for name, tree in shape.fields.items() if isinstance(tree, ListOf)]
        meant = f"{loop.iterable}.{lists[0]}" if len(lists) == 1 else None
        message = f"'{loop.iterable}' is an object, not a list to loop over"
        # It may be intended if the object contains no list: such a loop yields names and values.
        reader.linted.add("not-a-list", message, at, severity="error" if lists else "warning", suggestion=meant)
    return ANYTHING


def mentioned_variables(condition: Expression) -> frozenset[str]:
    """Return the variables in a condition, which may be missing or belong to another trigger inside of it."""
    found: set[str] = set()
    pending = [condition]
    while pending:
        part = pending.pop()
        if isinstance(part, Path) and isinstance(part.path[0], str):
            found.add(part.path[0])
        pending.extend(part.children())
    return frozenset(found)
