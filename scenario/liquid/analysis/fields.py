"""Static analysis of the fields that a template may read.

A step gets only the fields that its templates name, so the result must cover every path through a template. A name
counts as the template's own only after an ``assign`` on the same level, which is certain to run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from liquid.ast import Node
from liquid.builtin.expressions import FilteredExpression, Path
from liquid.builtin.tags.assign_tag import AssignNode
from liquid.builtin.tags.capture_tag import CaptureNode
from liquid.builtin.tags.case_tag import _AnyExpression as AnyExpression  # pyright: ignore[reportPrivateUsage]
from liquid.builtin.tags.for_tag import ForNode
from liquid.builtin.tags.liquid_tag import LiquidNode
from liquid.builtin.tags.tablerow_tag import TablerowNode
from liquid.expression import Expression

from scenario.liquid.engine.environment import Engine, html_engine, json_engine, strict_engine, text_engine
from scenario.liquid.engine.nodes import child_nodes
from scenario.liquid.filters import dates
from scenario.liquid.shapes import Kind
from scenario.liquid.sinks import body, body_parts
from scenario.liquid.sinks.text import compile_condition, parse_template

ENGINES: Final[Mapping[str, Callable[[], Engine]]] = {
    "text": text_engine,
    "line": text_engine,
    "mailbox": text_engine,
    "value": text_engine,
    "html": html_engine,
    "json": json_engine,
    "form": strict_engine,
    "plain": strict_engine,
    "url": strict_engine,
    "path": strict_engine,
    "header": strict_engine,
}
_VIRTUAL: Final = frozenset({"size", "first", "last"})
_OF_DATES: Final = (("now",), ("today",), ("journey", "timezone"))
"""Data that a filter of dates may read."""


def find_fields(source: str | Mapping[str, Any] | list[Any], *, kind: Kind = "text") -> frozenset[tuple[str, ...]]:
    """Return the data paths that a template may read.

    Args:
        source: A template, a condition, or a structured body.
        kind: The output format of a template. Structured bodies ignore it.

    Returns: Paths such as ``("contact", "firstname")``. A path includes everything below it: a loop's list is included
        as a whole, and a dynamic ``contact[key]`` gives ``("contact",)``. Rendering with the selected data gives the
        same bytes as rendering with all data.
    """
    reader = _FieldCollector()
    if not isinstance(source, str):
        reader.read_part(body.compile_body(source), frozenset())
    elif kind == "condition":
        reader.read_expression(compile_condition(source), frozenset())
    else:
        reader.read_nodes(parse_template(ENGINES[kind], source).nodes, frozenset())
    return frozenset(reader.found)


class _FieldCollector:
    def __init__(self) -> None:
        self.found: set[tuple[str, ...]] = set()

    def read_nodes(self, nodes: Iterable[Node], own: frozenset[str]) -> frozenset[str]:
        """Read nodes. Takes and returns the names that the template has assigned before and after them."""
        for node in nodes:
            own = self._read_node(node, own)
        return own

    def _read_node(self, node: Node, own: frozenset[str]) -> frozenset[str]:
        for expression in node.expressions():
            self.read_expression(expression, own)
        children = list(child_nodes(node))
        match node:
            case AssignNode():
                return own | {str(node.name)}
            case CaptureNode():
                return self.read_nodes(children, own) | {str(node.name)}
            case LiquidNode():
                return self.read_nodes(child_nodes(node.block), own)
            case ForNode() | TablerowNode():
                self.read_nodes([node.block], own | {str(name) for name in node.block_scope()})
                if isinstance(node, ForNode) and node.default is not None:
                    self.read_nodes([node.default], own)
            case _:
                # A child may not be rendered, so its assignments are certain only inside of it.
                for child in children:
                    for expression in child.expressions():
                        self.read_expression(expression, own)
                    self.read_nodes(child_nodes(child), own)
        return own

    def read_expression(self, expression: Expression, own: frozenset[str]) -> None:
        if isinstance(expression, Path):
            self._read_path(expression, own)
        filters = (expression.filters or ()) if isinstance(expression, FilteredExpression) else ()
        if any(used.name in dates.FILTERS for used in filters):
            self.found.update(_OF_DATES)
        if isinstance(expression, AnyExpression):
            self.read_expression(expression.left, own)
        for part in expression.children():
            self.read_expression(part, own)

    def _read_path(self, path: Path, own: frozenset[str]) -> None:
        keys: list[str] = []
        for segment in path.path:
            if not isinstance(segment, str) or (keys and segment in _VIRTUAL):
                break
            keys.append(segment)
        if keys and keys[0] not in own:
            self.found.add(tuple(keys))

    def read_part(self, part: body_parts.BodyPart, own: frozenset[str]) -> None:
        if isinstance(part, body_parts.LiquidPart):
            self.read_nodes(part.template.nodes, own)
        elif isinstance(part, body_parts.ForPart):
            self.read_expression(part.loop, own)
            self.read_part(part.each, own | {part.loop.identifier, "forloop"})
        elif isinstance(part, body_parts.LetPart):
            for name, value in part.names:
                self.read_part(value, own)
                own |= {name}
            self.read_part(part.inside, own)
        elif isinstance(part, body_parts.IfPart):
            self.read_expression(part.condition, own)
        for inner in part.inner():
            self.read_part(inner, own)
