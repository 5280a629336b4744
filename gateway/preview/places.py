"""The place in a file at which a template fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from gateway.preview.rendering import RenderProblem
from gateway.publishing import ScenarioFile
from scenario import liquid
from scenario.check.files import inline_files
from scenario.check.structure import check_structure
from scenario.check.templates import Template, templates
from scenario.errors import Aborted, TemplateError
from scenario.model.outline import outline
from scenario.source.findings import Finding
from scenario.source.report import Report
from scenario.source.source import Path as Place
from scenario.source.source import Source
from scenario.type_guards import is_list, is_mapping, mapping_or_empty, walk

_RENDER: Final[Mapping[str, Callable[[Any, Mapping[str, Any]], object]]] = {
    "text": liquid.render_text,
    "line": liquid.render_line,
    "html": liquid.render_html,
    "json": liquid.render_json,
    "form": liquid.render_form,
    "plain": liquid.render_plain,
    "url": liquid.render_url,
    "path": liquid.render_path,
    "header": liquid.render_header,
    "condition": liquid.evaluate_condition,
    "value": liquid.evaluate_value,
}
_CODE: Final = "preview"


class TemplateLocator:
    """Finds places in a scenario's file, which it reads on first use."""

    def __init__(self, file: ScenarioFile) -> None:
        self._file = file
        self._report: Report | None = None
        self._data: Any = None
        self._steps: dict[str, Place] = {}
        self._found: dict[tuple[Place, str, bool, int | None], Finding] = {}

    def find(self, step: str, problem: RenderProblem) -> Finding:
        """Return the finding for a step's problem, at the failing output if a template fails."""
        report = self._read()
        place = self._steps.get(step, ())
        message = problem.message
        offset, key = None, False
        if problem.error is not None and (found := self._failing(place, problem, problem.error)):
            template, error = found
            place, offset, key, message = _inside(template, error)
        asked = (place, message, key, offset)
        if asked not in self._found:
            known = set(report.findings)
            report.add(place, _CODE, message, key=key, offset=offset)
            # A finding at the same place is not repeated.
            new = set(report.findings) - known or {item for item in known if item.message == message}
            self._found[asked] = min(new)
        return self._found[asked]

    def template(self, step: str, problem: RenderProblem) -> Template | None:
        self._read()
        if problem.error is None:
            return None
        found = self._failing(self._steps.get(step, ()), problem, problem.error)
        return found[0] if found else None

    def _failing(
        self, place: Place, problem: RenderProblem, error: TemplateError
    ) -> tuple[Template, TemplateError] | None:
        """Return the template of a step that raises this error, and its own error."""
        failing: list[tuple[Template, TemplateError]] = []
        for template in templates(self._data):
            inner = (path for path in self._steps.values() if len(path) > len(place))
            if template.path[: len(place)] != place or any(template.path[: len(path)] == path for path in inner):
                continue
            try:
                _RENDER[template.kind](template.source, problem.data)
            except TemplateError as raised:
                failing.append((template, raised))
            except Aborted:
                continue
        said = (error.reason, error.offset)
        same = (found for found in failing if (found[1].reason, found[1].offset) == said)
        return next(same, failing[0] if failing else None)

    def _read(self) -> Report:
        if self._report is None:
            source = Source(self._file.content, self._file.name)
            self._report = Report(source)
            data = check_structure(source, self._report)
            self._data = inline_files(data, self._file.read, self._report)
            self._steps = {step.id: step.path for step in outline(self._data) if step.id is not None}
        return self._report


def _inside(template: Template, error: TemplateError) -> tuple[Place, int | None, bool, str]:
    """Return the place of a template's error: the text's path, the index, True for a key, and the message."""
    if isinstance(template.source, str):
        return template.path, (error.offset or template.lead) - template.lead, False, error.reason
    for path, value in walk(template.source):
        if path and _spell(path) == error.at:
            place = (*template.path, *path)
            if "{" in str(path[-1]) and not isinstance(value, str):
                return place, error.offset, True, error.reason
            if (loop := next((form for form in ("$for", "$if") if form in mapping_or_empty(value)), None)) is not None:
                return (*place, loop), error.offset, False, error.reason
            if not is_mapping(value) and not is_list(value):
                return place, error.offset, False, error.reason
    return template.path, error.offset, False, error.sentence


def _spell(path: Place) -> str:
    """Return a path in a body as its compiler spells it."""
    plain = (part[1:] if isinstance(part, str) and part.startswith("$$") else part for part in path)
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in plain).removeprefix(".")
