"""Held journeys as an operator sees them first: in groups that have scenario, step, destination and reason in common.

To list thousands of them costs seconds, and Temporal's search has no GROUP BY for our attributes. So some are looked
at, the groups that they belong to are counted, and then some of those that belong to none of these, until all are
counted: what that costs goes by the number of groups, and not of journeys.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from temporalio.client import Client, WorkflowExecution

from gateway.journeys.listing import UNDER_WAY, quoted
from gateway.operations.search import Which
from runtime.search_attributes import (
    DESTINATION,
    HELD_REASON,
    JOURNEY_STATE,
    SCENARIO_NAME,
    STEP_ID,
    noted_hold,
)

LOOKED_AT: Final = 100
"""Journeys that are looked at first: about a tenth of a second's work for a server."""
GROUPS: Final = 40
"""Groups that are told of, the largest first; so many fit on a page."""
_MORE: Final = 20  # journeys of none of the groups known by then that are looked at with each further look
_LOOKS: Final = 40
_FOUND: Final = 100  # groups that are counted
_AT_ONCE: Final = 10  # at the same time
_HELD: Final = f"{UNDER_WAY} AND {JOURNEY_STATE.name} = 'held'"


class HeldAt(NamedTuple):
    """What the journeys of a group have in common.

    Attributes:
        scenario: The scenario's name.
        step: The step's id.
        destination: What could not be delivered to; None where it is none.
        cause: Why, in one word, as the search attribute `HeldReason` has it; None where it has none.
    """

    scenario: str
    step: str
    destination: str | None
    cause: str | None

    @property
    def which(self) -> Which:
        """The same, for an operation on them."""
        return Which(scenario=self.scenario, step=self.step, destination=self.destination, reason=self.cause)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One journey of a group.

    Attributes:
        id: The workflow id.
        since: When it was held, or None if its memo cannot be read.
        status: The receiver's reply code.
        why: Why it is held, as a sentence.
        attempts: How many attempts were made.
    """

    id: str
    since: datetime | None = None
    status: int | None = None
    why: str | None = None
    attempts: int | None = None


@dataclass(frozen=True, kw_only=True)
class HeldGroup:
    """Journeys that are held for the same.

    Attributes:
        at: What they have in common.
        count: How many there are, as search has it: some moments behind.
        samples: Those that were looked at, the newest first.
    """

    at: HeldAt
    count: int
    samples: Sequence[Sample]

    @property
    def is_sampled(self) -> bool:
        """Whether there are some that were not looked at."""
        return self.count > len(self.samples)

    @property
    def since(self) -> datetime | None:
        """Since when the first of those that were looked at is held."""
        return min((sample.since for sample in self.samples if sample.since), default=None)

    @property
    def latest(self) -> Sample:
        """The one of them that was held last."""
        return max(self.samples, key=lambda sample: sample.since.timestamp() if sample.since else 0.0)


@dataclass(frozen=True, kw_only=True)
class HeldGroups:
    """All held journeys, in groups.

    Attributes:
        total: How many there are.
        groups: The groups that were found, the largest first.
    """

    total: int
    groups: Sequence[HeldGroup]

    @property
    def others(self) -> int:
        """How many are in no group that was found."""
        return max(0, self.total - sum(group.count for group in self.groups))


async def held_groups(temporal: Client, scenarios: Collection[str] | None = None) -> HeldGroups:
    """The held journeys, in groups.

    Args:
        temporal: Whose search is asked.
        scenarios: Names of the only scenarios that count; None: all.
    """
    if scenarios is not None and not scenarios:
        return HeldGroups(total=0, groups=())
    names = "" if scenarios is None else f" AND {SCENARIO_NAME.name} IN ({', '.join(map(quoted, sorted(scenarios)))})"
    total = await _count(temporal, _HELD + names)
    if not total:
        return HeldGroups(total=0, groups=())
    samples: dict[HeldAt, list[Sample]] = {}
    counts: dict[HeldAt, int] = {}
    for look in range(_LOOKS):
        size = _MORE if look else LOOKED_AT
        besides = "".join(f" AND {_not_at(at)}" for at in counts)
        seen = [item async for item in temporal.list_workflows(_HELD + names + besides, limit=size)]
        for at, sample in zip(map(_place, seen), await asyncio.gather(*map(_sample, seen)), strict=True):
            samples.setdefault(at, []).append(sample)
        new = sorted((at for at in samples if at not in counts), key=lambda at: -len(samples[at]))[
            : _FOUND - len(counts)
        ]
        counts.update(zip(new, await _counts(temporal, new), strict=True))
        if len(seen) < size or len(counts) >= _FOUND or sum(counts.values()) >= total:
            break
    # What was looked at is there, also where search has just lost it from what it counts.
    found = [
        HeldGroup(at=at, count=max(count, len(samples[at])), samples=tuple(samples[at])) for at, count in counts.items()
    ]
    found.sort(key=lambda group: (-group.count, _words(group.at)))
    return HeldGroups(total=total, groups=found[:GROUPS])


async def count_held(temporal: Client, at: HeldAt) -> int:
    """How many journeys are in a group now."""
    return await _count(temporal, f"{_HELD} AND {_at(at)}")


async def look_at(temporal: Client, at: HeldAt, limit: int) -> list[Sample]:
    """Some journeys of a group: those that came in last.

    Args:
        temporal: Whose search is asked.
        at: The group.
        limit: So many at most.
    """
    found = [item async for item in temporal.list_workflows(f"{_HELD} AND {_at(at)}", limit=limit)]
    return await asyncio.gather(*map(_sample, found))


async def _counts(temporal: Client, places: Sequence[HeldAt]) -> list[int]:
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one(at: HeldAt) -> int:
        async with turns:
            return await count_held(temporal, at)

    return await asyncio.gather(*map(one, places))


async def _count(temporal: Client, query: str) -> int:
    return (await temporal.count_workflows(query)).count


def _place(execution: WorkflowExecution) -> HeldAt:
    known = execution.typed_search_attributes
    return HeldAt(
        scenario=known.get(SCENARIO_NAME) or execution.id.partition("/")[0],
        step=known.get(STEP_ID) or "",
        destination=known.get(DESTINATION) or None,
        cause=known.get(HELD_REASON) or None,
    )


async def _sample(execution: WorkflowExecution) -> Sample:
    noted = await noted_hold(execution) or {}
    return Sample(
        id=execution.id,
        since=datetime.fromisoformat(noted["at"]) if noted.get("at") else None,
        status=noted.get("status"),
        why=noted.get("reason"),
        attempts=noted.get("attempts"),
    )


def _at(at: HeldAt) -> str:
    """A group, as search takes it."""
    return " AND ".join(
        f"{name} IS NULL" if value is None else f"{name} = {quoted(value)}" for name, value in _named(at)
    )


def _not_at(at: HeldAt) -> str:
    """All but a group. What has no value is not unlike one for search, and has to be named."""
    return (
        "("
        + " OR ".join(
            f"{name} IS NOT NULL" if value is None else f"{name} != {quoted(value)} OR {name} IS NULL"
            for name, value in _named(at)
        )
        + ")"
    )


def _named(at: HeldAt) -> list[tuple[str, str | None]]:
    keys = (SCENARIO_NAME, STEP_ID, DESTINATION, HELD_REASON)
    return [(key.name, value) for key, value in zip(keys, at, strict=True)]


def _words(at: HeldAt) -> tuple[str, ...]:
    return tuple(word or "" for word in at)
