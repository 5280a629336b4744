"""People and attempts per step of a scenario, by day.

People are counted when they complete a step (``passages``), attempts are the recorded ones: two kinds of numbers, which
nothing adds up. Days are UTC.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import chain
from typing import Final

from pydantic import Field

from activities.content import Content
from gateway.service.caller import TERMINAL
from gateway.service.scenarios import load_version, require_for
from gateway.service.view import View
from runtime.store import DayCount, Store
from runtime.store.deliveries import COUNTED
from scenario.plan.plan import Plan
from scenario.steps.delivery import Send

DAYS: Final = 30
"""Days shown by default."""
MOST_DAYS: Final = 90
TTL: Final = 30.0
"""Seconds for which trends are cached."""


class DayView(View):
    """Counts of one day, by outcome. A missing outcome is 0."""

    day: date
    """Day in UTC."""
    outcomes: dict[str, int]
    """Numbers by outcome."""


class StepTrend(View):
    """Counts of one step. Days without any are left out."""

    id: str
    """Step id."""
    kind: str
    """Kind of step."""
    what: str
    """Description in a few words."""
    people: list[DayView] = Field(default_factory=list[DayView])
    """Journeys that completed the step, by the outcome of the step."""
    attempts: list[DayView] | None = None
    """Attempts to send, by the outcome of the attempt: a message may take several. Null if the step sends nothing."""


class VersionTrends(View):
    """Counts of one version."""

    version: int
    """Version of the scenario."""
    is_newest: bool
    """True if new journeys use it."""
    steps: list[StepTrend]
    """Steps in the order of the scenario."""


class TrendsView(View):
    """Counts of a scenario by day."""

    scenario: str
    """Name of the scenario."""
    as_of: datetime
    """Time of the count. Counts are shared by callers for some seconds."""
    since: date
    """First day, in UTC."""
    until: date
    """Last day, in UTC: today, which is not over."""
    attempts_since: date
    """First day whose attempts are counted: only the newest 100,000 are."""
    versions: list[VersionTrends]
    """Versions, the newest first."""


async def trends(
    store: Store, content: Content, scenario: str, version: int | None = None, days: int = DAYS
) -> TrendsView:
    """Count a scenario by day, today included; by default the newest version, and those with counts."""
    newest, now = await require_for(store, TERMINAL, scenario), datetime.now(UTC)
    since = now.date() - timedelta(days=days - 1)
    people, attempts = await asyncio.gather(
        store.passages_by_day(scenario, since),
        store.attempts_by_day(scenario, since=datetime.combine(since, time.min, UTC)),
    )
    first = since
    if sum(one.total for one in attempts) >= COUNTED:  # the oldest day is incomplete
        first = date.fromisoformat(min(one.day for one in attempts)) + timedelta(days=1)
        attempts = [one for one in attempts if one.day >= first.isoformat()]
    found = {newest, *(one.version for one in (*people, *attempts))}
    numbers = [version] if version else sorted(found, reverse=True)
    return TrendsView(
        scenario=scenario,
        as_of=now,
        since=since,
        until=now.date(),
        attempts_since=first,
        versions=[
            VersionTrends(
                version=number,
                is_newest=number == newest,
                steps=_steps(
                    (await load_version(content, scenario, number, newest)).table,
                    [one for one in people if one.version == number],
                    [one for one in attempts if one.version == number],
                ),
            )
            for number in numbers
        ],
    )


def of_all_versions(found: TrendsView) -> list[StepTrend]:
    """Add up versions by step id. Steps of older versions come last."""
    merged: dict[str, StepTrend] = {}
    for step in (step for version in found.versions for step in version.steps):
        known = merged.setdefault(step.id, step.model_copy(update={"people": [], "attempts": step.attempts and []}))
        merged[step.id] = known.model_copy(
            update={
                "people": _sum(known.people, step.people),
                "attempts": _sum(known.attempts or (), step.attempts or ()) if known.attempts is not None else None,
            }
        )
    return [*merged.values()]


def _sum(*some: Sequence[DayView]) -> list[DayView]:
    days: dict[date, Counter[str]] = {}
    for one in chain.from_iterable(some):
        days.setdefault(one.day, Counter()).update(one.outcomes)
    return [DayView(day=day, outcomes=days[day]) for day in sorted(days)]


def _steps(plan: Plan, people: Sequence[DayCount], attempts: Sequence[DayCount]) -> list[StepTrend]:
    return [
        StepTrend(
            id=name,
            kind=row.kind,
            what=row.describe(),
            people=_days(people, name),
            attempts=_days(attempts, name) if isinstance(row, Send) else None,
        )
        for name, row in plan.steps.items()
    ]


def _days(counts: Sequence[DayCount], step: str) -> list[DayView]:
    days: dict[str, dict[str, int]] = {}
    for one in sorted(counts, key=lambda one: (one.day, one.outcome)):
        if one.step == step:
            days.setdefault(one.day, {})[one.outcome] = one.total
    return [DayView(day=date.fromisoformat(day), outcomes=outcomes) for day, outcomes in days.items()]
