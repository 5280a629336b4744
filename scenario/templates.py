"""Where a scenario has templates, what kind each is, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple, cast

from scenario import liquid
from scenario.errors import TemplateError
from scenario.outline import Written, outline
from scenario.report import Report
from scenario.source import Path


class Template(NamedTuple):
    """A template as it stands in the file.

    Attributes:
        path: Where.
        kind: What its output becomes: ``text``, ``line``, ``html``, ``json``, ``url``, ``header``, ``condition`` or
            ``value``.
        source: The text, or the structure of a structured body.
        step: The kind of the step that it belongs to; None outside of steps.
    """

    path: Path
    kind: str
    source: Any
    step: str | None = None


_KINDS: Final[Mapping[str, Mapping[str, str]]] = {
    "email": {"subject": "line", "html": "html", "text": "text"},
    "sms": {"text": "text"},
    "webhook": {"url": "url", "body": "json"},
    "wait_for": {"if": "condition"},
    "if": {"if": "condition"},
}


def templates(data: Any) -> Iterator[Template]:
    """All templates of a scenario that have the type of one, in no particular order.

    Args:
        data: The scenario as it was written, see `scenario.outline`.
    """
    if not isinstance(data, Mapping):
        return
    scenario = cast("Mapping[str, Any]", data)
    if isinstance(entry := scenario.get("entry"), Mapping):
        rules = cast("Mapping[str, Any]", entry)
        yield from _texts(rules, {"key": "text", "if": "condition"}, ("entry",))
    if isinstance(exits := scenario.get("exit"), list):
        for index, rule in enumerate(cast("list[Any]", exits)):
            if isinstance(rule, Mapping):
                yield from _texts(cast("Mapping[str, Any]", rule), {"if": "condition"}, ("exit", index))
    for step in outline(data):
        yield from _of_step(step)


def _texts(
    keys: Mapping[str, Any], kinds: Mapping[str, str], path: Path, step: str | None = None
) -> Iterator[Template]:
    for key, kind in kinds.items():
        if isinstance(source := keys.get(key), str) and source:
            yield Template((*path, key), kind, source, step)


def _of_step(step: Written) -> Iterator[Template]:
    yield from _texts(step.keys, _KINDS.get(step.kind or "", {}), step.path, step.kind)
    if step.kind == "webhook":
        if isinstance(body := step.keys.get("body"), Mapping | list) and set(cast("Any", body)) != {"file"}:
            yield Template((*step.path, "body"), "json", body, step.kind)
        if isinstance(headers := step.keys.get("headers"), Mapping):
            for name, value in cast("Mapping[str, Any]", headers).items():
                if isinstance(value, str):
                    yield Template((*step.path, "headers", name), "header", value, step.kind)
    if step.kind == "wait" and isinstance(wait := step.keys.get("wait"), Mapping):
        until = cast("Mapping[str, Any]", wait).get("until")
        if isinstance(until, str) and "{" in until:
            yield Template((*step.path, "wait", "until"), "value", until, step.kind)


def check_templates(data: Any, report: Report) -> None:
    """Reports every template that cannot be parsed."""
    for template in templates(data):
        try:
            _parse(template)
        except TemplateError as error:
            report.add(template.path, "template", error.reason, offset=error.offset)


def _parse(template: Template) -> None:
    match template.kind:
        case "html":
            liquid.parse_html(template.source)
        case "json":
            liquid.parse_json(template.source)
        case "url":
            liquid.parse_url(template.source)
        case "header":
            liquid.parse_header(template.source)
        case "condition":
            liquid.parse_condition(template.source)
        case _:
            liquid.parse_text(template.source)
