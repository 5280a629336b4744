"""Mistakes in templates, found before anything is sent: all of them at once, each with its place.

Nothing is rendered. A template is parsed as far as it can be, then walked with the shapes of the data that it may name:
the fields of the objects, the items of the lists, what loops and assignments make of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from scenario.errors import TemplateError
from scenario.liquid.analysis.fields import ENGINES, Kind
from scenario.liquid.engine.limits import MAX_SOURCE
from scenario.liquid.engine.logic import parse_condition
from scenario.liquid.lint.body import BodyLinter, parsed_expression
from scenario.liquid.lint.constants import check_texts
from scenario.liquid.lint.expressions import Reader
from scenario.liquid.lint.findings import Finding, Page
from scenario.liquid.lint.names import Names
from scenario.liquid.lint.repair import read
from scenario.liquid.lint.states import check_states
from scenario.liquid.lint.walk import walk
from scenario.liquid.shapes import Roots
from scenario.liquid.sinks import structured, url
from scenario.liquid.sinks.text import condition, template

_OF_DATA: Final = frozenset(
    {
        "comparison",
        "constant",
        "json-string",
        "list-field",
        "mixed-logic",
        "no-json",
        "no-object",
        "not-a-list",
        "not-apart",
        "out-of-scope",
        "same-sides",
        "unknown-field",
        "unknown-variable",
    }
)
"""Codes of mistakes that do not keep a template from being parsed."""


def lint(source: str | Mapping[str, Any] | list[Any], *, kind: Kind, schema: Roots) -> list[Finding]:
    """All mistakes in a template.

    Args:
        source: The template, the condition, or the structured body.
        kind: What it is for.
        schema: The variables that it may name, with their shapes.

    Returns:
        The findings, in the order of the text; of a structured body each with the path of its text. A template without
        an error among them can be parsed.
    """
    names = Names(schema)
    if not isinstance(source, str):
        return _lint_structure(source, kind, names)
    page = Page(source)
    if kind == "condition":
        _lint_condition(page, names)
    else:
        _lint_text(page, kind, names)
    if _can_be_parsed(page.findings):
        _parse(page, kind)
    if kind != "condition" and _can_be_parsed(page.findings):
        check_texts(template(ENGINES[kind], source).nodes, kind, page)
    return sorted(page.findings, key=lambda found: (found.offset, found.severity, found.code))


def _can_be_parsed(findings: Iterable[Finding]) -> bool:
    """Whether all that is wrong so far is about data: the parser knows of none, and has a word to say itself."""
    return all(found.severity == "warning" or found.code in _OF_DATA for found in findings)


def _lint_text(page: Page, kind: Kind, names: Names) -> None:
    engine = ENGINES[kind]()
    nodes = read(page, engine)
    if nodes is None:
        return
    well_formed = not page.findings
    walk(nodes, Reader(page, engine, kind), names)
    # In the JSON of a template that had to be fixed, quotes may be missing for that reason alone.
    if kind == "json" and well_formed:
        check_states(nodes, page)


def _lint_condition(page: Page, names: Names) -> None:
    if not page.source.strip() or page.source.lstrip().startswith("{") or len(page.source) > MAX_SOURCE:
        return
    engine = ENGINES["text"]()
    parsed = parsed_expression(parse_condition, page, engine)
    if parsed is not None:
        Reader(page, engine, "condition").shape(parsed, names)


def _parse(page: Page, kind: Kind) -> None:
    """Parse as rendering would: it has the last word on what is malformed."""
    try:
        match kind:
            case "condition":
                condition(page.source)
            case "url":
                url.origin(page.source)
            case "path":
                url.check_path(page.source)
            case _:
                template(ENGINES[kind], page.source)
    except TemplateError as error:
        page.add("syntax" if kind not in ("url", "path") else "url", error.reason, error.offset or 0)


def _lint_structure(body: Mapping[str, Any] | list[Any], kind: Kind, names: Names) -> list[Finding]:
    linter = BodyLinter(ENGINES["form"](), kind)
    linter.part(body, (), names)
    if _can_be_parsed(linter.findings):
        try:
            structured.compiled(body)
        except TemplateError as error:
            page = Page("")
            page.add("syntax", error.sentence, 0)
            return page.findings
    return linter.findings
