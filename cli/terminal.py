"""Output of commands: safe text, JSON, tables, local times."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime, tzinfo
from typing import TYPE_CHECKING, Any, Final, TextIO

from scenario.plain_text import plain
from scenario.source.findings import Finding

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text
_WIDE: Final = 160  # columns without a terminal

_COLOURS: Final = {
    "bold red": ("held", "failed", "refused_answer", "error"),
    "red": ("terminated", "unknown", "lost"),
    "yellow": ("warning", "refused", "retry", "retrying", "paused"),
    "cyan": ("waiting", "entering"),
    "bold green": ("running",),
    "green": ("delivered", "batched", "finished"),
    "blue": ("exited", "control", "holdout"),
    "dim": ("skipped", "to come"),
}
STYLES: Final = {word: style for style, words in _COLOURS.items() for word in words}
"""Colours of states, outcomes and severities."""


def say(text: str) -> None:
    _write(sys.stdout, plain(text))


def note(text: str) -> None:
    """Write a line for people to standard error."""
    _write(sys.stderr, plain(text))


def dump(value: Any, *, indent: int | None = 2) -> None:
    """Write JSON to standard output, with Unicode if the output's encoding allows."""
    unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    _write(sys.stdout, json.dumps(value, ensure_ascii=not unicode, indent=indent, default=as_data))


def as_data(value: Any) -> Any:
    """Return a view, a finding, another dataclass, or a moment or day in one, as JSON data."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Finding):
        return value.as_json()
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    return value.model_dump(by_alias=True)  # without an import of pydantic, which takes its time


def _write(stream: TextIO, line: str) -> None:
    # Flushed, for the reader of a pipe; and looked up each time, since a progress bar replaces the stream to keep
    # lines and bar apart.
    stream.write(f"{line}\n")
    stream.flush()


def console(*, err: bool = False) -> Console:
    """Return a console on standard output, or error. NO_COLOR and the like apply."""
    from rich.console import Console

    made = Console(stderr=err, highlight=False, emoji=False, markup=False)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = _WIDE
    return made


def styled(word: str, shown: str | None = None) -> Text:
    from rich.text import Text

    return Text(plain(shown or word), STYLES.get(word, ""))


def text(value: object, style: str = "") -> Text:
    """Return a table's cell; None is empty."""
    from rich.text import Text

    return Text("" if value is None else plain(str(value)), style)


def local(moment: datetime | str | None, zone: tzinfo | None = None) -> str:
    """Return a moment in a zone, by default the machine's: ``2026-03-31 10:00:00``; None is empty."""
    if moment is None or moment == "":
        return ""
    parsed = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return parsed.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")
