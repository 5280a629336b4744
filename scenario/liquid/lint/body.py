"""The linter of structured bodies: all their texts, with the names that ``$for`` and ``$let`` define."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from liquid.builtin.expressions import BooleanExpression, LoopExpression
from liquid.builtin.output import OutputNode
from liquid.exceptions import LiquidError
from liquid.token import TOKEN_EXPRESSION, Token

from scenario.liquid.engine.environment import Engine
from scenario.liquid.engine.limits import MAX_DEPTH
from scenario.liquid.engine.logic import parse_condition, parse_loop
from scenario.liquid.lint.expressions import ExpressionLinter, lint_nodes, loop_item_shape, mentioned_variables
from scenario.liquid.lint.findings import LintedText, TemplateFinding
from scenario.liquid.lint.repair import guess_loop_variable, parse_with_repairs, report_syntax_error
from scenario.liquid.lint.scope import ANYTHING, FORLOOP, TEXT, TemplateScope
from scenario.liquid.shapes import ListOf, Object, Tree
from scenario.liquid.sinks.body import FORMS, describe_expression_problem, is_bare_expression
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
