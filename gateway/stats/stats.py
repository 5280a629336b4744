"""People per step of a scenario: who stands where, and how many passed.

The numbers have three sources, which learn of things at different times:

- Temporal's search knows where a journey waits, is held or paused, some moments later. Of one that sends it knows the
  step at which it waited last.
- ``passages`` are written when a journey departs or continues as new: of those under way, what they passed is missing.
- The log of deliveries has each attempt at once.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from pydantic import ValidationError
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.content import Content, UnknownVersion
from gateway.errors import BadInput
from gateway.service.index import COUNTS, JourneyIndex
from gateway.service.scenarios import require
from runtime.store import AttemptCount, JourneyCount, PassageCount, Store
from scenario.plan.plan import Plan
from scenario.steps.delivery import Send

ABORTED: Final = "aborted"
"""Why an attempt was skipped of which the log has no word: its template ended itself, or the contact has no address."""
TTL: Final = 5.0
"""Seconds for which counts are cached."""
COST_FACTOR: Final = 20
"""Counts are also cached for this many times the time they took, so that counting does not slow down anything else."""
MAX_STALE: Final = 60.0
"""Seconds for which older counts are shown while new ones are made."""
LATELY: Final = timedelta(days=1)
"""What is called lately; it begins with a full hour."""


@dataclass(frozen=True)
class Now:
    """Running journeys, by state.

    Attributes:
        waiting: For a time, an event, or until a delivery may leave.
        held: For an operator's decision.
        paused: By an operator.
        running: Between steps, or sending.
    """

    waiting: int = 0
    held: int = 0
    paused: int = 0
    running: int = 0


_STATES: Final = tuple(field.name for field in fields(Now))


@dataclass(frozen=True)
class StepStats:
    """One step.

    Attributes:
        id: The step's.
        kind: Its kind.
        what: It in a few words.
        now: Journeys that stand at it, as search knows; None where search does not answer.
        passed: Journeys that are through with it, by outcome, as far back as counts are kept.
        passed_lately: Those of the last day among them.
        attempts: Of a step that sends: attempts of the last day by outcome, of journeys under way as well.
        skipped: Why attempts among these were skipped, by the log's words.
        trying_again: Deliveries that wait for their next attempt, the latest of which was within the last day.
    """

    id: str
    kind: str
    what: str
    now: Now | None
    passed: Mapping[str, int] = field(default_factory=dict[str, int])
    passed_lately: Mapping[str, int] = field(default_factory=dict[str, int])
    attempts: Mapping[str, int] | None = None
    skipped: Mapping[str, int] = field(default_factory=dict[str, int])
    trying_again: int = 0


@dataclass(frozen=True)
class VersionStats:
    """One version.

    Attributes:
        version: Its number.
        is_newest: Whether those who come in now follow it.
        entered: How many it let in.
        under_way: How many follow it now, as the store knows.
        over: How many followed it at their end, by outcome.
        now: What those under way are doing; None where search does not answer.
        steps: Its steps, in the plan's order.
    """

    version: int
    is_newest: bool
    entered: int
    under_way: int
    over: Mapping[str, int]
    now: Now | None
    steps: Sequence[StepStats]


@dataclass(frozen=True)
class Stats:
    """A scenario in numbers.

    Attributes:
        scenario: Its name.
        as_of: When they were counted.
        since: When the last day began.
        versions: The newest first.
        trouble: Why nobody knows who stands where; empty where that is known.
    """

    scenario: str
    as_of: datetime
    since: datetime
    versions: Sequence[VersionStats]
    trouble: str = ""


@dataclass(frozen=True)
class _Stored:
    """What the store has counted."""

    passed: Sequence[PassageCount]
    population: Sequence[JourneyCount]
    attempted: Sequence[AttemptCount]
    trying_again: Mapping[tuple[int, str], int]


async def stats(
    temporal: Client,
    store: Store,
    content: Content,
    scenario: str,
    version: int | None = None,
    *,
    before: Stats | None = None,
) -> Stats:
    """Counts a scenario. It takes some ten milliseconds and more: the client caches it.

    Args:
        temporal: Whose search is asked.
        store: Counts what was passed and sent.
        content: Published versions.
        scenario: Its name.
        version: Only this one. None: the newest, and those that journeys follow or passed a step of in the last day.
        before: What was counted the last time.

    Raises:
        BadInput: There is no such scenario or version, or it is not for this release.
    """
    newest = await require(store, scenario)
    now = datetime.now(UTC)
    since = now.replace(minute=0, second=0, microsecond=0) - LATELY
    stored = _Stored(
        *await asyncio.gather(
            store.passed(scenario, since),
            store.population(scenario),
            store.attempted(scenario, since=since),
            store.trying_again(scenario, since=since),
        )
    )
    followed = {one.version for one in stored.population if one.outcome is None}
    numbers = {version} if version else {newest, *followed, *(one.version for one in stored.passed if one.lately)}
    plans = {number: await _plan(content, scenario, number, newest) for number in sorted(numbers, reverse=True)}
    trouble = ""
    found: dict[int, dict[str, Now]] = {}
    known = {one.version: one for one in before.versions} if before else {}
    turns = asyncio.Semaphore(COUNTS)
    try:
        for number in plans.keys() & followed:
            steps = list(plans[number].steps)
            found[number] = await _count(temporal, f"{scenario}@{number}", steps, known.get(number), turns)
    except RPCError as error:
        trouble = _trouble(error)
    versions = [
        _version(number, plan, stored, None if trouble else found.get(number, {}), is_newest=number == newest)
        for number, plan in plans.items()
    ]
    return Stats(scenario, now, since, versions, trouble)


async def _plan(content: Content, scenario: str, version: int, newest: int) -> Plan:
    try:
        return (await content.open(scenario, version)).table
    except UnknownVersion:
        raise BadInput(f"{scenario} has no version {version}: the newest is {newest}") from None
    except ValidationError:
        raise BadInput(f"{scenario}@{version} was published by a later release of this program: update it") from None


async def _count(
    temporal: Client, version: str, steps: Sequence[str], before: VersionStats | None, turns: asyncio.Semaphore
) -> dict[str, Now]:
    """Count the running journeys of a version by step, beginning with steps that had many journeys before."""
    index = JourneyIndex(temporal)
    known = {step.id: step.now for step in before.steps if step.now is not None} if before else {}

    async def by_step(state: str) -> dict[str, int]:
        likely = sorted(steps, key=lambda step: -getattr(known.get(step, Now()), state))
        return await index.count_by_step(version, state, likely, turns)

    counted = dict(zip(_STATES, await asyncio.gather(*map(by_step, _STATES)), strict=True))
    return {step: Now(**{state: counted[state].get(step, 0) for state in _STATES}) for step in ("", *steps)}


def _trouble(error: RPCError) -> str:
    known = "who stands where is not known"
    if error.status is RPCStatusCode.UNIMPLEMENTED:
        return f"the Temporal server has no search: {known}"
    return f"Temporal's search does not answer ({error.status.name}): {known}"


def _version(
    number: int, plan: Plan, stored: _Stored, found: Mapping[str, Now] | None, *, is_newest: bool
) -> VersionStats:
    population = [one for one in stored.population if one.version == number]
    under_way = sum(one.n for one in population if one.outcome is None)
    now = None
    if found is not None:
        # Those that have never waited are unknown to search.
        now = found.get("", Now())
        now = replace(now, running=max(under_way - now.waiting - now.held - now.paused, 0))
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
            now=None if found is None else found.get(name, Now()),
            passed={one.outcome: one.total for one in passed if one.step == name},
            passed_lately={one.outcome: one.lately for one in passed if one.step == name and one.lately},
            attempts=_summed(attempted, name, "outcome") if isinstance(row, Send) else None,
            skipped=_summed([one for one in attempted if one.outcome == "skipped"], name, "error"),
            trying_again=stored.trying_again.get((number, name), 0),
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
