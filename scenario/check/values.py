"""Checks of single values: dates to wait for, which may be past, and the value of a goal, which is a number."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from scenario.errors import EntryError
from scenario.liquid.shapes import Anything, Object, Roots, Tree, Value
from scenario.model.goal import is_worth
from scenario.model.outline import WrittenStep
from scenario.source.report import Report
from scenario.time.timing import parse_moment, zone_of
from scenario.type_guards import Path, is_mapping

_OUTPUT: Final = re.compile(r"\{\{-?\s*([A-Za-z_]\w*(?:\.\w+)*)\s*-?\}\}")
"""An output of a variable without filters."""


def check_date(source: str, path: Path, known: Roots, report: Report) -> None:
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
    """Return the shape of a variable by its path (``journey.key``), or None if there is none."""
    first, *rest = name.split(".")
    shape = known.known.get(first)
    for part in rest:
        shape = shape.fields.get(part) if isinstance(shape, Object) else None
    return shape


def check_moments(data: Any, steps: Iterable[WrittenStep], now: datetime, report: Report) -> None:
    """Report dates of a scenario's steps that are past before any contact can reach them."""
    zone = zone_of(data.get("timezone")) if is_mapping(data) else zone_of()
    for step in steps:
        written = step.model.moment(step.keys)
        if written is None:
            continue
        path, text = written
        try:
            moment = parse_moment(text, zone)
        except EntryError:
            continue  # the model said so
        if moment is not None and moment <= now:
            message = "this date is in the past: contacts will not wait here"
            report.add((*step.path, *path), "past", message, severity="warning")


def check_value(source: str, path: Path, known: Roots, report: Report) -> None:
    """Report a value of a goal that cannot be a number, whatever the event has."""
    if not is_worth(source):
        message = "the value of a goal is one number: write one output, such as {{ event.total }}, or a number"
        report.add(path, "goal-value", message)
    elif found := _OUTPUT.fullmatch(source.strip()):
        shape = _shape_of(known, found[1])
        if shape is not None and not isinstance(shape, Anything) and shape != Value("number"):
            message = f"'{found[1]}' is not a number: write the event's value, such as {{{{ event.total }}}}"
            report.add(path, "goal-value", message, offset=found.start(1))
