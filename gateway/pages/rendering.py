"""Makes HTML of templates. What is put into them is escaped, whatever it is."""

from __future__ import annotations

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
"""What the header leads to."""


def render(template: str, *, status: int = 200, headers: dict[str, str] | None = None, **context: Any) -> HTMLResponse:
    """An answer.

    Args:
        template: Its file's name.
        status: Of the answer.
        headers: Of the answer.
        context: What it tells; ``page`` is the `Page` that is asked for, None where nobody is signed in.
    """
    return HTMLResponse(environment().get_template(template).render({"page": None, **context}), status, headers)


@cache
def environment() -> Environment:
    """What templates are loaded and run by."""
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
    cast("dict[str, Any]", made.filters).update(moment=moment, clock=clock_of, duration=format_duration, number=number)
    return made


def moment(value: datetime | str) -> datetime:
    """A moment in UTC, as reports or rows have it."""
    return (datetime.fromisoformat(value) if isinstance(value, str) else value).astimezone(UTC)


def clock_of(value: datetime | str, zone: tzinfo | str = UTC) -> str:
    """A moment on a clock: ``Tue 2026-03-03 21:04``."""
    return clock(moment(value), ZoneInfo(zone) if isinstance(zone, str) else zone)


def number(value: int) -> str:
    """A number as people read it: ``20,000``."""
    return f"{value:,}"
