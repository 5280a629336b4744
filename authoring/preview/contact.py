"""The preview for one contact: admission, then its way through the scenario, and both as JSON data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from operator import itemgetter
from typing import Any

from activities.channel import RenderedMessage
from authoring.errors import BadInput
from authoring.preview.draft import VERSION, Draft
from authoring.preview.rendering import EmptyOutput, TemplateLocator
from authoring.preview.walk import PreviewInputs, PreviewRun, StepPreview
from scenario.entry.admission import EntryRefused, Withheld, check_rules, entry_data, key_of, withheld
from scenario.entry.entry import Entry, journey_id, parse_entry
from scenario.errors import EntryError
from scenario.plan import plan
from scenario.steps.delivery import Send
from scenario.time import unplaced, zone_of


@dataclass(frozen=True, kw_only=True)
class Preview:
    """The messages that a scenario would send to one contact, and all steps."""

    journey: str
    contact: str
    key: str | None
    zone: tzinfo
    start: datetime  # time of the entry, in UTC
    refused: str | None
    withheld: Withheld | None  # Why the contact would get nothing, or None. Its messages are shown anyway.
    notes: tuple[str, ...]
    steps: tuple[StepPreview, ...]
    exits: tuple[tuple[plan.PlannedExit, bool], ...]  # each with True if a given event meets it


def preview(draft: Draft, argument: object, given: PreviewInputs) -> Preview:
    """Follow one contact through a scenario, given its entry as JSON data.

    Raise EntryError if the entry is malformed, or BadInput if it has another trigger.
    """
    entry = parse_entry(argument)
    scenario = draft.scenario
    notes: list[str] = []
    if entry.name != scenario.scenario:
        notes.append(f"the entry is for '{entry.name}': shown as if it were for '{scenario.scenario}'")
        entry = entry.model_copy(update={"scenario": scenario.scenario})
    kind = entry.trigger["type"]
    if kind != scenario.trigger:
        raise BadInput(f"{scenario.scenario} is entered by '{scenario.trigger}', and the entry's trigger is '{kind}'")
    number = entry.version or VERSION
    own = entry.contact.get("timezone")
    zone = zone_of(own, draft.plan.zone)
    if problem := unplaced(own, draft.plan.zone):
        notes.append(f"contact.timezone is ignored: {problem}")
    start = _start(given.at, zone)
    data = entry_data(entry, scenario, number, given.platform, start)
    refused, key, identifier = _admission(draft, entry, data)
    journey = identifier or f"{entry.name}/{entry.contact_id}"
    data["journey"] = {**data["journey"], "id": journey, "key": key}
    seen = {name: value for name, value in data.items() if name not in ("now", "today")}
    walk = PreviewRun(draft, seen, zone, given, version=f"{scenario.scenario}@{number}")
    # They are probably misspelt.
    unheard = (event.name for event in given.events if event.name not in draft.plan.events)
    notes += (f"no step and no exit rule waits for '{name}'" for name in unheard)
    exits = tuple((rule, walk.leaves(rule, start)) for rule in draft.plan.exit)
    return Preview(
        journey=journey,
        contact=entry.contact_id,
        key=key,
        zone=zone,
        start=start,
        refused=refused,
        withheld=withheld(scenario, entry.contact_id, given.policies.holdout),
        notes=(*notes, *_unmet(exits, given), *_unanswered(draft, given)),
        steps=tuple(walk.go(start)),
        exits=exits,
    )


def refusal(draft: Draft, argument: object, given: PreviewInputs) -> str | None:
    """Return why a contact is not admitted, or None. Raise EntryError if the entry is malformed."""
    rules = draft.scenario.entry
    if rules.condition is None and rules.key is None:
        return None
    entry = parse_entry(argument)
    start = _start(given.at, zone_of(draft.plan.zone))
    data = entry_data(entry, draft.scenario, entry.version or VERSION, given.platform, start)
    return _admission(draft, entry, data)[0]


def _admission(draft: Draft, entry: Entry, data: dict[str, Any]) -> tuple[str | None, str | None, str | None]:
    """Return the reason for a refusal, the key, and the journey's id, as far as they are known without a store."""
    refused = key = None
    try:
        check_rules(draft.scenario, data)
    except EntryRefused as error:
        refused = str(error)
    try:
        key = key_of(entry, draft.scenario, data)
        return refused, key, journey_id(entry, key)
    except (EntryRefused, EntryError) as error:
        return refused or str(error), key, None


def _start(at: datetime | None, zone: tzinfo) -> datetime:
    moment = datetime.now(UTC) if at is None else at
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)).astimezone(UTC)


def _unmet(exits: Iterable[tuple[plan.PlannedExit, bool]], given: PreviewInputs) -> list[str]:
    """Return notes about given events that were meant to end the journey, and do not."""
    ends: dict[str, bool] = {}
    for rule, met in exits:
        ends[rule.event] = met or ends.get(rule.event, False)
    unmet = [name for name, met in ends.items() if not met and any(event.name == name for event in given.events)]
    return [f"the given {name} ends no journey: it does not meet the condition of the exit rule" for name in unmet]


def _unanswered(draft: Draft, given: PreviewInputs) -> list[str]:
    """Return notes about used responses that are missing, and given ones that no step saves."""
    rows = draft.plan.steps.values()
    saved = {row.save for row in rows if isinstance(row, Send) and row.save is not None}
    named = [field for row in rows if isinstance(row, Send) for field in row.fields]
    named += [row.asked or "" for row in rows]
    empty = [
        f"responses.{name} is empty here: give a response called '{name}'"
        for name in sorted(saved - set(given.responses))
        if any(f"responses.{name}" in text for text in named)
    ]
    return empty + [f"no step saves a response as '{name}'" for name in sorted(set(given.responses) - saved)]


def report(shown: Preview, places: TemplateLocator, only: str | None = None) -> dict[str, Any]:
    """Return a preview as JSON data, with all steps or `only` one.

    It has ``journey``, ``contact``, ``key``, ``entered_at``, ``timezone``, ``refused``, ``withheld`` (null, or
    ``outcome`` and ``reason``), ``notes``, ``exit`` and ``steps``. Each step has ``id``, ``kind``, ``what``, ``taken``,
    ``reachable``, ``branch``, ``at`` and ``outcome``, and optionally ``reason``, ``waits_until``, ``way``, ``note``,
    ``error`` (``message``, ``file``, ``line``, ``column``, and ``unread``: a text that is no date), ``empty``
    (``output`` and place of each output that printed nothing), and ``request`` (``method``, ``url``, ``headers``, names
    of ``attempt_headers``, ``body``) or ``message``.
    """
    zone = str(shown.zone)
    return {
        "journey": shown.journey,
        "contact": shown.contact,
        "key": shown.key,
        "entered_at": _local(shown.start, zone),
        "timezone": zone,
        "refused": shown.refused,
        "withheld": shown.withheld and {"outcome": shown.withheld.outcome, "reason": shown.withheld.reason},
        "notes": list(shown.notes),
        "exit": [{"event": rule.event, "if": rule.condition, "given": met} for rule, met in shown.exits],
        "steps": [_step(passed, places, zone) for passed in shown.steps if only in (None, passed.id)],
    }


def _local(moment: datetime, zone: str) -> str:
    return moment.astimezone(zone_of(zone)).isoformat(timespec="seconds")


def _step(passed: StepPreview, places: TemplateLocator, zone: str) -> dict[str, Any]:
    made: dict[str, Any] = {
        "id": passed.id,
        "kind": passed.row.kind,
        "what": passed.row.describe(),
        "taken": passed.taken,
        "reachable": passed.reachable,
        "branch": [{"of": fork, "way": way} for fork, way in passed.branch],
        "at": _local(passed.began, zone),
        "outcome": passed.outcome,
    }
    until = None if passed.until is None else _local(passed.until, zone)
    further = {"reason": passed.reason, "waits_until": until, "way": passed.way, "note": passed.note}
    made |= {key: value for key, value in further.items() if value is not None}
    if isinstance(passed.result, RenderedMessage):
        made |= passed.result.describe()
        empty = [empty_output(places, passed.id, one) for one in passed.empty]
        made |= {"empty": sorted(empty, key=itemgetter("file", "line", "column"))} if empty else {}
    if passed.problem is not None:
        found = places.find(passed.id, passed.problem)
        made["error"] = {"message": found.message, "file": found.file, "line": found.line, "column": found.column}
        if passed.problem.unread is not None:
            made["error"]["unread"] = passed.problem.unread
    return made


def empty_output(places: TemplateLocator, step: str, empty: EmptyOutput) -> dict[str, Any]:
    found = places.find_output(step, empty)
    return {"output": empty.expression, "file": found.file, "line": found.line, "column": found.column}
