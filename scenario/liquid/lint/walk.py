"""The nodes of a template, in order, with what is in scope at each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, cast

from liquid import RenderContext
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

from scenario.liquid.lint.expressions import Reader
from scenario.liquid.lint.names import Names
from scenario.liquid.lint.shaping import ANYTHING, FORLOOP, NUMBER, TABLEROWLOOP, TEXT, called
from scenario.liquid.shapes import ListOf, Object, Tree, Value

_NO_CONTEXT: Final = cast("RenderContext", None)


def walk(nodes: Iterable[Node], reader: Reader, names: Names, *, looping: bool = False) -> None:
    """Check the nodes of a template.

    Args:
        nodes: The nodes, as parsed.
        reader: Checks their expressions and takes what is wrong.
        names: What is in scope at the first of them; takes what they assign.
        looping: Whether they are inside of a loop.
    """
    for node in nodes:
        _node(node, reader, names, looping=looping)


def _node(node: Node, reader: Reader, names: Names, *, looping: bool) -> None:
    match node:
        case AssignNode():
            names.own[str(node.name)] = reader.shape(node.expression, names)
        case CaptureNode():
            walk(_children(node), reader, names, looping=looping)
            names.own[str(node.name)] = TEXT
        case IncrementNode() | DecrementNode():
            names.own.setdefault(str(node.name), NUMBER)
        case ForNode():
            inside = names.within({**_item(node.expression, reader, names), "forloop": FORLOOP})
            walk([node.block], reader, inside, looping=True)
            if node.default is not None:
                walk([node.default], reader, names, looping=looping)
        case TablerowNode():
            inside = names.within({**_item(node.expression, reader, names), "tablerowloop": TABLEROWLOOP})
            walk([node.block], reader, inside, looping=True)
        case BreakNode() | ContinueNode():
            if not looping:
                reader.page.add("outside-loop", f"'{node.token.value}' is outside of a loop", node.token.start_index)
        case IfNode() | UnlessNode():
            _branches(node, reader, names, looping=looping)
        case CaseNode():
            reader.shape(node.expression, names, test=True)
            inside = otherwise = names.asking(asked(node.expression))
            for block in node.blocks:
                if isinstance(block, MultiExpressionBlockNode):
                    for value in block.expression.children():
                        reader.shape(value, names, test=True)
                    equal = _equal(node, block)
                    walk([block.block], reader, inside.knowing(equal, is_true=True), looping=looping)
                    otherwise = otherwise.knowing(equal, is_true=False)
                else:
                    walk([block], reader, otherwise, looping=looping)
        case _:
            for expression in node.expressions():
                reader.shape(expression, names)
            walk(_children(node), reader, names, looping=looping)


def _branches(node: IfNode | UnlessNode, reader: Reader, names: Names, *, looping: bool) -> None:
    """Check the branches of an ``if`` or ``unless``, each with what is known where it is taken."""
    reader.shape(node.condition, names)
    is_if = isinstance(node, IfNode)
    names = names.asking(asked(node.condition))
    walk([node.consequence], reader, names.knowing(node.condition, is_true=is_if), looping=looping)
    names = names.knowing(node.condition, is_true=not is_if)
    for branch in node.alternatives:
        reader.shape(branch.expression, names)
        inside = names.asking(asked(branch.expression)).knowing(branch.expression, is_true=True)
        walk([branch.block], reader, inside, looping=looping)
        names = names.knowing(branch.expression, is_true=False)
    if node.default is not None:
        walk([node.default], reader, names, looping=looping)


def _equal(case: CaseNode, when: MultiExpressionBlockNode) -> Expression:
    """The condition that a ``when`` stands for."""
    first, *others = (EqExpression(when.token, case.expression, value) for value in when.expression.children())
    made: Expression = first
    for other in others:
        made = LogicalOrExpression(when.token, made, other)
    return made


def _children(node: Node) -> Iterable[Node]:
    return node.children(_NO_CONTEXT, include_partials=False)


def _item(loop: LoopExpression, reader: Reader, names: Names) -> dict[str, Tree]:
    """A loop's variable and its shape."""
    return {str(loop.identifier): item_of(loop, reader, names)}


def item_of(loop: LoopExpression, reader: Reader, names: Names) -> Tree:
    """The shape of what a loop goes over, one at a time. Checks the loop's expression."""
    shape = reader.shape(loop.iterable, names)
    for part in (loop.limit, loop.offset, loop.cols):
        if part is not None:
            reader.shape(part, names)
    if isinstance(shape, ListOf):
        return shape.item
    if isinstance(shape, Value):
        at = loop.iterable.token.start_index
        reader.page.add("not-a-list", f"'{loop.iterable}' is {called(shape)}, not a list to loop over", at)
    if isinstance(shape, Object) and not shape.open:
        at = loop.iterable.token.start_index
        lists = [name for name, tree in shape.fields.items() if isinstance(tree, ListOf)]
        meant = f"{loop.iterable}.{lists[0]}" if len(lists) == 1 else None
        message = f"'{loop.iterable}' is an object, not a list to loop over"
        # Without a list in it, it may be meant: a loop over an object goes over its names and values.
        reader.page.add("not-a-list", message, at, severity="error" if lists else "warning", suggestion=meant)
    return ANYTHING


def asked(condition: Expression) -> frozenset[str]:
    """The variables that a condition mentions: inside of it they may be missing, or of another trigger."""
    found: set[str] = set()
    pending = [condition]
    while pending:
        part = pending.pop()
        if isinstance(part, Path) and isinstance(part.path[0], str):
            found.add(part.path[0])
        pending.extend(part.children())
    return frozenset(found)
