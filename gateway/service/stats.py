"""People per step of a scenario, now and in total.

The numbers have three sources with different delays:

- Temporal's search knows where a journey waits, retries a delivery, is held or paused, with a delay. For a journey that
  sends for the first time, it has the step of its last wait.
- ``passages`` have the completed steps, some seconds late.
- The log of attempts is immediate. It counts attempts, of which a journey may make many: nothing adds them to people.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from pydantic import Field
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.content import Content
from gateway.service.caller import TERMINAL
from gateway.service.index import COUNTS, JourneyIndex
from gateway.service.scenarios import load_version, require_for
from gateway.service.view import View
from runtime.store import AttemptCount, JourneyCount, PassageCount, Store
from scenario.plan.plan import Plan
from scenario.steps.delivery import Send

FAILED: Final = ("failed", "unknown")
"""Outcomes of steps and attempts that failed, or may have arrived without an answer."""
ABORTED: Final = "aborted"
"""The reason of skipped attempts without a word in the log: the template aborted, or the contact has no address."""
TTL: Final = 5.0
"""Seconds for which counts are cached."""
COST_FACTOR: Final = 20
"""Counts are also cached for this many times the time they took, so that counting does not slow down anything else."""
MAX_STALE: Final = 60.0
"""Seconds for which older counts are shown while new ones are made."""
LATELY: Final = timedelta(days=1)
"""The recent period; it begins with a full hour."""


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


class StepStats(View):
    """Counts of one step, by outcome. A missing outcome is 0."""

    id: str
    """Step id."""
    kind: str
    """Kind of step."""
    what: str
    """Description in a few words."""
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


class VersionStats(View):
    """Counts of one version."""

    version: int
    """Version of the scenario."""
    is_newest: bool
    """True if new journeys use it."""
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


@dataclass(frozen=True)
class _Stored:
    """Counts from the store."""

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
    plans = {
        number: (await load_version(content, scenario, number, newest)).table
        for number in sorted(numbers, reverse=True)
    }
    trouble = ""
    found: dict[int, dict[str, PopulationView]] = {}
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
    return StatsView(scenario=scenario, as_of=now, since=since, versions=versions, trouble=trouble)


async def _count(
    temporal: Client, version: str, steps: Sequence[str], before: VersionStats | None, turns: asyncio.Semaphore
) -> dict[str, PopulationView]:
    """Count the running journeys of a version by step, beginning with steps that had many journeys before."""
    index = JourneyIndex(temporal)
    known = {step.id: step.now for step in before.steps if step.now is not None} if before else {}

    async def by_step(state: str) -> dict[str, int]:
        likely = sorted(steps, key=lambda step: -getattr(known.get(step, PopulationView()), state))
        return await index.count_by_step(version, state, likely, turns)

    counted = dict(zip(_STATES, await asyncio.gather(*map(by_step, _STATES)), strict=True))
    return {step: PopulationView(**{state: counted[state].get(step, 0) for state in _STATES}) for step in ("", *steps)}


def _trouble(error: RPCError) -> str:
    known = "who stands where is not known"
    if error.status is RPCStatusCode.UNIMPLEMENTED:
        return f"the Temporal server has no search: {known}"
    return f"Temporal's search does not answer ({error.status.name}): {known}"


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
