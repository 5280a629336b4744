"""Held journeys in groups with the same scenario, step, destination and cause.

Listing thousands of journeys takes seconds, and search has no GROUP BY for our attributes. So some journeys are read
and their groups counted, then some of no group found so far, until all are counted. The time depends on the number of
groups, not of journeys.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from runtime.search_attributes import DESTINATION, HELD_REASON, SCENARIO_NAME, STEP_ID
from service.caller import Caller
from service.concurrency import CoalescingCache, gather_some
from service.index import IndexedJourney, JourneyFilter, JourneyIndex, differs, equals, one_of, query_of

READ_FIRST: Final = 100  # journeys that are read first: about a tenth of a second's work for a server
GROUPS: Final = 40  # groups that are returned, the largest first; so many fit on a page
_READ_NEXT: Final = 20  # journeys of no group found so far, each time
_ROUNDS: Final = 40
_MOST_COUNTED: Final = 100  # groups
_AT_ONCE: Final = 10
TTL: Final = 5.0  # seconds for which groups are cached. Temporal's search lags anyway.
MAX_STALE: Final = 15.0
"""Seconds for which older groups are returned while new ones are found. Programs that poll must get recent ones."""
_KEYS: Final = (SCENARIO_NAME, STEP_ID, DESTINATION, HELD_REASON)
_HELD: Final = query_of(JourneyFilter(), state="held")
_COUNTED: Final = query_of(JourneyFilter(), state="held", counted=True)


class HeldGroupKey(NamedTuple):
    """The values that the journeys of a group have in common. The cause is one word, as in `HeldCause`."""

    scenario: str
    step: str
    destination: str | None
    cause: str | None

    @property
    def filter(self) -> JourneyFilter:
        """The same values as a filter, for an operation."""
        return JourneyFilter(scenario=self.scenario, step=self.step, destination=self.destination, reason=self.cause)

    @property
    def query(self) -> str:
        return " AND ".join((_COUNTED, *(equals(key, value) for key, value in zip(_KEYS, self, strict=True))))


@dataclass(frozen=True, kw_only=True)
class HeldGroup:
    """A group of held journeys."""

    at: HeldGroupKey
    count: int  # number of journeys, as search has it
    samples: Sequence[IndexedJourney]  # some of the journeys, the newest first

    @property
    def is_sampled(self) -> bool:
        return self.count > len(self.samples)

    @property
    def since(self) -> datetime | None:
        return min((one.hold.since for one in self.samples if one.hold.since), default=None)

    @property
    def latest(self) -> IndexedJourney:
        return max(self.samples, key=lambda one: one.hold.since.timestamp() if one.hold.since else 0.0)


@dataclass(frozen=True, kw_only=True)
class HeldGroups:
    """All held journeys, in groups, the largest first."""

    total: int
    groups: Sequence[HeldGroup]

    @property
    def others(self) -> int:
        """Number of journeys in no group that was found."""
        return max(0, self.total - sum(group.count for group in self.groups))


class HeldService:
    """Use cases about groups of held journeys. All raise Forbidden if the caller may not use the scenario."""

    def __init__(self, index: JourneyIndex) -> None:
        self._index = index
        self._cache = CoalescingCache[frozenset[str] | None, HeldGroups](
            lambda names: held_groups(index, names), TTL, max_stale=MAX_STALE
        )
        self.caches = (self._cache,)

    async def groups(self, caller: Caller, scenario: str | None = None) -> HeldGroups:
        """Return the held journeys of a scenario, or of all that the caller may use, in groups."""
        names = caller.scenarios
        if scenario is not None:
            caller.check(scenario)
            names = [scenario]
        return await self._cache.get(None if names is None else frozenset(names))

    async def matching(self, caller: Caller, which: JourneyFilter, limit: int) -> tuple[int, Sequence[IndexedJourney]]:
        """Return the number of held journeys that an operation would select, and the newest of them, not cached."""
        caller.check(which.scenario)
        count = await self._index.count(query_of(which, state="held", counted=True))
        return count, await self._index.find(query_of(which, state="held"), limit=limit) if count else ()


async def held_groups(index: JourneyIndex, scenarios: Collection[str] | None = None) -> HeldGroups:
    if scenarios is not None and not scenarios:
        return HeldGroups(total=0, groups=())
    among = "" if scenarios is None else f" AND {one_of(SCENARIO_NAME.name, sorted(scenarios))}"
    total = await index.count(_COUNTED + among)
    samples: dict[HeldGroupKey, list[IndexedJourney]] = {}
    counts: dict[HeldGroupKey, int] = {}
    for turn in range(_ROUNDS if total else 0):
        size = _READ_NEXT if turn else READ_FIRST
        others = "".join(f" AND ({' OR '.join(map(differs, _KEYS, key))})" for key in counts)
        found = await index.find(_HELD + among + others, limit=size)
        for one in found:
            scenario = one.scenario or one.id.partition("/")[0]
            key = HeldGroupKey(scenario, one.step or "", one.destination, one.held_reason)
            samples.setdefault(key, []).append(one)
        new = sorted((key for key in samples if key not in counts), key=lambda key: -len(samples[key]))
        new = new[: _MOST_COUNTED - len(counts)]
        sizes = await gather_some(_AT_ONCE, lambda key: index.count(key.query), new)
        counts.update(zip(new, sizes, strict=True))
        if len(found) < size or len(counts) >= _MOST_COUNTED or sum(counts.values()) >= total:
            break
    # A journey that was read exists, even if search has just dropped it from its count.
    groups = [
        HeldGroup(at=key, count=max(count, len(samples[key])), samples=samples[key]) for key, count in counts.items()
    ]
    groups.sort(key=lambda group: (-group.count, *(value or "" for value in group.at)))
    return HeldGroups(total=total, groups=groups[:GROUPS])
