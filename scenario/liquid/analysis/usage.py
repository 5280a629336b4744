"""Which fields of a loop's items a template reads, found without rendering it.

``reading`` names a list as a whole. Here the values of variables are traced back to the data that they are taken from,
through loops, ``assign``, ``$let`` and the filters that keep items, so that a step can be handed the two or three
fields of each line that it prints. What is done with a value in any other way, by a filter or a tag that is not known
here, needs all of it.

Nothing depends on the order in which a template runs: a name stands for everything that it is ever assigned and, since
that may not have happened yet, for the variable of the data, too. Only a loop's own variable hides all others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

from liquid import RenderContext
from liquid.ast import Node
from liquid.builtin.expressions import (
    BooleanExpression,
    Filter,
    FilteredExpression,
    KeywordArgument,
    LoopExpression,
    Nil,
    Path,
    StringLiteral,
    TernaryFilteredExpression,
)
from liquid.builtin.expressions.logical import (
    EqExpression,
    LogicalAndExpression,
    LogicalNotExpression,
    LogicalOrExpression,
    NeExpression,
)
from liquid.builtin.expressions.primitive import Blank, Empty
from liquid.builtin.tags.assign_tag import AssignNode
from liquid.builtin.tags.case_tag import _AnyExpression as AnyExpression  # pyright: ignore[reportPrivateUsage]
from liquid.builtin.tags.for_tag import ForNode
from liquid.builtin.tags.include_tag import IncludeNode
from liquid.builtin.tags.render_tag import RenderNode
from liquid.builtin.tags.tablerow_tag import TablerowNode
from liquid.expression import Expression

from scenario.liquid.analysis.fields import ENGINES, Kind
from scenario.liquid.analysis.usage_tree import Need
from scenario.liquid.sinks import structured, structured_parts
from scenario.liquid.sinks.text import condition, template

BY_FIELD: Final = frozenset(
    {"compact", "find", "find_index", "has", "map", "reject", "sort", "sort_natural", "sum", "uniq", "where"}
)
"""Filters that look into a field of each item, where they are told one."""


class Seen(NamedTuple):
    """A value, as far as is known without the data.

    Attributes:
        these: It may be one of these.
        inside: It may be a new list of these.
    """

    these: frozenset[Need] = frozenset()
    inside: frozenset[Need] = frozenset()

    def or_else(self, other: Seen) -> Seen:
        """What may be this value or another."""
        return Seen(self.these | other.these, self.inside | other.inside)

    def take(self) -> None:
        """All of it is read."""
        for need in self.these | self.inside:
            need.whole = True

    def ask(self) -> None:
        """It is asked for being there, or for being empty."""
        for need in self.these:
            need.tested = True

    def field(self, name: str) -> Seen:
        """A field of it; a new list has none."""
        return Seen(frozenset(found for need in self.these for found in need.of_field(name)))

    def item(self) -> Seen:
        """An item of it."""
        return Seen(frozenset(found for need in self.these for found in need.of_items()) | self.inside)

    def flat(self) -> frozenset[Need]:
        """Its items as most filters see them: what lists inside of it hold is laid out.

        An item of a list that is a list itself is handed over whole in any case, but a field that `map` has collected
        has to be read as the list that it may be.
        """
        laid = (found for need in self.inside if not need.is_item for found in need.of_items())
        return self.item().these.union(laid)

    def by_field(self, name: str, key: str) -> Seen:
        """What comes out of one of the filters that look into a field of each item."""
        items = self.flat()
        values = Seen(items).field(key)
        if name == "map":
            return Seen(inside=values.these)
        values.take()
        match name:
            case "find":
                return Seen(items)
            case "find_index" | "has" | "sum":
                return NEW
            case _:
                return Seen(inside=items)


NEW: Final = Seen()
"""A value that holds nothing of the data's lists and objects: a number, a text."""


MOST_SOURCES: Final = 32
"""Places in the data that one name may stand for."""
MOST_PASSES: Final = 24
"""How often a template is gone through until its names stand for nothing new."""
_NO_CONTEXT: Final = cast("RenderContext", None)


_Scope = Mapping[str, Seen]


def needs(
    sources: Iterable[tuple[str | Mapping[str, Any] | list[Any], Kind]], same: Iterable[tuple[str, str]] = ()
) -> Need:
    """What some templates read of the data that they share.

    Args:
        sources: Templates, conditions and structured bodies, and what each is for.
        same: Fields of variables that are variables too: each the variable, and the name of both the field and the
            other one.

    Returns:
        By variable. It is for telling what is read of a list's items (``Need.of_lines``): which paths are read at all
        is for ``fields`` to say.

    Raises:
        TemplateError: A template is malformed.
    """
    root = Need()
    for outer, name in same:
        for holder, one in zip(root.of_field(outer), root.of_field(name), strict=True):
            holder.fields[name] = one
    for source, kind in sources:
        _Tracer(root).trace(source, kind)
    return root


class _Tracer:
    """Goes through one parsed template and notes what is done with the data."""

    def __init__(self, root: Need) -> None:
        self._root = root
        self._names: dict[str, Seen] = {}

    def trace(self, source: str | Mapping[str, Any] | list[Any], kind: Kind) -> None:
        """Go through a template until its names stand for nothing new."""
        for _ in range(MOST_PASSES):
            before = dict(self._names)
            if not isinstance(source, str):
                self._part(structured.compiled(source).root, {})
            elif kind == "condition":
                self._use(condition(source).expression, {})
            else:
                self._nodes(template(ENGINES[kind], source).nodes, {})
            if self._names == before:
                return
        self._root.whole = True

    # ---- tags

    def _nodes(self, nodes: Iterable[Node], scope: _Scope) -> None:
        for node in nodes:
            self._node(node, scope)

    def _node(self, node: Node, scope: _Scope) -> None:
        match node:
            case AssignNode():
                self._assign(str(node.name), self._value(node.expression, scope))
            case ForNode():
                item = self._loop(node.expression, scope)
                self._node(node.block, {**scope, "forloop": NEW, str(node.expression.identifier): item})
                if node.default is not None:
                    self._node(node.default, scope)
            case TablerowNode():
                item = self._loop(node.expression, scope)
                self._node(node.block, {**scope, "tablerowloop": NEW, str(node.expression.identifier): item})
            case IncludeNode() | RenderNode():
                # What such a template reads is not in this one.
                self._root.whole = True
            case _:
                for expression in node.expressions():
                    self._use(expression, scope)
                inner = {**scope, **{str(name): NEW for name in node.block_scope()}}
                self._nodes(node.children(_NO_CONTEXT, include_partials=False), inner)

    def _assign(self, name: str, value: Seen) -> None:
        known = self._names.get(name, NEW).or_else(value)
        if len(known.these) + len(known.inside) > MOST_SOURCES:
            value.take()
        else:
            self._names[name] = known

    def _loop(self, loop: LoopExpression, scope: _Scope) -> Seen:
        """The items of a loop."""
        for part in (loop.limit, loop.offset, loop.cols):
            if part is not None:
                self._use(part, scope)
        return self._value(loop.iterable, scope).item()

    # ---- expressions

    def _use(self, expression: Expression, scope: _Scope) -> None:
        self._value(expression, scope).take()

    def _test(self, expression: Expression, scope: _Scope) -> None:
        self._value(expression, scope).ask()

    def _value(self, expression: Expression, scope: _Scope) -> Seen:
        match expression:
            case Path():
                return self._path(expression, scope)
            case FilteredExpression():
                return self._filtered(self._value(expression.left, scope), expression.filters, scope)
            case TernaryFilteredExpression():
                self._use(expression.condition, scope)
                value = self._value(expression.left, scope)
                if expression.alternative is not None:
                    other = self._value(expression.alternative, scope)
                    value = value.or_else(self._filtered(other, expression.filters, scope))
                return self._filtered(value, expression.tail_filters, scope)
            case BooleanExpression():
                self._test(expression.expression, scope)
            case LogicalNotExpression():
                self._test(expression.right, scope)
            case LogicalAndExpression() | LogicalOrExpression():
                self._test(expression.left, scope)
                self._test(expression.right, scope)
            case EqExpression() | NeExpression():
                # Compared with nothing, a list need not show its items.
                sides = (expression.left, expression.right)
                compare = self._test if any(isinstance(side, Nil | Blank | Empty) for side in sides) else self._use
                compare(expression.left, scope)
                compare(expression.right, scope)
            case AnyExpression():
                self._use(expression.left, scope)
                for value in expression.expressions:
                    self._use(value, scope)
            case _:
                for part in expression.children():
                    self._use(part, scope)
        return NEW

    def _path(self, path: Path, scope: _Scope) -> Seen:
        name, *keys = path.path
        root = str(name)
        if root in scope:
            value = scope[root]
        else:
            value = Seen(frozenset(self._root.of_field(root))).or_else(self._names.get(root, NEW))
        for key in keys:
            if isinstance(key, Path):
                self._use(key, scope)
            if not isinstance(key, str) or key in ("first", "last"):
                value = value.item()
            elif key == "size":
                value.item()
                value = NEW
            else:
                value = value.field(key)
        return value

    def _filtered(self, value: Seen, filters: Iterable[Filter] | None, scope: _Scope) -> Seen:
        for one in filters or ():
            value = self._filter(value, one, scope)
        return value

    def _filter(self, value: Seen, used: Filter, scope: _Scope) -> Seen:
        """What comes out of a filter."""
        arguments: Sequence[Expression] = [one.value for one in used.args if not isinstance(one, KeywordArgument)]
        match used.name, arguments:
            case "size", []:
                value.item()
                return NEW
            case (("first" | "last"), []):
                return value.item()
            case "slice", _:
                for part in arguments:
                    self._use(part, scope)
                return Seen(inside=value.item().these)
            case (("reverse" | "compact"), []):
                return Seen(inside=value.flat())
            case "concat", [other]:
                return Seen(inside=value.flat() | self._value(other, scope).item().these)
            case "default", _:
                value.ask()
                for one in used.args:
                    value = value.or_else(self._value(one.value, scope))
                return value
            case name, [StringLiteral(value=str(key)), *rest] if name in BY_FIELD and key:
                for part in rest:
                    self._use(part, scope)
                return value.by_field(name, key)
            case _:
                value.take()
                for one in used.args:
                    self._use(one.value, scope)
                return NEW

    # ---- structured bodies

    def _part(self, part: structured_parts.Written, scope: _Scope) -> None:
        match part:
            case structured_parts.Constant():
                pass
            case structured_parts.Leaf():
                self._nodes(part.template.nodes, scope)
            case structured_parts.Listed():
                for item in part.items:
                    self._part(item, scope)
            case structured_parts.Mapped():
                for pair in part.pairs:
                    if isinstance(pair.key, structured_parts.Leaf):
                        self._part(pair.key, scope)
                    self._part(pair.value, scope)
            case structured_parts.For():
                item = self._loop(part.loop, scope)
                self._part(part.each, {**scope, "forloop": NEW, part.loop.identifier: item})
                if part.otherwise is not None:
                    self._part(part.otherwise, scope)
            case structured_parts.If():
                self._use(part.condition, scope)
                self._part(part.then, scope)
                if part.otherwise is not None:
                    self._part(part.otherwise, scope)
            case structured_parts.Let():
                inner = dict(scope)
                for name, value in part.names:
                    inner[name] = self._named(value, inner)
                self._part(part.inside, inner)
            case _:
                raise AssertionError(type(part))

    def _named(self, part: structured_parts.Written, scope: _Scope) -> Seen:
        """The value of a name of ``$let``: what a single output gives, else something newly made."""
        if isinstance(part, structured_parts.Leaf) and part.output is not None:
            return self._value(part.output, scope)
        self._part(part, scope)
        return NEW
