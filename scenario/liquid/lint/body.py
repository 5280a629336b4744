"""The linters of structured bodies, with the names that ``$for`` and ``$let`` define, and of JSON texts.

An output in a JSON text must be inside or outside of a string on every path.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from liquid.ast import Node
from liquid.builtin.expressions import BooleanExpression, FilteredExpression, LoopExpression
from liquid.builtin.output import OutputNode
from liquid.builtin.tags.capture_tag import CaptureNode
from liquid.builtin.tags.case_tag import CaseNode, MultiExpressionBlockNode
from liquid.builtin.tags.for_tag import ForNode
from liquid.builtin.tags.if_tag import IfNode
from liquid.builtin.tags.unless_tag import UnlessNode
from liquid.exceptions import LiquidError
from liquid.token import TOKEN_EXPRESSION, Token

from scenario.liquid.engine.environment import Engine
from scenario.liquid.engine.limits import MAX_DEPTH
from scenario.liquid.engine.logic import parse_condition, parse_loop
from scenario.liquid.engine.nodes import child_nodes
from scenario.liquid.lint.expressions import ExpressionLinter, lint_nodes, loop_item_shape, mentioned_variables
from scenario.liquid.lint.findings import LintedText, TemplateFinding
from scenario.liquid.lint.repair import guess_loop_variable, parse_with_repairs, report_syntax_error
from scenario.liquid.lint.scope import ANYTHING, FORLOOP, TEXT, TemplateScope
from scenario.liquid.shapes import ListOf, Object, Tree
from scenario.liquid.sinks import json_text
from scenario.liquid.sinks.body import FORMS, describe_expression_problem, is_bare_expression
from scenario.liquid.sinks.json_text import ESCAPED, INSIDE, OUTSIDE, JsonContent, JsonSink
from scenario.source.decoding import NotJson, TooDeep, read_json
from scenario.type_guards import is_list, is_mapping

Place = tuple[str | int, ...]
_Parsed = TypeVar("_Parsed", LoopExpression, BooleanExpression)


class BodyLinter:
    """The linter of one body."""

    def __init__(self, engine: Engine, kind: str) -> None:
        self._engine, self._kind = engine, kind
        self.findings: list[TemplateFinding] = []

    def check_part(self, body: object, path: Place, names: TemplateScope, depth: int = 0) -> Tree:
        """Check one part of the body, and return the shape of its value."""
        if depth > MAX_DEPTH:
            self._report(path, "limit", f"a body may be nested {MAX_DEPTH} levels deep")
            return ANYTHING
        if isinstance(body, str):
            return self._check_text(body, path, names)
        if is_mapping(body):
            return self._check_mapping(body, path, names, depth)
        if is_list(body):
            items = [self.check_part(item, (*path, index), names, depth + 1) for index, item in enumerate(body)]
            return ListOf(items[0] if items else ANYTHING)
        return ANYTHING

    def _report(self, path: Place, code: str, message: str, *, in_key: bool = False) -> None:
        linted = LintedText("", path, in_key=in_key)
        linted.add(code, message, 0)
        self.findings.extend(linted.findings)

    def _check_text(self, source: str, path: Place, names: TemplateScope, *, in_key: bool = False) -> Tree:
        if "{{" not in source and "{%" not in source:
            return TEXT
        linted = LintedText(source, path, in_key=in_key)
        nodes = parse_with_repairs(linted, self._engine)
        shape: Tree = TEXT
        if nodes is not None:
            reader = ExpressionLinter(linted, self._engine, self._kind)
            # A leaf's assignments end with the leaf.
            lint_nodes(nodes, reader, names.copy())
            if len(nodes) == 1 and isinstance(nodes[0], OutputNode):
                quiet = ExpressionLinter(LintedText(source), self._engine, self._kind)
                shape = quiet.check(nodes[0].expression, names)
        self.findings.extend(linted.findings)
        return shape

    def _check_mapping(self, body: Mapping[Any, Any], path: Place, names: TemplateScope, depth: int) -> Tree:
        for form, (needed, allowed) in FORMS.items():
            if form in body:
                for key in sorted(needed - set(body)):
                    self._report(path, "body-form", f"'{form}' needs '{key}' beside it")
                for key in set(body) - needed - allowed:
                    self._report((*path, key), "body-form", f"'{key}' has no meaning beside '{form}'", in_key=True)
                return self._check_form(form, body, path, names, depth)
        fields: dict[str, Tree] = {}
        for key, value in body.items():
            inner = (*path, key)
            if isinstance(key, str):
                if key.startswith("$") and not key.startswith("$$"):
                    message = "there is no such form: use $for, $if or $let, or write the key with '$$'"
                    self._report(inner, "body-form", message, in_key=True)
                self._check_text(key, inner, names, in_key=True)
            elif not isinstance(key, int) or isinstance(key, bool):
                self._report(inner, "body-form", "a key that is not text must be written in quotes", in_key=True)
            fields[str(key)] = self.check_part(value, inner, names, depth + 1)
        return Object(fields)

    def _check_form(self, form: str, body: Mapping[Any, Any], path: Place, names: TemplateScope, depth: int) -> Tree:
        def inside(key: str, names: TemplateScope) -> Tree:
            return self.check_part(body[key], (*path, key), names, depth + 1) if key in body else ANYTHING

        match form:
            case "$for":
                around = self._check_loop(body[form], (*path, form), names)
                item = inside("$each", around)
                inside("$else", names)
                return ListOf(item)
            case "$if":
                then, otherwise = self._check_condition(body[form], (*path, form), names)
                inside("$else", otherwise)
                return inside("$then", then)
            case _:
                given = body[form]
                if not is_mapping(given):
                    self._report((*path, form), "body-form", "'$let' is a mapping of names")
                    return inside("$in", names)
                for name, value in given.items():
                    shape = self.check_part(value, (*path, form, name), names, depth + 1)
                    names = names.with_names({str(name): shape})
                return inside("$in", names)

    def _check_loop(self, source: object, path: Place, names: TemplateScope) -> TemplateScope:
        linted, parsed = self._parse_expression(parse_loop, source, path)
        if parsed is None or linted is None:
            name = guess_loop_variable(source) if isinstance(source, str) else None
            return names.with_names({"forloop": FORLOOP, **({name: ANYTHING} if name else {})})
        item = loop_item_shape(parsed, ExpressionLinter(linted, self._engine, self._kind), names)
        self.findings.extend(linted.findings)
        return names.with_names({str(parsed.identifier): item, "forloop": FORLOOP})

    def _check_condition(
        self, source: object, path: Place, names: TemplateScope
    ) -> tuple[TemplateScope, TemplateScope]:
        """Check a condition, and return the scopes in which it is true and false."""
        linted, parsed = self._parse_expression(parse_condition, source, path)
        if parsed is None or linted is None:
            return names, names
        ExpressionLinter(linted, self._engine, self._kind).check(parsed, names)
        self.findings.extend(linted.findings)
        around = names.with_tested(mentioned_variables(parsed))
        return around.with_outcome(parsed, is_true=True), around.with_outcome(parsed, is_true=False)

    def _parse_expression(
        self, parse: Callable[[Engine, Token], _Parsed], source: object, path: Place
    ) -> tuple[LintedText | None, _Parsed | None]:
        if isinstance(source, bool):
            return None, None
        if not is_bare_expression(source):
            self._report(path, "body-form", describe_expression_problem(str(path[-1]), source))
            return None, None
        linted = LintedText(source, path)
        parsed = parse_alone(parse, linted, self._engine)
        if parsed is None:
            self.findings.extend(linted.findings)
        return linted, parsed


def parse_alone(parse: Callable[[Engine, Token], _Parsed], linted: LintedText, engine: Engine) -> _Parsed | None:
    """Return a parsed expression, or None after reporting that it cannot be parsed."""
    source = linted.source
    try:
        return parse(engine, Token(TOKEN_EXPRESSION, source, 0, source))
    except LiquidError as error:
        report_syntax_error(error, linted)
        return None


# ---- JSON texts

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
        read_json(json_text.blank_stray_commas(sink.getvalue()))
    except TooDeep as error:
        linted.add("limit", json_text.TOO_DEEP, json_text.find_origin(sink, error.at))
    except NotJson as error:
        linted.add("no-json", f"this is not JSON: {error.reason}", json_text.find_origin(sink, error.at))
