"""How many journeys stand at each step now, as Temporal's search counts them.

Search cannot group by an attribute, and each count takes it tens of milliseconds where tens of thousands are under way.
So a state is counted as a whole first, and step by step only until all are found.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Final

from temporalio.client import Client

from gateway.journeys.listing import UNDER_WAY, quoted
from runtime.search_attributes import JOURNEY_STATE, SCENARIO_VERSION, STEP_ID

_AT_ONCE: Final = 4
_PATIENCE: Final = timedelta(seconds=5)


@dataclass(frozen=True)
class Now:
    """Journeys under way, by what they are doing.

    Attributes:
        waiting: For a time, an event, or until a delivery may leave.
        held: For an operator's decision.
        paused: By an operator.
        running: Neither: on their way between steps, or sending.
    """

    waiting: int = 0
    held: int = 0
    paused: int = 0
    running: int = 0


STATES: Final = tuple(field.name for field in fields(Now))

Standing = Mapping[str, Now]
"""By step; under the empty text, all."""


async def standing(
    temporal: Client, version: str, steps: Sequence[str], before: Standing, turns: asyncio.Semaphore
) -> dict[str, Now]:
    """Counts the journeys that follow a version.

    Args:
        temporal: Whose search is asked.
        version: Name and version, ``post-purchase@3``.
        steps: The ids of its steps, in the plan's order.
        before: What was counted the last time: steps at which many stood then are asked for first.
        turns: Lets a few counts be made at a time.

    Raises:
        RPCError: Search does not answer.
    """
    followed = f"{UNDER_WAY} AND {SCENARIO_VERSION.name} = {quoted(version)}"

    async def count(query: str) -> int:
        async with turns:
            return (await temporal.count_workflows(query, rpc_timeout=_PATIENCE)).count

    async def by_step(state: str) -> dict[str, int]:
        those = f"{followed} AND {JOURNEY_STATE.name} = '{state}'"
        found = {"": await count(those)}
        left = found[""]
        likely = sorted(steps, key=lambda step: -getattr(before.get(step, _NOBODY), state))
        for start in range(0, len(likely), _AT_ONCE):
            if left <= 0:
                break
            some = likely[start : start + _AT_ONCE]
            counts = await asyncio.gather(*(count(f"{those} AND {STEP_ID.name} = {quoted(step)}") for step in some))
            found |= dict(zip(some, counts, strict=True))
            left -= sum(counts)
        return found

    counted = dict(zip(STATES, await asyncio.gather(*map(by_step, STATES)), strict=True))
    return {step: Now(**{state: counted[state].get(step, 0) for state in STATES}) for step in ("", *steps)}


def turns() -> asyncio.Semaphore:
    """Lets a few counts be made at a time."""
    return asyncio.Semaphore(_AT_ONCE)


_NOBODY: Final = Now()
