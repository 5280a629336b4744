"""A linter that reports all mistakes of a template with their positions, before it is published.

Nothing is rendered. The template is parsed as far as possible and then checked against the shapes of the data: the
fields of objects, the items of lists, the variables of loops and assignments.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from scenario.errors import TemplateError
from scenario.liquid.analysis.fields import ENGINES
from scenario.liquid.engine.limits import MAX_SOURCE
from scenario.liquid.engine.logic import parse_condition
from scenario.liquid.lint.body import BodyLinter, check_states, parse_alone
from scenario.liquid.lint.constants import check_texts
from scenario.liquid.lint.expressions import ExpressionLinter, lint_nodes
from scenario.liquid.lint.findings import LintedText, TemplateFinding
from scenario.liquid.lint.repair import parse_with_repairs
from scenario.liquid.lint.scope import TemplateScope
from scenario.liquid.shapes import Kind, Roots
from scenario.liquid.sinks import request
from scenario.liquid.sinks.body import compile_body
from scenario.liquid.sinks.text import compile_condition, parse_template

_OF_DATA: Final = frozenset(
    {"comparison", "constant", "json-string", "list-field", "mixed-logic", "no-json", "no-object", "not-a-list"}
    | {"not-apart", "out-of-scope", "same-sides", "unknown-field", "unknown-variable"}
)
"""Codes of mistakes that do not prevent parsing."""


def lint(source: str | Mapping[str, Any] | list[Any], *, kind: Kind, schema: Roots) -> list[TemplateFinding]:
    """Return all mistakes in a template, in the order of the text.

    A template without an error among them can be parsed. `schema` has the variables and their shapes.
    """
    names = TemplateScope(schema)
    if not isinstance(source, str):
        return _lint_structure(source, kind, names)
    linted = LintedText(source)
    if kind == "condition":
        _lint_condition(linted, names)
    else:
        _lint_text(linted, kind, names)
    if _can_be_parsed(linted.findings):
        _parse(linted, kind)
    if kind != "condition" and _can_be_parsed(linted.findings):
        check_texts(parse_template(ENGINES[kind], source).nodes, kind, linted)
    return sorted(linted.findings, key=lambda found: (found.offset, found.severity, found.code))


def _can_be_parsed(findings: Iterable[TemplateFinding]) -> bool:
    """Return True if all mistakes so far are about data, so that the parser may report more."""
    return all(found.severity == "warning" or found.code in _OF_DATA for found in findings)


def _lint_text(linted: LintedText, kind: Kind, names: TemplateScope) -> None:
    engine = ENGINES[kind]()
    nodes = parse_with_repairs(linted, engine)
    if nodes is None:
        return
    well_formed = not linted.findings
    lint_nodes(nodes, ExpressionLinter(linted, engine, kind), names)
    # In the JSON of a repaired template, quotes may be missing because of the repair.
    if kind == "json" and well_formed:
        check_states(nodes, linted)


def _lint_condition(linted: LintedText, names: TemplateScope) -> None:
    if not linted.source.strip() or linted.source.lstrip().startswith("{") or len(linted.source) > MAX_SOURCE:
        return
    engine = ENGINES["text"]()
    parsed = parse_alone(parse_condition, linted, engine)
    if parsed is not None:
        ExpressionLinter(linted, engine, "condition").check(parsed, names)


def _parse(linted: LintedText, kind: Kind) -> None:
    """Parse as rendering does, to report the remaining syntax errors."""
    try:
        match kind:
            case "condition":
                compile_condition(linted.source)
            case "url":
                request.find_origin(linted.source)
            case "path":
                request.check_path(linted.source)
            case _:
                parse_template(ENGINES[kind], linted.source)
    except TemplateError as error:
        linted.add("syntax" if kind not in ("url", "path") else "url", error.reason, error.offset or 0)


def _lint_structure(body: Mapping[str, Any] | list[Any], kind: Kind, names: TemplateScope) -> list[TemplateFinding]:
    linter = BodyLinter(ENGINES["form"](), kind)
    linter.check_part(body, (), names)
    if _can_be_parsed(linter.findings):
        try:
            compile_body(body)
        except TemplateError as error:
            linted = LintedText("")
            linted.add("syntax", error.sentence, 0)
            return linted.findings
    return linter.findings
