"""Checks of quiet hours and windows that block everything, apply to nothing, or are missing at night."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from scenario.http.destinations import KnownDestinations
from scenario.model.outline import WrittenStep, outline
from scenario.policies.hours import MIDNIGHT, MONDAY, Hours, QuietHours, Window, flaws, opened_at_midnight, openings
from scenario.source.findings import clip, listed, near
from scenario.source.report import Report
from scenario.steps.registry import KINDS, kind_of
from scenario.type_guards import Path, list_or_empty
from scenario.words import MARKETING, TRANSACTIONAL

_H = TypeVar("_H", bound=Hours)
_EVENING: Final = 22 * 60
_MORNING: Final = 8 * 60
_WINDOW: Final = '{from: "09:00", to: "20:00"}'
_QUIET: Final = '{from: "21:00", to: "08:00"}'
_KEEP: Final = f"add 'window: {_WINDOW}' to the step, or 'quiet_hours' to the scenario"


def check_hours(
    data: Mapping[str, Any], destinations: KnownDestinations | None, report: Report, around: Sequence[QuietHours]
) -> None:
    """Report mistakes in the times at which a scenario sends. `around` has the quiet hours of all scenarios."""
    path = ("quiet_hours",)
    sending = [step for step in outline(data) if step.model.sends]
    quiet = _read(QuietHours, data, path, report)
    if quiet is not None:
        _channels(quiet, path, sending, destinations, report)
    is_marketing = data.get("purpose", MARKETING) == MARKETING
    if quiet is not None and data.get("purpose") == TRANSACTIONAL:
        message = "these quiet hours hold for nothing: a transactional scenario sends at any hour"
        report.add(path, "redundant", message, key=True, severity="warning")
    kept = [hours for hours in (*around, quiet) if hours is not None and openings(hours)] if is_marketing else []
    for step in sending:
        window = _window(step, kept, report)
        if step.model.rings:
            _midnight(step, kept, quiet, window, report)
    if is_marketing and (quiet is not None or "quiet_hours" not in data):
        _nights(data.get("steps"), ("steps",), None, kept, report)


def _window(step: WrittenStep, quiet: Sequence[QuietHours], report: Report) -> Window | None:
    path = (*step.path, "window")
    window = _read(Window, step.keys, path, report)
    if window is not None and openings(window) and not openings(window, *_holding(quiet, step.keys)):
        report.add(path, "never-open", "this step never sends: its window lies within the quiet hours", key=True)
    return window


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
