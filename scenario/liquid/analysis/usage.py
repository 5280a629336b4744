"""Static analysis of the fields of list items that a template reads.

``find_fields`` includes a list as a whole. This module traces variables back to the data that they come from, through
loops, ``assign``, ``$let`` and the filters that keep items, so that a step gets only the fields of each line that it
prints. Any other use of a value, by an unknown filter or tag, requires all of it.

The result does not depend on the order of execution: a name represents everything that is ever assigned to it and also
the variable of the data. Only a loop's own variable hides all others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

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
    logical,
)
from liquid.builtin.expressions.primitive import Blank, Empty
from liquid.builtin.tags.assign_tag import AssignNode
from liquid.builtin.tags.case_tag import _AnyExpression as AnyExpression  # pyright: ignore[reportPrivateUsage]
from liquid.builtin.tags.for_tag import ForNode
from liquid.builtin.tags.tablerow_tag import TablerowNode
from liquid.expression import Expression

from scenario.liquid.analysis.fields import ENGINES
from scenario.liquid.engine.nodes import child_nodes
from scenario.liquid.shapes import Kind
from scenario.liquid.sinks import body, body_parts
from scenario.liquid.sinks.text import compile_condition, parse_template

BY_FIELD: Final = frozenset(
    {"compact", "find", "find_index", "has", "map", "reject", "sort", "sort_natural", "sum", "uniq", "where"}
)
"""Filters that read one field of each item, if an argument names it."""
MOST_SOURCES: Final = 32
"""Places in the data that one name may represent."""
MOST_PASSES: Final = 24
"""Limit of passes over a template until its names represent no further data."""


MAX_DEPTH: Final = 16
"""Levels of the tree; deeper data is included whole. A loop may assign a variable to one of its own fields."""


@dataclass(eq=False, slots=True)
class DataUsage:
    """The usage of one value.

    Only the data determine the type of a value. A value that is read as a list but is an object is included whole, and
    so is an item that is a list itself.
    """

    depth: int = 0
    """Levels above it."""
    is_item: bool = False
    whole: bool = False
    tested: bool = False
    each: DataUsage | None = None
    """The usage of its items, if it is read as a list."""
    fields: dict[str, DataUsage] = field(default_factory=dict[str, "DataUsage"])
    """The usage of its fields, if it is read as an object."""

    def field_usage(self, name: str) -> Iterable[DataUsage]:
        """Return the usage of a field, or nothing if the object is included whole."""
        if self._is_enough():
            return ()
        if name not in self.fields:
            self.fields[name] = DataUsage(self.depth + 1)
        return (self.fields[name],)

    def item_usage(self) -> Iterable[DataUsage]:
        """Return the usage of the items, or nothing if the list is included whole."""
        if self._is_enough():
            return ()
        if self.each is None:
            self.each = DataUsage(self.depth + 1, is_item=True)
        return (self.each,)

    def _is_enough(self) -> bool:
        self.whole = self.whole or self.depth >= MAX_DEPTH
        return self.whole

    def list_item_usage(self, path: Sequence[str]) -> DataUsage | None:
        """Return the usage of a list's items, or None if the list is included whole or not read as a list."""
        need = self
        for name in path:
            if need.whole or need.tested or need.each is not None or name not in need.fields:
                return None
            need = need.fields[name]
        return None if need.whole or need.fields else need.each


class TracedValue(NamedTuple):
    """A value, as far as it can be determined without the data."""

    sources: frozenset[DataUsage] = frozenset()
    items: frozenset[DataUsage] = frozenset()
    """The data that a new list may contain."""

    def union(self, other: TracedValue) -> TracedValue:
        return TracedValue(self.sources | other.sources, self.items | other.items)

    def mark_whole(self) -> None:
        for need in self.sources | self.items:
            need.whole = True

    def mark_tested(self) -> None:
        for need in self.sources:
            need.tested = True

    def field(self, name: str) -> TracedValue:
        """Return one of its fields. A new list has none."""
        return TracedValue(frozenset(found for need in self.sources for found in need.field_usage(name)))

    def item(self) -> TracedValue:
        return TracedValue(frozenset(found for need in self.sources for found in need.item_usage()) | self.items)

    def flat(self) -> frozenset[DataUsage]:
        """Return its items, with inner lists flattened, as most filters do.

        An item that is a list itself is included whole, but a field collected by `map` may be a list and is read as
        one.
        """
        laid = (found for need in self.items if not need.is_item for found in need.item_usage())
        return self.item().sources.union(laid)

    def by_field(self, name: str, key: str) -> TracedValue:
        """Return the result of a filter that reads a field of each item."""
        items = self.flat()
        values = TracedValue(items).field(key)
        if name == "map":
            return TracedValue(items=values.sources)
        values.mark_whole()
        match name:
            case "find":
                return TracedValue(items)
            case "find_index" | "has" | "sum":
                return NEW_VALUE
            case _:
                return TracedValue(items=items)


NEW_VALUE: Final = TracedValue()
"""A value without lists or objects of the data, such as a number or a text."""

_Scope = Mapping[str, TracedValue]


def trace_usage(
    sources: Iterable[tuple[str | Mapping[str, Any] | list[Any], Kind]], same: Iterable[tuple[str, str]] = ()
) -> DataUsage:
    """Return the data that several templates read, by variable.

    `DataUsage.list_item_usage` reports the fields of a list's items. For other paths use ``find_fields``.

    Args:
        sources: Templates, conditions and structured bodies, with their kinds.
        same: By variable, the name of a field that is also the variable of this name.
    """
    root = DataUsage()
    for outer, name in same:
        for holder, one in zip(root.field_usage(outer), root.field_usage(name), strict=True):
            holder.fields[name] = one
    for source, kind in sources:
        _Tracer(root).trace(source, kind)
    return root


class _Tracer:
    def __init__(self, root: DataUsage) -> None:
        self._root = root
        self._names: dict[str, TracedValue] = {}

    def trace(self, source: str | Mapping[str, Any] | list[Any], kind: Kind) -> None:
        """Repeat the walk until the template's names represent no further data."""
        for _ in range(MOST_PASSES):
            before = dict(self._names)
            if not isinstance(source, str):
                self._part(body.compile_body(source), {})
            elif kind == "condition":
                self._use(compile_condition(source), {})
            else:
                self._nodes(parse_template(ENGINES[kind], source).nodes, {})
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
                name, value = str(node.name), self._value(node.expression, scope)
                known = self._names.get(name, NEW_VALUE).union(value)
                if len(known.sources) + len(known.items) > MOST_SOURCES:
                    value.mark_whole()
                else:
                    self._names[name] = known
            case ForNode() | TablerowNode():
                item, own = self._loop(node.expression, scope), {str(name): NEW_VALUE for name in node.block_scope()}
                self._node(node.block, {**scope, **own, str(node.expression.identifier): item})
                if isinstance(node, ForNode) and node.default is not None:
                    self._node(node.default, scope)
            case _:
                for expression in node.expressions():
                    self._use(expression, scope)
                inner = {**scope, **{str(name): NEW_VALUE for name in node.block_scope()}}
                self._nodes(child_nodes(node), inner)

    def _loop(self, loop: LoopExpression, scope: _Scope) -> TracedValue:
        for part in (loop.limit, loop.offset, loop.cols):
            if part is not None:
                self._use(part, scope)
        return self._value(loop.iterable, scope).item()

    # ---- expressions

    def _use(self, expression: Expression, scope: _Scope) -> None:
        self._value(expression, scope).mark_whole()

    def _test(self, expression: Expression, scope: _Scope) -> None:
        self._value(expression, scope).mark_tested()

    def _value(self, expression: Expression, scope: _Scope) -> TracedValue:
        match expression:
            case Path():
                return self._path(expression, scope)
            case FilteredExpression():
                value = self._value(expression.left, scope)
                for used in expression.filters or ():
                    value = self._filter(value, used, scope)
                return value
            case BooleanExpression():
                self._test(expression.expression, scope)
            case logical.LogicalNotExpression():
                self._test(expression.right, scope)
            case logical.LogicalAndExpression() | logical.LogicalOrExpression():
                self._test(expression.left, scope)
                self._test(expression.right, scope)
            case logical.EqExpression() | logical.NeExpression():
                # A comparison with blank or nil does not read a list's items.
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
        return NEW_VALUE

    def _path(self, path: Path, scope: _Scope) -> TracedValue:
        name, *keys = path.path
        root = str(name)
        if root in scope:
            value = scope[root]
        else:
            value = TracedValue(frozenset(self._root.field_usage(root))).union(self._names.get(root, NEW_VALUE))
        for key in keys:
            if isinstance(key, Path):
                self._use(key, scope)
            if not isinstance(key, str) or key in ("first", "last"):
                value = value.item()
            elif key == "size":
                value.item()
                value = NEW_VALUE
            else:
                value = value.field(key)
        return value

    def _filter(self, value: TracedValue, used: Filter, scope: _Scope) -> TracedValue:
        arguments: Sequence[Expression] = [one.value for one in used.args if not isinstance(one, KeywordArgument)]
        match used.name, arguments:
            case "size", []:
                value.item()
                return NEW_VALUE
            case (("first" | "last"), []):
                return value.item()
            case "slice", _:
                for part in arguments:
                    self._use(part, scope)
                return TracedValue(items=value.item().sources)
            case (("reverse" | "compact"), []):
                return TracedValue(items=value.flat())
            case "concat", [other]:
                return TracedValue(items=value.flat() | self._value(other, scope).item().sources)
            case "default", _:
                value.mark_tested()
                for one in used.args:
                    value = value.union(self._value(one.value, scope))
                return value
            case name, [StringLiteral(value=str(key)), *rest] if name in BY_FIELD and key:
                for part in rest:
                    self._use(part, scope)
                return value.by_field(name, key)
            case _:
                value.mark_whole()
                for one in used.args:
                    self._use(one.value, scope)
                return NEW_VALUE

    # ---- structured bodies

    def _part(self, part: body_parts.BodyPart, scope: _Scope) -> None:
        if isinstance(part, body_parts.LiquidPart):
            self._nodes(part.template.nodes, scope)
        elif isinstance(part, body_parts.ForPart):
            item = self._loop(part.loop, scope)
            self._part(part.each, {**scope, "forloop": NEW_VALUE, part.loop.identifier: item})
        elif isinstance(part, body_parts.LetPart):
            named = dict(scope)
            for name, value in part.names:
                if isinstance(value, body_parts.LiquidPart) and value.output is not None:
                    named[name] = self._value(value.output, named)
                else:
                    self._part(value, named)
                    named[name] = NEW_VALUE
            self._part(part.inside, named)
        elif isinstance(part, body_parts.IfPart):
            self._use(part.condition, scope)
        for inner in part.inner():
            self._part(inner, scope)
