"""The linter of nodes, which tracks the names in scope."""

from __future__ import annotations

from collections.abc import Iterable

from liquid.ast import Node
from liquid.builtin.expressions import LoopExpression, Path
from liquid.builtin.expressions.logical import EqExpression, LogicalOrExpression
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

from scenario.liquid.engine.nodes import child_nodes
from scenario.liquid.lint.expressions import ExpressionLinter
from scenario.liquid.lint.scope import ANYTHING, FORLOOP, NUMBER, TABLEROWLOOP, TEXT, TemplateScope, describe_shape
from scenario.liquid.shapes import ListOf, Object, Tree, Value


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
