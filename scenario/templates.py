"""Where a scenario has templates, what kind each is, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import Any, Final, NamedTuple, cast

from scenario import liquid, model
from scenario.errors import TemplateError
from scenario.names import unknown_names
from scenario.outline import Written, outline
from scenario.report import Report
from scenario.source import Path
from scenario.variables import roots


class Template(NamedTuple):
    """A template as it stands in the file.

    Attributes:
        path: Where.
        kind: What its output becomes.
        source: The text, or the structure of a structured body.
        step: The kind of the step that it belongs to; None outside of steps.
    """

    path: Path
    kind: liquid.Kind
    source: Any
    step: str | None = None


_KINDS: Final[Mapping[str, Mapping[str, liquid.Kind]]] = {
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
    keys: Mapping[str, Any], kinds: Mapping[str, liquid.Kind], path: Path, step: str | None = None
) -> Iterator[Template]:
    for key, kind in kinds.items():
        if isinstance(source := keys.get(key), str) and source:
            yield Template((*path, key), kind, source, step)


def _of_step(step: Written) -> Iterator[Template]:
    yield from _texts(step.keys, _KINDS.get(step.kind or "", {}), step.path, step.kind)
    if step.kind == "webhook":
        body: Any = step.keys.get("body")
        if isinstance(body, list) or (isinstance(body, Mapping) and set(cast("Mapping[str, Any]", body)) != {"file"}):
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
    """Reports every template that cannot be parsed, and every name in one that means nothing there.

    Args:
        data: The scenario as it was written, with its misspelt keys put right and the texts of other files in place.
        report: Takes the findings.
    """
    trigger = cast("Mapping[str, Any]", data).get("trigger") if isinstance(data, Mapping) else None
    waits = frozenset(step.path for step in outline(data) if step.kind == "wait_for")
    first = {path[:-1]: path[-1] for path in sorted(waits, reverse=True)}
    for template in templates(data):
        try:
            _parse(template)
        except TemplateError as error:
            inside, reason = _within(template.source, error.reason)
            report.add((*template.path, *inside), "template", reason, offset=error.offset)
            continue
        known = roots(
            trigger if trigger in model.TRIGGERS else None,
            event=_has_event(template, waits, first),
            secrets=template.step == "webhook",
        )
        for name in unknown_names(template.source, template.kind, known):
            place = (*template.path, *name.path)
            report.add(place, "variable", name.message, offset=name.offset, severity=name.severity)


def _has_event(template: Template, waits: Set[Path], first: Mapping[Path, str | int]) -> bool:
    """Whether an event may have come by the time a template is rendered, or is what its condition is about.

    Args:
        template: The template.
        waits: Where the waits for events stand.
        first: The number of the first of them in each list of steps that has one.
    """
    path = template.path
    if template.kind == "condition" and (template.step == "wait_for" or path[0] == "exit"):
        return True
    for depth in range(len(path)):
        around, part = path[:depth], path[depth]
        if part == "then" and around in waits:
            return True
        before = first.get(around)
        if isinstance(part, int) and isinstance(before, int) and part > before:
            return True
    return False


def _within(source: Any, reason: str) -> tuple[Path, str]:
    """Where in a structured body a mistake is, which the reason begins with, and the reason without it."""
    if isinstance(source, str):
        return (), reason
    found = [(spelled, path) for spelled, path in _spelled(source, "", ()) if reason.startswith(f"{spelled}: ")]
    spelled, path = max(found, key=lambda pair: len(pair[0]), default=("", ()))
    return path, reason.removeprefix(f"{spelled}: ") if spelled else reason


def _spelled(source: Any, spelled: str, path: Path) -> Iterator[tuple[str, Path]]:
    """The places in a body, as `scenario.liquid` spells them: ``lines[0].name``."""
    if spelled:
        yield spelled, path
    if isinstance(source, Mapping):
        for key, value in cast("Mapping[str, Any]", source).items():
            yield from _spelled(value, f"{spelled}.{key}" if spelled else key, (*path, key))
    elif isinstance(source, list):
        for index, value in enumerate(cast("list[Any]", source)):
            yield from _spelled(value, f"{spelled}[{index}]", (*path, index))


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
        case "value":
            liquid.parse_value(template.source)
        case _:
            liquid.parse_text(template.source)
