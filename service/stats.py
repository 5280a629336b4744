"""People and attempts per step of a scenario: now, in total, and by day (UTC).

The numbers have three sources with different delays:

- Temporal's search knows where a journey waits, retries a delivery, is held or paused, with a delay. For a journey that
  sends for the first time, it has the step of its last wait.
- ``passages`` have the completed steps, some seconds late.
- The log of attempts is immediate. It counts attempts, of which a journey may make many: nothing adds them to people.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import chain
from typing import Final, NamedTuple

from pydantic import Field
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.content import Content
from runtime.store import AttemptCount, DayCount, JourneyCount, PassageCount, Store
from runtime.store.deliveries import COUNTED
from scenario.plan.plan import Plan
from scenario.steps.base import Row
from scenario.steps.delivery import Send
from service.caller import TERMINAL
from service.index import COUNTS, JourneyIndex
from service.scenarios import StepDescription, load_version, require_for
from service.view import View

FAILED: Final = ("failed", "refused_answer", "unknown")
"""Outcomes of steps and attempts that failed, or may have arrived without an answer."""
ABORTED: Final = "aborted"
"""The reason of skipped attempts without a word in the log: the template aborted, or the contact has no address."""
TTL: Final = 5.0  # seconds for which counts are cached
TRENDS_TTL: Final = 30.0  # the same of trends
DAYS: Final = 30  # days of trends by default
MOST_DAYS: Final = 90
MAX_STALE: Final = 60.0  # seconds for which older counts are shown while new ones are made
LATELY: Final = timedelta(days=1)  # the recent period, which begins with a full hour


class PeopleCount(NamedTuple):
    """Journeys that completed a step."""

    passed: int = 0
    failed: int = 0  # the step failed, or its message may have arrived; the journey went on
    skipped: int = 0

    @classmethod
    def of(cls, outcomes: Mapping[str, int]) -> PeopleCount:
        """Add up outcomes of a step. Journeys that left during the step did not complete it."""
        failed, skipped = _number(outcomes, *FAILED), outcomes.get("skipped", 0)
        return cls(_number(outcomes, *outcomes) - failed - skipped - outcomes.get("left", 0), failed, skipped)


class SendingCount(NamedTuple):
    """Attempts to send a step's messages."""

    delivered: int = 0
    retried: int = 0
    failed: int = 0
    skipped: int = 0

    @classmethod
    def of(cls, outcomes: Mapping[str, int]) -> SendingCount:
        """Add up outcomes of attempts. Those that a journey cancelled are left out."""
        words = (("delivered", "batched"), ("retry",), FAILED, ("skipped",))
        return cls(*(_number(outcomes, *some) for some in words))


def _number(outcomes: Mapping[str, int], *words: str) -> int:
    return sum(outcomes.get(word, 0) for word in words)


class PopulationView(View):
    """Running journeys by state, as Temporal's search has it: some moments late."""

    waiting: int = 0
    """Waiting for a time, an event, or until a delivery may leave."""
    retrying: int = 0
    """Sending a message that has failed and will be attempted again."""
    held: int = 0
    """Held for an operator's decision."""
    paused: int = 0
    """Paused by an operator."""
    running: int = 0
    """Between steps, or sending for the first time."""


_STATES: Final = tuple(PopulationView.model_fields)


class CountedVersion(View):
    """A version."""

    version: int
    """Version of the scenario."""
    is_newest: bool
    """True if new journeys use it."""


class StepStats(StepDescription):
    """Counts of one step, by outcome. A missing outcome is 0."""

    now: PopulationView | None
    """Journeys at the step; one that sends for the first time is counted where it waited last. Null if search fails."""
    passed: dict[str, int] = Field(default_factory=dict)
    """Journeys that have completed the step, as far back as counts are kept. A repeated step counts each time."""
    passed_lately: dict[str, int] = Field(default_factory=dict)
    """Those among `passed` after `since`."""
    attempts: dict[str, int] | None = None
    """Attempts to send after `since`, of which a message may take several; null if the step sends nothing."""
    skipped: dict[str, int] = Field(default_factory=dict)
    """Reasons why attempts among these were skipped."""


class VersionStats(CountedVersion):
    """Counts of one version."""

    entered: int
    """Journeys that it admitted."""
    under_way: int
    """Running journeys that use it."""
    over: dict[str, int]
    """Ended journeys that used it at their end, by outcome."""
    now: PopulationView | None
    """Running journeys by state; null if search fails."""
    steps: list[StepStats]
    """Steps in the order of the scenario."""


class StatsView(View):
    """Counts of a scenario."""

    scenario: str
    """Name of the scenario."""
    as_of: datetime
    """Time of the count. Counts are shared by callers for some seconds."""
    since: datetime
    """Beginning of the last day."""
    versions: list[VersionStats]
    """Versions, the newest first."""
    trouble: str = ""
    """Reason why the places of journeys are unknown; empty if they are known."""


class _Stored(NamedTuple):
    passed: Sequence[PassageCount]
    population: Sequence[JourneyCount]
    attempted: Sequence[AttemptCount]


async def stats(
    temporal: Client,
    store: Store,
    content: Content,
    scenario: str,
    version: int | None = None,
    *,
    before: StatsView | None = None,
) -> StatsView:
    """Count a scenario. It takes some tens of milliseconds: the client caches it.

    Without a version: the newest, and those that journeys follow or passed a step of in the last day. Raise BadInput if
    the scenario or version does not exist, or is not for this release.
    """
    newest = await require_for(store, TERMINAL, scenario)
    now = datetime.now(UTC)
    since = now.replace(minute=0, second=0, microsecond=0) - LATELY
    stored = _Stored(
        *await asyncio.gather(
            store.passage_counts(scenario, since),
            store.journey_counts(scenario),
            store.attempt_counts(scenario, since=since),
        )
    )
    followed = {one.version for one in stored.population if one.outcome is None}
    numbers = {version} if version else {newest, *followed, *(one.version for one in stored.passed if one.lately)}
    plans = await _plans(content, scenario, numbers, newest)
    trouble = ""
    found: dict[int, dict[str, PopulationView]] = {}
    known = {one.version: one for one in before.versions} if before else {}
    turns = asyncio.Semaphore(COUNTS)
    try:
        for number in plans.keys() & followed:
            steps = list(plans[number].steps)
            found[number] = await _count(temporal, f"{scenario}@{number}", steps, known.get(number), turns)
    except RPCError as error:
        is_absent, word = error.status is RPCStatusCode.UNIMPLEMENTED, error.status.name
        fault = "the Temporal server has no search" if is_absent else f"Temporal's search does not answer ({word})"
        trouble = f"{fault}: who stands where is not known"
    versions = [
        _version(number, plan, stored, None if trouble else found.get(number, {}), is_newest=number == newest)
        for number, plan in plans.items()
    ]
    return StatsView(scenario=scenario, as_of=now, since=since, versions=versions, trouble=trouble)


async def _plans(content: Content, scenario: str, numbers: Collection[int], newest: int) -> dict[int, Plan]:
    return {one: (await load_version(content, scenario, one, newest)).table for one in sorted(numbers, reverse=True)}


async def _count(
    temporal: Client, version: str, steps: Sequence[str], before: VersionStats | None, turns: asyncio.Semaphore
) -> dict[str, PopulationView]:
    index = JourneyIndex(temporal)
    known = {step.id: step.now for step in before.steps if step.now is not None} if before else {}

    async def by_step(state: str) -> dict[str, int]:
        likely = sorted(steps, key=lambda step: -getattr(known.get(step, PopulationView()), state))
        return await index.count_by_step(version, state, likely, turns)

    counted = dict(zip(_STATES, await asyncio.gather(*map(by_step, _STATES)), strict=True))
    return {step: PopulationView(**{state: counted[state].get(step, 0) for state in _STATES}) for step in ("", *steps)}


def _version(
    number: int, plan: Plan, stored: _Stored, found: Mapping[str, PopulationView] | None, *, is_newest: bool
) -> VersionStats:
    population = [one for one in stored.population if one.version == number]
    under_way = sum(one.n for one in population if one.outcome is None)
    now = None
    if found is not None:
        # Those that have never waited are unknown to search.
        now = found.get("", PopulationView())
        known = now.waiting + now.retrying + now.held + now.paused
        now = now.model_copy(update={"running": max(under_way - known, 0)})
    over = Counter[str]()
    for one in population:
        if one.outcome is not None:
            over[one.outcome] += one.n
    passed = [one for one in stored.passed if one.version == number]
    attempted = [one for one in stored.attempted if one.version == number]
    steps = [
        StepStats(
            id=name,
            kind=row.kind,
            what=row.describe(),
            now=None if found is None else found.get(name, PopulationView()),
            passed={one.outcome: one.total for one in passed if one.step == name},
            passed_lately={one.outcome: one.lately for one in passed if one.step == name and one.lately},
            attempts=_summed(attempted, name, "outcome") if isinstance(row, Send) else None,
            skipped=_summed([one for one in attempted if one.outcome == "skipped"], name, "error"),
        )
        for name, row in plan.steps.items()
    ]
    return VersionStats(
        version=number,
        is_newest=is_newest,
        entered=sum(one.n for one in stored.population if one.entered_by == number),
        under_way=under_way,
        over=dict(sorted(over.items())),
        now=now,
        steps=steps,
    )


def _summed(attempted: Sequence[AttemptCount], step: str, by: str) -> dict[str, int]:
    summed = Counter[str]()
    for one in attempted:
        if one.step == step:
            summed[getattr(one, by) or ABORTED] += one.n
    return dict(sorted(summed.items()))


class DayView(View):
    """Counts of one day, by outcome. A missing outcome is 0."""

    day: date
    """Day in UTC."""
    outcomes: dict[str, int]
    """Numbers by outcome."""


class StepTrend(StepDescription):
    """Counts of one step. Days without any are left out."""

    people: list[DayView] = Field(default_factory=list[DayView])
    """Journeys that completed the step, by the outcome of the step."""
    attempts: list[DayView] | None = None
    """Attempts to send, by the outcome of the attempt: a message may take several. Null if the step sends nothing."""


class VersionTrends(CountedVersion):
    """Counts of one version."""

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
    plans = await _plans(content, scenario, {version} if version else found, newest)

    def of_version(number: int) -> Iterator[list[DayCount]]:
        return ([one for one in some if one.version == number] for some in (people, attempts))

    return TrendsView(
        scenario=scenario,
        as_of=now,
        since=since,
        until=now.date(),
        attempts_since=first,
        versions=[
            VersionTrends(version=number, is_newest=number == newest, steps=_trends(plan, *of_version(number)))
            for number, plan in plans.items()
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


def _trends(plan: Plan, people: Sequence[DayCount], attempts: Sequence[DayCount]) -> list[StepTrend]:
    def trend(name: str, row: Row) -> StepTrend:
        sent = _days(attempts, name) if isinstance(row, Send) else None
        return StepTrend(id=name, kind=row.kind, what=row.describe(), people=_days(people, name), attempts=sent)

    return [trend(name, row) for name, row in plan.steps.items()]


def _days(counts: Sequence[DayCount], step: str) -> list[DayView]:
    days: dict[str, dict[str, int]] = {}
    for one in sorted(counts, key=lambda one: (one.day, one.outcome)):
        if one.step == step:
            days.setdefault(one.day, {})[one.outcome] = one.total
    return [DayView(day=date.fromisoformat(day), outcomes=outcomes) for day, outcomes in days.items()]
