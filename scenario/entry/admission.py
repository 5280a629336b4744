"""Rules of admission that depend on the entry alone: trigger, condition, key, workflow id."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final, NamedTuple

from scenario import liquid
from scenario.entry.entry import Entry, clean, journey_id, journey_root
from scenario.entry.objects import with_trigger
from scenario.entry.values import PlatformDates
from scenario.errors import ScenarioError, TemplateError
from scenario.model.scenario import Scenario
from scenario.policies.consent import nowhere
from scenario.policies.draw import CONTROL, HOLDOUT, Holdout, Lot, apart
from scenario.time import zone_of
from scenario.words import MARKETING

_SUMMARY: Final = 200
_SCHEDULED: Final = re.compile(r"-\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z", re.ASCII)


class EntryRefused(ScenarioError):
    """The contact is not admitted. The text is the reason, and `word` the same in one, without the contact's data."""

    def __init__(self, text: str, word: str = "other") -> None:
        self.word = word
        super().__init__(text)


class EntryMistaken(EntryRefused):
    """The entry itself is wrong, at some keys: it names something that does not exist, or has another trigger."""

    def __init__(self, text: str, *, at: Sequence[str], meant: str | None = None) -> None:
        self.at, self.meant = tuple(at), meant
        super().__init__(text, "mistaken")


def entry_data(
    entry: Entry,
    scenario: Scenario,
    version: int,
    platform: PlatformDates,
    now: datetime,
    values: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the variables of entry rules. Raise EntryError if the contact or the trigger's data is malformed.

    Args:
        values: What `clean` returns for the entry, if it is known.
    """
    data = clean(entry, platform) if values is None else values
    there = zone_of(data["contact"].get("timezone"), scenario.timezone)
    local = now.astimezone(there).isoformat(timespec="seconds")
    root = journey_root(None, scenario.scenario, version, now.isoformat())
    journey = {**root, "key": entry.key, "timezone": str(there)}
    return with_trigger({**data, "journey": journey, "responses": {}, "now": local, "today": local[:10]})


def check_trigger(entry: Entry, scenario: Scenario) -> None:
    """Raise `EntryMistaken` if the entry's trigger is not the scenario's."""
    kind = entry.trigger["type"]
    if kind != scenario.trigger:
        text = f"{scenario.scenario} is entered by '{scenario.trigger}', not by '{kind}'"
        raise EntryMistaken(text, at=["trigger", "type"], meant=scenario.trigger)


def check_rules(scenario: Scenario, data: dict[str, Any]) -> None:
    """Raise EntryRefused if the entry's condition is false or fails, or the contact consents to no channel."""
    if scenario.purpose == MARKETING and (lacking := nowhere(scenario.subscription or {}, data["contact"])):
        raise EntryRefused(f"no consent to {scenario.scenario}: {lacking}", "consent")
    condition = scenario.entry.condition
    if condition is None:
        return
    try:
        fulfilled = liquid.evaluate_condition(condition, data)
    except TemplateError as error:
        raise EntryRefused(f"the entry rule of {scenario.scenario} cannot be evaluated: {error}", "condition") from None
    if not fulfilled:
        raise EntryRefused(f"the entry rule of {scenario.scenario} does not hold: {condition}", "condition")


class Withheld(NamedTuple):
    """A contact that is admitted and gets nothing, for comparison."""

    outcome: str
    """Outcome of its journey: one of `scenario.policies.draw.WITHHELD`."""
    reason: str
    why: str
    """The draw: ``0.0412 of 1, by contact``."""


def withheld(scenario: Scenario, contact_id: str, holdout: Holdout | None) -> Withheld | None:
    """Return whether the holdout, drawn first, or the control group withholds everything from a contact, else None."""
    if holdout is not None and scenario.purpose == MARKETING:
        drawn = apart(holdout.seed, HOLDOUT, holdout.share).draw(contact_id)
        if drawn.name:
            return Withheld(HOLDOUT, f"held out of all marketing, {holdout.seed} ({drawn.why})", drawn.why)
    if scenario.control:
        drawn = control_of(scenario).draw(contact_id)
        if drawn.name:
            return Withheld(CONTROL, f"in the control group ({drawn.why})", drawn.why)
    return None


def control_of(scenario: Scenario) -> Lot:
    """Return how a scenario's control group is drawn. Without a control group, it is empty."""
    return apart(f"{scenario.scenario}/control", CONTROL, scenario.control or 0)


_LATER: Final = ("now", "today", "responses", "event")
"""Variables that differ between the start of a journey and its steps."""


def branches(lots: Mapping[str, Lot], workflow_id: str, data: Mapping[str, Any]) -> dict[str, str]:
    """Return the branches that a contact will take, by step id, as far as the data of `entry_data` decide them."""
    if not lots:
        return {}
    journey = {**data["journey"], "id": workflow_id, "key": journey_root(workflow_id, "", 0, None)["key"]}
    known = {**data, "journey": journey}
    found: dict[str, str] = {}
    for name, lot in lots.items():
        unit = lot.unit(known)
        if unit is None and not any(path[0] in _LATER for path in liquid.find_fields(lot.by)):
            with suppress(TemplateError):
                unit = liquid.render_line(lot.by, known)
        if unit:
            found[name] = lot.draw(unit).name
    return found


def key_of(entry: Entry, scenario: Scenario, data: dict[str, Any]) -> str | None:
    """Return the journey's key: the engine's, else the rule's. Raise EntryRefused if the rule gives none."""
    if entry.key is not None or scenario.entry.key is None:
        return entry.key
    try:
        key = liquid.render_line(scenario.entry.key, data)
    except TemplateError as error:
        raise EntryRefused(f"the key of {scenario.scenario} cannot be rendered: {error}") from None
    if not key:
        raise EntryRefused(f"the key of {scenario.scenario} is empty for this entry")
    return key


def identity(
    entry: Entry, scenario: Scenario, version: int, platform: PlatformDates, now: datetime, *, is_checked: bool = False
) -> tuple[str, str]:
    """Return the workflow id of an entry's journey and its summary for Temporal's UI, which has ids only.

    `is_checked` is True for an entry with its key whose data was checked before. Raise EntryRefused if the trigger is
    wrong (`EntryMistaken`) or the rule gives no key; EntryError if the data is malformed or the id would be too long.
    """
    check_trigger(entry, scenario)  # the key's template would fail first, and say less
    kind = entry.trigger["type"]
    key = entry.key if is_checked else key_of(entry, scenario, entry_data(entry, scenario, version, platform, now))
    parts = [f"{scenario.scenario}@{version}", f"contact {entry.contact_id}", f"{kind} {key}" if key else kind]
    return journey_id(entry, key), " · ".join(parts)[:_SUMMARY]


def check_identity(given: str, entry: Entry, key: str | None) -> None:
    """Raise `EntryRefused` if a journey's workflow id differs from its entry's. The message has no data."""
    expected = journey_id(entry, key)
    if given == expected:
        return
    if _SCHEDULED.fullmatch(given.removeprefix(expected)):
        raise EntryRefused(
            "a Temporal Schedule appends the time to the workflow id, and so cannot start a Journey: "
            "let it start the workflow type Enter, with the same argument"
        )
    what = "/<key>" if key else ""
    raise EntryRefused(f"the workflow id must be {entry.name}/<contact id>{what}, as the scenario's entry rules say")
