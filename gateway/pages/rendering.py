"""Renders templates to HTML. All values are escaped."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from functools import cache
from pathlib import Path
from typing import Any, Final, cast
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from gateway.pages import links
from gateway.pages.assets import asset
from gateway.why.words import clock
from scenario.time.duration import format_duration

NAVIGATION: Final = (
    ("/", "Scenarios"),
    ("/held", "Held"),
    ("/deliveries", "Deliveries"),
    ("/destinations", "Destinations"),
    ("/preview", "Preview"),
)
"""The links in the header."""

_TONES: Final[Mapping[str, tuple[str, ...]]] = {
    "blue": ("running", "waiting", "entering", "now", "let in", "surveying"),
    "green": ("finished", "delivered", "completed", "goal", "up", "sent", "accepted"),
    "amber": (
        "paused",
        "retry",
        "refused",
        "closed",
        "leaving",
        "ignored",
        "pause",
        "warning",
        "stopped",
        "no answer",
        "unanswered",
    ),
    "red": ("held", "failed", "lost", "terminated", "timed_out", "unknown", "down", "left alone", "error"),
}
"""The colours of states and outcomes; others are grey. The word is always shown beside the colour."""
_TONE: Final = {word: tone for tone, words in _TONES.items() for word in words}


def render(template: str, *, status: int = 200, headers: dict[str, str] | None = None, **context: Any) -> HTMLResponse:
    """Render a template as an answer.

    Args:
        template: The template's file name.
        status: The answer's status.
        headers: The answer's headers.
        context: Values for the template; ``page`` is the requested `Page`, or None if nobody is signed in.
    """
    return HTMLResponse(environment().get_template(template).render({"page": None, **context}), status, headers)


@cache
def environment() -> Environment:
    """Return the environment that loads and runs templates."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    cast("dict[str, Any]", made.globals).update(
        asset=asset,
        navigation=NAVIGATION,
        link=links.link,
        to_contact=links.to_contact,
        to_journey=links.to_journey,
        to_scenario=links.to_scenario,
    )
    cast("dict[str, Any]", made.filters).update(
        beyond=beyond,
        clock=clock_of,
        day=day_of,
        duration=format_duration,
        moment=moment,
        number=number,
        time=time_of,
        tone=tone_of,
    )
    return made


def moment(value: datetime | str) -> datetime:
    """Convert a moment of a report or row to UTC."""
    return (datetime.fromisoformat(value) if isinstance(value, str) else value).astimezone(UTC)


def clock_of(value: datetime | str, zone: tzinfo | str = UTC) -> str:
    """Format a moment in a time zone: ``Tue 2026-03-03 21:04``."""
    return clock(moment(value), ZoneInfo(zone) if isinstance(zone, str) else zone)


def day_of(value: datetime | str, zone: tzinfo | str = UTC) -> str:
    """Format the day of a moment."""
    return clock_of(value, zone).rpartition(" ")[0]


def time_of(value: datetime | str, zone: tzinfo | str = UTC) -> str:
    """Format the time of a moment."""
    return clock_of(value, zone).rpartition(" ")[2]


def beyond(words: str, said: str) -> str:
    """Return words without the word that stands before them: ``let in by order`` without ``let in``."""
    rest = words.removeprefix(said)
    return rest.lstrip(":, ") if rest == "" or (rest != words and not rest[0].isalnum()) else words


def tone_of(word: str) -> str:
    """Return the colour of a state or an outcome."""
    return _TONE.get(word, "grey")


def number(value: int) -> str:
    """Format a number for people: ``20,000``."""
    return f"{value:,}"
