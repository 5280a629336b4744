"""The store's records of journeys, compared with their histories and with what receivers got."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from runtime.store import Store
from scenario.steps.delivery import delivery_id

BEGINNING: Final = datetime(2000, 1, 1, tzinfo=UTC)
SLACK: Final = timedelta(seconds=1)  # times of steps are whole seconds


@dataclass(frozen=True)
class Ended:
    """A journey that is over, as its history has it.

    Attributes:
        contact: Its contact.
        workflow_id: Its workflow.
        run_id: The first run.
        result: As the workflow returned it.
        closed_at: When Temporal closed it.
    """

    contact: str
    workflow_id: str
    run_id: str
    result: Mapping[str, Any]
    closed_at: datetime

    def arrived(self) -> set[str]:
        """The ids of the deliveries that the journey takes for delivered."""
        return {
            delivery_id(self.workflow_id, self.run_id, step["id"], 0)
            for step in self.result["steps"]
            if step["outcome"] == "delivered"
        }


async def differences(
    store: Store, scenario: str, journeys: Collection[Ended], taken: Collection[str], *, others: int = 0, capped: bool
) -> list[str]:
    """Compare the store with histories and receivers.

    Args:
        store: The store.
        scenario: The only scenario of the journeys; each of its steps is performed once and, if it sends, to a webhook.
        journeys: All of its journeys, but `others`.
        taken: The ids of deliveries that a receiver took.
        others: Number of its journeys of which nothing is known: they may have passed each step once.
        capped: Whether a cap counts every delivery.

    Returns:
        A sentence for each difference.
    """
    found: list[str] = []
    passed = Counter[tuple[str, str]]()
    for one in journeys:
        passed.update((step["id"], step["outcome"]) for step in one.result["steps"])
        found += [f"{one.workflow_id}: {what}" async for what in _of(store, one, set(taken), capped=capped)]
    counted = Counter({(one.step, one.outcome): one.total for one in await store.passage_counts(scenario, BEGINNING)})
    found += [f"{missing} passages {step} {outcome} missing" for (step, outcome), missing in (passed - counted).items()]
    surplus = Counter[str]()
    for (step, outcome), more in (counted - passed).items():
        surplus[step] += more
        if surplus[step] > others:
            found.append(f"{more} passages {step} {outcome} too many")
    known = {row.delivery_id for row in await store.deliveries(scenario=scenario, outcome="delivered", limit=1_000_000)}
    found += [f"{identifier} is on record as delivered, and no receiver took it" for identifier in known - set(taken)]
    return found


async def _of(store: Store, one: Ended, taken: set[str], *, capped: bool) -> AsyncGenerator[str]:
    entry, steps = await store.entry(one.workflow_id, one.run_id), one.result["steps"]
    if entry is None:
        yield "no entry"
        return
    if entry.outcome != one.result["outcome"]:
        yield f"its entry ended as {entry.outcome}, its history as {one.result['outcome']}"
    last = max((datetime.fromisoformat(step["at"]) for step in steps), default=BEGINNING)
    if entry.ended_at is None or not last <= entry.ended_at + SLACK <= one.closed_at + 2 * SLACK:
        yield f"its entry ended at {entry.ended_at}, its last step at {last}, its workflow at {one.closed_at}"
    if entry.counted_passages != len(steps):
        yield f"{entry.counted_passages} passages counted of {len(steps)}"
    arrived = one.arrived()
    for identifier in arrived - taken:
        yield f"{identifier} is delivered for its history, and no receiver took it"
    if capped:
        places = {claim.delivery_id for claim in await store.claims_of(one.contact, BEGINNING)}
        for identifier in arrived - places:
            yield f"{identifier} arrived, and has no place under caps"
        for identifier in places - arrived - taken:
            yield f"{identifier} has a place under caps, and did not arrive"
