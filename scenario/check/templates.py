"""Templates of a scenario: their places, kinds and mistakes."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

from scenario import liquid
from scenario.check.variables import (
    CALLBACK,
    UNSUBSCRIBE,
    KnownVariables,
    VariableMap,
    roots,
    roots_of_batch,
    roots_of_goal,
)
from scenario.entry.objects import TRIGGER
from scenario.errors import TemplateError
from scenario.http.destinations import KnownDestinations, denied_secret
from scenario.liquid.lint import lint
from scenario.liquid.lint.findings import TemplateFinding
from scenario.liquid.shapes import Anything, Object, Roots, Tree, Value
from scenario.model import scenario
from scenario.model.scenario import WrittenStep, is_worth, outline
from scenario.source.findings import clip, listed
from scenario.source.report import Report
from scenario.steps.base import BaseStep
from scenario.type_guards import Path, list_or_empty, mapping_at, mapping_or_empty, walk
from scenario.words import MARKETING, TRANSACTIONAL

_GOAL: Final = ("goal",)
_OUTPUT: Final = re.compile(r"\{\{-?\s*([A-Za-z_]\w*(?:\.\w+)*)\s*-?\}\}")
"""An output of a variable without filters."""


class Template(NamedTuple):
    """A template in the file."""

    path: Path
    kind: liquid.Kind
    source: Any
    """The text, or the structure of a structured body."""
    events: frozenset[str]
    """Names of the events that a condition or a goal's value is about."""
    step: WrittenStep | None = None
    """Its step, or None outside of steps."""
    lead: int = 0
    """Number of characters of the text that precede what the author wrote."""
    met: Sequence[tuple[Path, Sequence[str]]] = ()
    """Values that it is compared with, by place; see `TemplateSource`."""

    @property
    def to(self) -> Any:
        """The destination of its step, as written."""
        return None if self.step is None else self.step.keys.get("to")


def templates(data: Mapping[str, Any]) -> Iterator[Template]:
    """Yield all templates of a scenario whose values have the right type, in any order."""
    yield from _texts(mapping_at(data, "entry"), {"key": "text", "if": "condition"}, ("entry",))
    for index, rule in enumerate(list_or_empty(data.get("exit"))):
        yield from _texts(mapping_or_empty(rule), {"if": "condition"}, ("exit", index))
    yield from _texts(mapping_at(data, "goal"), {"if": "condition", "value": "value"}, _GOAL)
    for step in outline(data):
        for source in step.model.sources(step.keys):
            met = [((*step.path, *place), tests) for place, tests in source.met]
            awaited = (one.event for one in step.model.awaits(step.keys) if one.condition == source.text)
            path = (*step.path, *source.path)
            yield Template(path, source.kind, source.text, _names_of(awaited), step, source.lead, met)


def _texts(keys: Mapping[str, Any], kinds: Mapping[str, liquid.Kind], path: Path) -> Iterator[Template]:
    for key, kind in kinds.items():
        if isinstance(source := keys.get(key), str) and source:
            yield Template((*path, key), kind, source, _names_of([keys.get("event")]))


def _names_of(events: Iterable[Any]) -> frozenset[str]:
    return frozenset(event for event in events if isinstance(event, str))


def check_templates(
    data: Mapping[str, Any], known_ways: VariableMap, report: Report, destinations: KnownDestinations | None
) -> None:
    """Report mistakes in the templates of a scenario with misspelt keys corrected and texts of files in place."""
    trigger, marketing = data.get("trigger"), data.get("purpose") != TRANSACTIONAL
    anywhere: set[str] = set()
    unkept = {name: (f"responses.{name}", _unkept(name, report.line(at))) for name, at in known_ways.saves.items()}
    for template in templates(data):
        here, step = known_ways.at(template.path), template.step
        model = BaseStep if step is None else step.model
        waits = template.path[0] == "exit" or (step is not None and any(model.awaits(step.keys)))
        counts = template.path[:1] == _GOAL
        looks = counts or (template.kind == "condition" and waits)
        granted: Collection[str] = ()
        if destinations is not None and isinstance(template.to, str | None):
            granted = destinations.granted(template.to)
        known = (
            roots_of_goal(template.events)
            if counts
            else roots(
                trigger if trigger in scenario.TRIGGERS else None,
                event=here.comes or looks,
                events=template.events if looks else here.events,
                secrets=granted if model.secrets else None,
                callback=model.sends,
                unsubscribe=marketing and model.recipient is not None,
                responses=here.responses,
                # A condition and a switch are asked about what may be missing, and tell.
                possibly_missing={} if looks or template.met else _possibly_missing(here, unkept, report),
            )
        )
        if step is not None and "batch" in step.keys:
            known = roots_of_batch(known)
        # Of a value that is no date, `_check_value` says what may stand around it.
        mistakes = [
            found
            for found in lint(template.source, kind=template.kind, schema=known)
            if not (counts and found.code == "date")
        ]
        for found in mistakes:
            if found.missing is not None and found.missing[0] == "secrets":
                _tell_secret(template, found, found.missing[1], destinations, anywhere, report)
            else:
                _tell(template, found, known_ways, known, report)
        if template.kind == "value" and counts:
            if not mistakes:
                _check_value(template.source, template.path, known, report)
        elif template.kind == "value" and all(found.code != "date" for found in mistakes):
            _check_date(template.source, template.path, known, report)
        if template.kind == "condition":
            _elsewhere(template, known, report)
        if not mistakes:
            _check_met(template, known, report)
        if trigger == "event" and not looks:
            check_event(template.source, template.path, template.kind, here, report, template.lead)


def _check_met(template: Template, known: Roots, report: Report) -> None:
    """Report comparisons with values that the template can never have."""
    for place, tests in template.met:
        never = [
            next((found for found in lint(test, kind="condition", schema=known) if found.code == "comparison"), None)
            for test in tests
        ]
        if (first := never[0]) and all(never) and not report.knows(place):
            report.add(place, "case", f"no value meets this case: {first.message}", key=True, severity="warning")


def _check_date(source: str, path: Path, known: Roots, report: Report) -> None:
    """Report a date template that cannot give a date, whatever the data."""
    for found in _OUTPUT.finditer(source):
        name, around = found[1], source[: found.start()] + source[found.end() :]
        if around.strip() and name != "today" and _shape_of(known, name) == Value("date"):
            message = (
                f"'{name}' has its time already: for another one of that day write "
                f"{{{{ {name} | date: '%Y-%m-%d' }}}} 09:00"
            )
            report.add(path, "date", message, offset=found.start())


def _shape_of(known: Roots, name: str) -> Tree | None:
    first, *rest = name.split(".")
    shape = known.known.get(first)
    for part in rest:
        shape = shape.fields.get(part) if isinstance(shape, Object) else None
    return shape


def _check_value(source: str, path: Path, known: Roots, report: Report) -> None:
    """Report a value of a goal that cannot be a number, whatever the event has."""
    if not is_worth(source):
        message = "the value of a goal is one number: write one output, such as {{ event.total }}, or a number"
        report.add(path, "goal-value", message)
    elif found := _OUTPUT.fullmatch(source.strip()):
        shape = _shape_of(known, found[1])
        if shape is not None and not isinstance(shape, Anything) and shape != Value("number"):
            message = f"'{found[1]}' is not a number: write the event's value, such as {{{{ event.total }}}}"
            report.add(path, "goal-value", message, offset=found.start(1))


def _tell_secret(
    template: Template,
    found: TemplateFinding,
    name: str,
    destinations: KnownDestinations | None,
    anywhere: set[str],
    report: Report,
) -> None:
    """Report a secret that may not be sent to this place. Report one that may be sent `anywhere` once."""
    place, code, name = (*template.path, *found.path), "secret", clip(name)
    if destinations is None:
        if name not in anywhere:
            remedy = "restrict it in destinations.yaml, see 'Secrets' in docs/run/destinations.md"
            message = f"the secret {name} may be sent anywhere: {remedy}"
            report.add(place, code, message, key=found.in_key, offset=found.offset, severity="warning")
        anywhere.add(name)
    elif template.to is None or (isinstance(template.to, str) and template.to in destinations.destinations):
        # An unknown destination is reported elsewhere.
        hint = f" (or did you mean '{found.suggestion}'?)" if found.suggestion else ""
        message, meant = denied_secret(name, template.to) + hint, found.suggestion
        report.add(place, code, message, key=found.in_key, offset=found.offset, meant=meant)


def _tell(template: Template, found: TemplateFinding, kept: VariableMap, known: Roots, report: Report) -> None:
    code, severity, message, meant = found.code, found.severity, found.message, found.suggestion
    # Only the platform's objects keep undeclared fields; the fields of all others are known.
    match found.missing:
        case "journey", ("callback_url" | "delivery_id" | "unsubscribe_url") as field:
            code, meant = "out-of-scope", None
            message = f"'journey.{field}' is there only in an email, sms or webhook step"
            if field == UNSUBSCRIBE:
                message = f"'journey.{field}' is there only in an email or sms step of a marketing scenario"
        case "responses", name:
            in_order = template.path[:1] != ("exit",)
            code, before = "unknown-response", "before this one " if in_order else ""
            message = f"no step {before}saves a response as '{clip(name)}'"
            if template.step is not None and _is_saved_by(template.step, name):
                meant = None
                message = f"a step begins without 'responses.{name}', which it saves: only later steps have it"
            elif in_order and name in kept.saves:
                line, meant = report.line(kept.saves[name]), None
                message = f"{message}: the one on line {line} comes later, or on another way"
            elif meant:
                message = f"{message}: did you mean '{meant}'?"
        case "event", _ if found.suggestion is not None:
            severity = "warning"  # the engine may report events of the same names
        case _ if code != "unknown-field" or found.suggestion is not None:
            pass
        case str(owner), _ if owner.startswith("responses."):
            severity, message = "warning", f"{message} by its schema"
        case "journey", _:
            pass
        case (("trigger" as root), _):
            message = f"{message}: it has {listed(cast('Object', known.known[root]).fields, 'and')}"
        case _, field if field in (CALLBACK, UNSUBSCRIBE):
            severity = "warning"
            message = f"{message}: an address is made only where 'journey.{field}' is written out"
        case _:
            severity, message = "warning", f"{message}, unless the engine sends one"
    place = (*template.path, *found.path)
    offset = found.offset - template.lead
    report.add(place, code, message, key=found.in_key, offset=offset, severity=severity, meant=meant)


def _is_saved_by(step: WrittenStep, name: str) -> bool:
    return mapping_or_empty(step.model.saves(step.keys)).get("as") == name


def _elsewhere(template: Template, known: Roots, report: Report) -> None:
    """Report variables of other triggers in a condition. Texts may serve several scenarios, conditions may not."""
    try:
        named = {path[0] for path in liquid.find_fields(template.source, kind="condition")}
    except TemplateError:
        return  # the linter said why
    for root in named & set(known.availability):
        found = re.search(rf"\b{re.escape(root)}\b", template.source)
        message = f"'{root}' is there only {known.availability[root]}"
        report.add(template.path, "out-of-scope", message, offset=found.start() if found else 0)


def _possibly_missing(here: KnownVariables, unkept: Mapping[str, tuple[str, str]], report: Report) -> Mapping[str, str]:
    """Return why the event and the saved responses may be missing, by path. `unkept` has that by response."""
    unsure = _unsure(here, report) if here.comes else ""
    missing = dict(unkept[name] for name in here.responses.keys() - here.answered)
    return {**missing, "event": unsure} if unsure else missing


def _unkept(name: str, line: int) -> str:
    """Return why a saved response may be missing, and what to do."""
    ask = f"ask {{% if responses.{name} %}}, give a default, {{{{ responses.{name}.… | default: '-' }}}}"
    why = f"the step on line {line} keeps only a response that fits. For others, {ask}"
    return f"{why}, or hold the journey with 'required: true' in its 'save'"


def _unsure(here: KnownVariables, report: Report) -> str:
    """Return why there may be no event, and what to do; empty if there is certainly one."""
    ask = "ask {% if event %}, or give each value a default, {{ event.… | default: '-' }}"
    waits = sorted(report.line(place) for place in here.missed if place)
    if waits:
        return f"the 'wait_for' on line {waits[0]} can end without it. Move the step into its 'then', {ask}"
    return f"not every way here passes a 'wait_for'. For those that do not, {ask}" if here.missed else ""


_MISSING: Final = (
    "this shows no link to unsubscribe: put {{ journey.unsubscribe_url }} into it, or write "
    "'purpose: transactional' if the scenario is no marketing"
)


def check_unsubscribing(data: Mapping[str, Any], report: Report) -> None:
    """Report marketing messages without `journey.unsubscribe_url`.

    The one-click headers are set anyway, but many mail programs show no button, and the law requires a link.
    """
    if data.get("purpose", MARKETING) != MARKETING:
        return
    for step in outline(data):
        for key in step.model.unsubscribing:
            text = step.keys.get(key)
            if isinstance(text, str) and text.strip() and not _names(text, step.model.templates[key]):
                report.add((*step.path, key), "no-unsubscribe", _MISSING, severity="warning")
                break


def _names(text: str, kind: liquid.Kind) -> bool:
    try:
        return ("journey", UNSUBSCRIBE) in liquid.find_fields(text, kind=kind)
    except TemplateError:
        return True  # reported elsewhere


_EVENT: Final = "event"
_OWN: Final = ("name", "time", "properties")


def check_event(
    source: Any, path: Path, kind: liquid.Kind, here: KnownVariables, report: Report, lead: int = 0
) -> None:
    """Report a use of `event`, behind a wait for another event, that could mean the trigger's event.

    A property that the wait's own condition uses is taken for the awaited event's. `lead` is the number of characters
    of the text that precede what the author wrote.
    """
    if here.awaited is None and here.passed is None:
        return
    try:
        named = liquid.find_fields(source, kind=kind)
    except TemplateError:
        return  # the linter said why
    for field in sorted(named):
        if field[0] != _EVENT or len(field) == 1 or field in here.asked:
            continue
        below = field[1:] if field[1] in _OWN else ("properties", *field[1:])
        meant = f"the trigger's is always '{'.'.join((TRIGGER, *below))}'"
        name = re.compile(rf"(?<![\w.-]){re.escape('.'.join(field))}(?![\w-])")
        for place, text in walk(source):
            for found in name.finditer(text) if isinstance(text, str) else ():
                message = f"{_which(here, report)}; {meant}"
                at = found.start() - lead
                report.add((*path, *place), "which-event", message, offset=at, severity="warning")


def _which(here: KnownVariables, report: Report) -> str:
    if here.awaited is None:
        line = report.line(here.passed or ())
        return f"'{_EVENT}' is the trigger's here, since line {line} waited for another one in vain"
    line = report.line(here.awaited)
    other = ", or the trigger's event if none came" if here.entered else ""
    return f"'{_EVENT}' is the one that line {line} waited for{other}"
