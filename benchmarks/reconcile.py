"""A comparison of the store's records of journeys with their histories and with the receivers' requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from runtime.store import Store
from scenario.steps.delivery import delivery_id

BEGINNING: Final = datetime(2000, 1, 1, tzinfo=UTC)
SLACK: Final = timedelta(seconds=1)  # steps record whole seconds


@dataclass(frozen=True)
class EndedJourney:
    """A journey that has ended, according to its history.

    Attributes:
        contact: Id of the contact.
        run_id: Id of the workflow's first run.
        result: The workflow's result.
        closed_at: Time at which Temporal closed the workflow.
    """

    contact: str
    workflow_id: str
    run_id: str
    result: Mapping[str, Any]
    closed_at: datetime

    def delivered_ids(self) -> set[str]:
        """Return the ids of the deliveries that the history records as delivered."""
        return {
            delivery_id(self.workflow_id, self.run_id, step["id"], 0)
            for step in self.result["steps"]
            if step["outcome"] == "delivered"
        }


async def find_differences(
    store: Store,
    scenario: str,
    journeys: Collection[EndedJourney],
    taken: Collection[str],
    *,
    others: int = 0,
    capped: bool,
) -> list[str]:
    """Compare the store with histories and receivers.

    Args:
        store: The store.
        scenario: The scenario of all journeys. A journey runs each step at most once.
        journeys: All of its journeys, except `others`.
        taken: Ids of the deliveries that a receiver accepted.
        others: Number of further journeys, without a known history. They may have passed each step once.
        capped: True if a cap counts every delivery.

    Returns:
        A sentence for each difference.
    """
    found: list[str] = []
    passed = Counter[tuple[str, str]]()
    for journey in journeys:
        passed.update((step["id"], step["outcome"]) for step in journey.result["steps"])
        found += [
            f"{journey.workflow_id}: {difference}"
            async for difference in _compare_journey(store, journey, set(taken), capped=capped)
        ]
    counted = Counter[tuple[str, str]]()
    for row in await store.passage_counts(scenario, BEGINNING):  # a row for each version
        counted[row.step, row.outcome] += row.total
    found += [f"{missing} passages {step} {outcome} missing" for (step, outcome), missing in (passed - counted).items()]
    surplus = Counter[str]()
    for (step, outcome), more in (counted - passed).items():
        surplus[step] += more
        if surplus[step] > others:
            found.append(f"{more} passages {step} {outcome} too many")
    logged = {
        row.delivery_id for row in await store.deliveries(scenario=scenario, outcome="delivered", limit=1_000_000)
    }
    found += [
        f"{identifier} is delivered in the log, but no receiver accepted it" for identifier in logged - set(taken)
    ]
    return found


async def _compare_journey(
    store: Store, journey: EndedJourney, taken: set[str], *, capped: bool
) -> AsyncGenerator[str]:
    entry, steps = await store.entry(journey.workflow_id, journey.run_id), journey.result["steps"]
    if entry is None:
        yield "no entry"
        return
    if entry.outcome != journey.result["outcome"]:
        yield f"its entry ended as {entry.outcome}, its history as {journey.result['outcome']}"
    last = max((datetime.fromisoformat(step["at"]) for step in steps), default=BEGINNING)
    if entry.ended_at is None or not last <= entry.ended_at + SLACK <= journey.closed_at + 2 * SLACK:
        yield f"its entry ended at {entry.ended_at}, its last step at {last}, its workflow at {journey.closed_at}"
    if entry.counted_passages != len(steps):
        yield f"{entry.counted_passages} passages counted of {len(steps)}"
    delivered = journey.delivered_ids()
    for identifier in delivered - taken:
        yield f"{identifier} is delivered in the history, but no receiver accepted it"
    if capped:
        claimed = {claim.delivery_id for claim in await store.claims_of(journey.contact, BEGINNING)}
        for identifier in delivered - claimed:
            yield f"{identifier} arrived, but claims no place under a cap"
        for identifier in claimed - delivered - taken:
            yield f"{identifier} claims a place under a cap, but did not arrive"
