"""Checks of `event` in scenarios whose trigger is an event: it may be the trigger or an awaited event."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from scenario import liquid
from scenario.check.ways import KnownVariables
from scenario.entry.trigger import TRIGGER
from scenario.errors import TemplateError
from scenario.source.report import Report
from scenario.type_guards import Path, walk

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
        for place, at in _places(source, ".".join(field)):
            message = f"{_which(here, report)}; {meant}"
            report.add((*path, *place), "which-event", message, offset=at - lead, severity="warning")


def _which(here: KnownVariables, report: Report) -> str:
    if here.awaited is None:
        line = report.line(here.passed or ())
        return f"'{_EVENT}' is the trigger's here, since line {line} waited for another one in vain"
    line = report.line(here.awaited)
    other = ", or the trigger's event if none came" if here.entered else ""
    return f"'{_EVENT}' is the one that line {line} waited for{other}"


def _places(source: Any, name: str) -> Iterator[tuple[Path, int]]:
    """Yield the places where a template, or the texts of a structured body, use a name."""
    for path, text in walk(source):
        if isinstance(text, str):
            yield from ((path, found.start()) for found in re.finditer(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", text))
