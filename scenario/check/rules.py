"""Rules about a scenario as a whole, beyond its keys and values, and about the hours at which it sends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from scenario.check.variables import VariableMap
from scenario.check.webhooks import check_delivery
from scenario.errors import EntryError
from scenario.http.destinations import KnownDestinations
from scenario.model.scenario import WrittenStep, outline
from scenario.policies.caps import CALENDAR, Cap
from scenario.policies.hours import (
    EVERY_DAY,
    MIDNIGHT,
    MONDAY,
    Hours,
    QuietHours,
    Window,
    flaws,
    is_open_at_midnight,
    opened_at_midnight,
    openings,
)
from scenario.policies.policies import Policies
from scenario.source.findings import clip, listed, near
from scenario.source.report import Report
from scenario.steps.base import Awaited
from scenario.steps.registry import KINDS, kind_of
from scenario.time import format_duration, parse_moment, read_zone, zone_of
from scenario.type_guards import Path, list_or_empty, mapping_at, mapping_or_empty
from scenario.words import MARKETING, TRANSACTIONAL, suggested_event

_BACK: Final = 100
"""Number of earlier waits that each wait is compared with. It bounds the time of the check."""

MOST_ROUNDS: Final = 10_000
"""Maximum number of rounds of nested repetitions."""


def check_rules(data: Mapping[str, Any], known: VariableMap, report: Report, now: datetime | None = None) -> None:
    """Report mistakes of a scenario, with misspelt keys corrected, as a whole. Past dates count if there is a time."""
    steps = list(outline(data))
    _names(steps, report)
    _unreachable(steps, known, report)
    for step in steps:
        if step.model.sends:
            check_delivery(step, report)
        report.add_flaws(step.path, step.model.flaws(step.keys))
    rules = _exit_rules(data, report)
    _event_names(data, steps, report)
    _waits(steps, rules, report)
    _rounds(steps, report)
    if now is not None:
        _moments(data, steps, now, report)
    key, zone = mapping_at(data, "entry").get("key"), data.get("timezone")
    if isinstance(key, str) and "{{" not in key:
        message = "this key is the same for every entry: write an output such as {{ order.external_id }}"
        report.add(("entry", "key"), "constant-key", message, severity="warning")
    # It must be in the IANA database. The model accepts any of the machine's, for old versions.
    if isinstance(zone, str) and read_zone(zone) is None and not report.knows(("timezone",)):
        message = f"'{clip(zone)}' is not a time zone: write a name such as Europe/Paris"
        report.add(("timezone",), "value", message)


def _names(steps: Sequence[WrittenStep], report: Report) -> None:
    """Report repeated names: operators, histories and deliveries identify a step by its name."""
    made = {step.id for step in steps if step.id is not None and not any(_naming(step))}
    first: dict[str, Path] = {}
    for step in steps:
        for key in _naming(step):
            name, place = step.keys[key], (*step.path, key)
            if first.setdefault(name, step.path) != step.path:
                message = f"'{clip(name)}' is the name of the step on line {report.line(first[name])}: choose another"
                report.add(place, "duplicate-name", message)
            elif name in made:
                message = f"'{name}' is the name that an unnamed step gets from its place: choose another name"
                report.add(place, "duplicate-name", message)


def _naming(step: WrittenStep) -> Iterator[str]:
    for key in dict.fromkeys(("id", step.kind)):
        if key is not None and (key == "id" or step.model.is_message) and isinstance(step.keys.get(key), str):
            yield key


def _unreachable(steps: Sequence[WrittenStep], known: VariableMap, report: Report) -> None:
    by_path = {step.path: step for step in steps}
    told: set[Path] = set()
    for step in steps:
        parent, index = step.path[:-1], step.path[-1]
        before = by_path.get((*parent, index - 1)) if isinstance(index, int) else None
        if before is None or parent in told or before.path not in known.ends:
            continue
        told.add(parent)
        cause = "a step whose branches all exit" if any(before.model.lists(before.keys)) else "an exit"
        report.add(step.path, "unreachable", f"this step is never reached: it comes after {cause}", severity="warning")


def _event_names(scenario: Mapping[str, Any], steps: Sequence[WrittenStep], report: Report) -> None:
    """Report names that are nearly those of events from providers. The engine may report events of any name."""
    named: dict[Path, Any] = {("goal", "event"): mapping_at(scenario, "goal").get("event")}
    for index, rule in enumerate(list_or_empty(scenario.get("exit"))):
        named["exit", index, "event"] = mapping_or_empty(rule).get("event")
    for step in steps:
        named |= {(*step.path, *awaited.path): awaited.event for awaited in step.model.awaits(step.keys)}
    for place, name in named.items():
        if isinstance(name, str) and (meant := suggested_event(name)):
            message = f"no provider reports '{clip(name)}': did you mean '{meant}'?"
            report.add(place, "unknown-event", message, key=place[-1] == name, severity="warning", meant=meant)


def _exit_rules(scenario: Mapping[str, Any], report: Report) -> dict[tuple[str, str | None], Path]:
    """Return exit rules by event and condition, and report duplicates."""
    rules: dict[tuple[str, str | None], Path] = {}
    for index, rule in enumerate(list_or_empty(scenario.get("exit"))):
        place = ("exit", index)
        event, condition = mapping_or_empty(rule).get("event"), mapping_or_empty(rule).get("if")
        if not isinstance(event, str) or not isinstance(condition, str | None):
            continue
        before = rules.get((event, None)) or rules.get((event, condition))
        if before is not None:
            message = f"the exit rule on line {report.line(before)} already leaves at this event"
            report.add(place, "redundant", message, severity="warning")
        rules.setdefault((event, condition), place)
    return rules


def _waits(steps: Sequence[WrittenStep], rules: Mapping[tuple[str, str | None], Path], report: Report) -> None:
    """Report waits for events that end the journey, or that have already come."""
    waits = [
        (step, awaited)
        for step in steps
        for awaited in step.model.awaits(step.keys)
        if isinstance(awaited.event, str) and isinstance(awaited.condition, str | None)
    ]
    for number, (step, awaited) in enumerate(waits):
        event, condition = awaited.event, awaited.condition
        place = (*step.path, *awaited.path)
        rule = rules.get((event, None)) or rules.get((event, condition))
        if rule is not None:
            leaves = f"the exit rule on line {report.line(rule)} leaves at it"
            message = f"this event is never waited for to its end: {leaves}"
            report.add(place, "never", message, severity="warning")
            continue
        if awaited.is_new:
            continue
        for earlier, one in waits[max(0, number - _BACK) : number]:
            if (one.event, one.condition) == (event, condition) and _leads(earlier, one, step.path):
                line = report.line(earlier.path)
                message = (
                    f"the event that line {line} waited for meets this wait immediately: "
                    "add 'since: now' to wait for another one"
                )
                report.add(place, "at-once", message, severity="warning")
                break


def _leads(earlier: WrittenStep, awaited: Awaited, path: Path) -> bool:
    """Return True if a step is reached only after the event of an earlier wait."""
    for way, inner, _ in earlier.model.lists(earlier.keys):
        inside = (*earlier.path, *inner)
        if way == awaited.way and path[: len(inside)] == inside:
            return True
    depth = len(earlier.path) - 1
    # Behind a wait without an end, or in a branch of a step behind it.
    return awaited.is_certain and len(path) > depth and path[:depth] == earlier.path[:depth]


def _rounds(steps: Sequence[WrittenStep], report: Report) -> None:
    """Report nested repetitions with too many rounds, and waits that an earlier round has already met."""
    around: list[tuple[WrittenStep, int]] = []
    for step in steps:
        around = [(outer, rounds) for outer, rounds in around if step.path[: len(outer.path)] == outer.path]
        loop, so_often = around[-1] if around else (None, 1)
        if step.model.loop is not None:
            rounds = so_often * step.model.rounds(step.keys)
            if so_often > 1 and rounds > MOST_ROUNDS:
                message = f"with the repetitions around it, this makes {rounds:,} rounds: {MOST_ROUNDS:,} is the most"
                report.add((*step.path, str(step.kind)), "too-many", message)
            around.append((step, rounds))
            every = step.model.every(step.keys)
            takes = max((_least(inner) for _, _, inner in step.model.lists(step.keys)), default=timedelta(0))
            if every and takes > every:  # the next round starts late, and so do all others
                message = f"a round waits for {format_duration(takes)}, longer than 'every', {format_duration(every)}"
                report.add((*step.path, str(step.kind)), "round", message, severity="warning")
        elif loop is not None and not any("event" in str(source.text) for source in loop.model.sources(loop.keys)):
            for awaited in step.model.awaits(step.keys):
                if not awaited.is_new:
                    message = "in a later round, an earlier round's event meets this wait immediately: add 'since: now'"
                    report.add((*step.path, *awaited.path), "at-once", message, severity="warning")


def _least(steps: Any) -> timedelta:
    total = timedelta(0)
    for step in list_or_empty(steps):
        if (kind := kind_of(step)) is not None:
            branches = [_least(inner) for _, _, inner in KINDS[kind].lists(step)]
            total += KINDS[kind].lasts(step) + min(branches, default=timedelta(0))
    return total


def _moments(scenario: Mapping[str, Any], steps: Sequence[WrittenStep], now: datetime, report: Report) -> None:
    """Report dates of a scenario's steps that are past before any contact can reach them."""
    zone = zone_of(scenario.get("timezone"))
    for step in steps:
        if (written := step.model.moment(step.keys)) is None:
            continue
        path, text = written
        with suppress(EntryError):  # the model said so
            moment = parse_moment(text, zone)
            if moment is not None and moment <= now:
                message = "this date is in the past: contacts will not wait here"
                report.add((*step.path, *path), "past", message, severity="warning")


_H = TypeVar("_H", bound=Hours)
_EVENING: Final = 22 * 60
_MORNING: Final = 8 * 60
_WINDOW: Final = '{from: "09:00", to: "20:00"}'
_QUIET: Final = '{from: "21:00", to: "08:00"}'
_KEEP: Final = f"add 'window: {_WINDOW}' to the step, or 'quiet_hours' to the scenario"


def check_hours(
    data: Mapping[str, Any], destinations: KnownDestinations | None, report: Report, policies: Policies
) -> None:
    """Report mistakes in the times at which a scenario sends."""
    place = ("quiet_hours",)
    sending = [step for step in outline(data) if step.model.sends]
    quiet = _read(QuietHours, data, place, report)
    if quiet is not None:
        _channels(quiet, place, sending, destinations, report)
    is_marketing = data.get("purpose", MARKETING) == MARKETING
    if quiet is not None and data.get("purpose") == TRANSACTIONAL:
        message = "these quiet hours hold for nothing: a transactional scenario sends at any hour"
        report.add(place, "redundant", message, key=True, severity="warning")
    kept = (
        [hours for hours in (*policies.quiet_hours, quiet) if hours is not None and openings(hours)]
        if is_marketing
        else []
    )
    for step in sending:
        path = (*step.path, "window")
        window = _read(Window, step.keys, path, report)
        if window is not None and openings(window) and not openings(window, *_holding(kept, step.keys)):
            report.add(path, "never-open", "this step never sends: its window lies within the quiet hours", key=True)
        if step.model.rings:
            _midnight(step, kept, quiet, window, report)
            if is_marketing:
                _capped(step, [*_holding(kept, step.keys), *((window,) if window else ())], policies.caps, report)
    if is_marketing and (quiet is not None or "quiet_hours" not in data):
        _nights(data.get("steps"), ("steps",), None, kept, report)


def _midnight(
    step: WrittenStep, kept: Sequence[QuietHours], own: QuietHours | None, window: Window | None, report: Report
) -> None:
    """Report text messages that leave at midnight because a day off ends. The finding points at the rule."""
    found = opened_at_midnight([*_holding(kept, step.keys), *((window,) if window else ())])
    if found is None:
        return
    path: Path = (*step.path, kind_of(step.keys) or "")
    if found is own or found is window:
        path = (*(step.path if found is window else ()), "window" if found is window else "quiet_hours", "days_off")
    message = MIDNIGHT.format(wanted=_WINDOW if found is window else _QUIET)
    report.add(path, "at-night", message, key=True, severity="warning")


def _capped(step: WrittenStep, hours: Sequence[Hours], caps: Sequence[Cap], report: Report) -> None:
    """Report a text message that waits for a place under a cap which opens at midnight."""
    if not mapping_at(step.keys, "capped"):  # skip and hold are words
        return
    channel, to = kind_of(step.keys) or "", str(step.keys.get("to"))
    for cap in caps:
        begins = (0,) if cap.per == "week" else EVERY_DAY
        if cap.per in CALENDAR and cap.applies_to(channel, to) and is_open_at_midnight(hours, begins):
            message = (
                f"this can be sent at 00:00 on the contact's clock, when the cap '{cap.name}' has a place: {_KEEP}"
            )
            report.add((*step.path, "capped"), "at-night", message, key=True, severity="warning")
            return


def _read(model: type[_H], around: Mapping[str, Any], path: Path, report: Report) -> _H | None:
    """Return hours as a model, or None after reporting their mistakes."""
    try:
        hours = model.model_validate(around.get(str(path[-1])), by_alias=True, by_name=False)
    except ValidationError:
        return None
    report.add_flaws(path, flaws(hours))
    return hours


def _channels(
    quiet: QuietHours,
    path: Path,
    sending: Sequence[WrittenStep],
    destinations: KnownDestinations | None,
    report: Report,
) -> None:
    """Report unknown channels. Without known destinations, any other name may be a destination's."""
    channels = [kind for kind, model in KINDS.items() if model.is_message]
    named = {to for step in sending if isinstance(to := step.keys.get("to"), str)}
    known = {*channels, *(named if destinations is None else destinations.destinations)}
    for index, name in enumerate(quiet.channels or ()):
        guess = near(name, sorted(known))
        if name in known or (destinations is None and guess is None):
            continue
        hint = f"did you mean '{guess}'?" if guess else f"write {listed(channels)}, or the name of a destination"
        message = f"'{clip(name)}' is neither a channel nor a destination: {hint}"
        severity = "warning" if destinations is None else "error"
        report.add((*path, "channels", index), "channel", message, severity=severity, meant=guess)


def _holding(quiet: Sequence[QuietHours], keys: Mapping[str, Any]) -> list[QuietHours]:
    channel, to = kind_of(keys) or "", keys.get("to")
    return [hours for hours in quiet if hours.applies_to(channel, to if isinstance(to, str) else None)]


def _nights(steps: Any, path: Path, at: int | None, quiet: Sequence[QuietHours], report: Report) -> int | None:
    """Report marketing in a list of steps that is certainly sent at night. Return the time of day after the last step.

    Args:
        at: Time of day at which contacts reach the first step, in minutes, if known.
    """
    for index, step in enumerate(list_or_empty(steps)):
        kind = kind_of(step)
        if kind is None:
            at = None
            continue
        keys, model, place = step, KINDS[kind], (*path, index)
        if model.rings and at is not None and not _MORNING <= at < _EVENING and not _is_kept(keys, at, quiet):
            message = f"this can be sent at {at // 60:02}:{at % 60:02} on the contact's clock: {_KEEP}"
            report.add((*place, kind), "at-night", message, key=True, severity="warning")
        at = model.leaves(keys, at)
        ends = {_nights(inner, (*place, *below), at, quiet, report) for _, below, inner in model.lists(keys)}
        at = at if ends <= {at} else None
    return at


def _is_kept(keys: Mapping[str, Any], at: int, quiet: Sequence[QuietHours]) -> bool:
    """Return True if a window or quiet hours decide whether the step may send at a time of day."""
    moments = [MONDAY + timedelta(days=day, minutes=at) for day in range(7)]
    return "window" in keys or any(hours.cover(moment) for hours in _holding(quiet, keys) for moment in moments)
