"""The linter of JSON texts. An output must be inside or outside of a string on every path."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from liquid.ast import Node
from liquid.builtin.expressions import FilteredExpression
from liquid.builtin.output import OutputNode
from liquid.builtin.tags.capture_tag import CaptureNode
from liquid.builtin.tags.case_tag import CaseNode, MultiExpressionBlockNode
from liquid.builtin.tags.for_tag import ForNode
from liquid.builtin.tags.if_tag import IfNode
from liquid.builtin.tags.unless_tag import UnlessNode

from scenario.liquid.engine.nodes import child_nodes
from scenario.liquid.lint.findings import LintedText
from scenario.liquid.sinks.json_text import (
    ESCAPED,
    INSIDE,
    OUTSIDE,
    TOO_DEEP,
    JsonContent,
    JsonSink,
    blank_stray_commas,
    find_origin,
)
from scenario.source.decoding import NotJson, TooDeep, read_json

States = frozenset[int]

_CONTROL: Final = re.compile(r"[\x00-\x1f]")


def check_states(nodes: list[Node], linted: LintedText) -> None:
    """Report outputs that are inside a string on some paths only, and texts that are not closed."""
    walker = _StateWalker(linted)
    before = len(linted.findings)
    end = walker.sequence(nodes, frozenset({OUTSIDE}))
    if end != frozenset({OUTSIDE}):
        reason = "a text is not closed at the end" if len(end) == 1 else "a text is not closed at the end of some paths"
        linted.add("json-string", f"{reason}: a quote is missing", walker.opened if walker.opened is not None else 0)
    elif len(linted.findings) == before and all(isinstance(node, JsonContent | OutputNode) for node in nodes):
        _check_plain(nodes, linted)


class _StateWalker:
    """A walk along all paths of a template at the same time."""

    def __init__(self, linted: LintedText) -> None:
        self._linted = linted
        self.opened: int | None = None

    def sequence(self, nodes: Iterable[Node], states: States) -> States:
        """Return the possible positions after some nodes."""
        for node in nodes:
            states = self._node(node, states)
        return states

    def _node(self, node: Node, states: States) -> States:
        match node:
            case JsonContent():
                return self._content(node, states)
            case OutputNode():
                self._output(node, states)
                return frozenset(INSIDE if state == ESCAPED else state for state in states)
            case CaptureNode():
                return states
            case ForNode():
                return self._loop(node, states)
            case IfNode() | UnlessNode():
                return self._branches(child_nodes(node), states, always=node.default is not None)
            case CaseNode(blocks=blocks):
                inner = [block.block if isinstance(block, MultiExpressionBlockNode) else block for block in blocks]
                has_else = any(not isinstance(block, MultiExpressionBlockNode) for block in blocks)
                return self._branches(inner, states, always=has_else)
            case _:
                return self.sequence(child_nodes(node), states)

    def _content(self, node: JsonContent, states: States) -> States:
        start = node.token.start_index
        if states == frozenset({INSIDE}):
            inside = node.text.partition('"')[0]
            if found := _CONTROL.search(inside):
                message = "a line break or control character is inside a text: write \\n"
                self._linted.add("json-string", message, start + found.start())
        after = frozenset(node.after[state] for state in states)
        if states == frozenset({OUTSIDE}) and INSIDE in after:
            self.opened = start + node.text.rfind('"')
        return after

    def _output(self, node: OutputNode, states: States) -> None:
        at = node.token.start_index
        if ESCAPED in states:
            self._linted.add("json-string", "an output directly follows a backslash", at)
        elif len(states) > 1:
            message = "this output is inside a text on one path and outside on another"
            self._linted.add("json-string", message, at)
        elif states == frozenset({INSIDE}) and isinstance(node.expression, FilteredExpression):
            filters = node.expression.filters
            if filters and filters[-1].name == "json":
                message = "'json' inside quotes writes JSON as text: remove the quotes or the filter"
                self._linted.add("json-in-quotes", message, filters[-1].token.start_index, severity="warning")

    def _loop(self, node: ForNode, states: States) -> States:
        reached = states
        while (after := reached | self._node(node.block, reached)) != reached:
            reached = after
        return reached | self._node(node.default, states) if node.default is not None else reached

    def _branches(self, branches: Iterable[Node], states: States, *, always: bool) -> States:
        ends = [self._node(branch, states) for branch in branches]
        return frozenset(state for end in (*ends, *(() if always else (states,))) for state in end)


def _check_plain(nodes: Iterable[Node], linted: LintedText) -> None:
    """Parse the result of a template without tags, in which all values have the same effect."""
    sink = JsonSink()
    for node in nodes:
        if isinstance(node, JsonContent):
            sink.literal(node)
        elif sink.state == OUTSIDE:  # in a text, a value may be empty
            sink.value(0, node.token)
    try:
        read_json(blank_stray_commas(sink.getvalue()))
    except TooDeep as error:
        linted.add("limit", TOO_DEEP, find_origin(sink, error.at))
    except NotJson as error:
        linted.add("no-json", f"this is not JSON: {error.reason}", find_origin(sink, error.at))
