"""Use cases that read batch calls: their state, and the outcome of each contact."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from gateway.errors import NotFound
from gateway.service.caller import Caller
from gateway.service.paging import PageRequest
from gateway.service.view import PageView, View
from runtime.store import Store
from runtime.store.batches import StoredBatch, StoredBatchItem
from scenario.words import ItemOutcome

BatchState = Literal["filling", "sending", "ended"]


class BatchView(View):
    """A batch call: one request for many contacts."""

    id: str
    """The batch's id, which operations on held journeys take."""
    scenario: str
    """The scenario and its version."""
    step: str
    """The step that sends it."""
    delivery: str
    """The id of its delivery, under which its attempts are recorded."""
    state: BatchState
    """`filling`: contacts can join it. `sending`: its contacts are fixed, and it is sent, retried or held."""
    outcomes: Mapping[ItemOutcome | Literal["pending"], int]
    """Number of contacts by outcome. `pending`: those that have none yet."""
    since: datetime
    """When its first contact came."""
    due_at: datetime
    """When it is sent, unless it is full before."""
    ended_at: datetime | None
    """Time of its end; null before."""

    @classmethod
    def of(cls, stored: StoredBatch, counts: Mapping[str, int]) -> BatchView:
        return cls.from_record(
            stored,
            scenario=f"{stored.scenario}@{stored.version}",
            delivery=stored.delivery_id,
            state="ended" if stored.ended_at else "sending" if stored.frozen_at else "filling",
            outcomes=dict(counts),
            since=stored.created_at,
        )


class BatchItemView(View):
    """A contact of a batch call."""

    position: int
    """Its place, from 1. Contacts that left before the request was sent leave a gap."""
    contact: str
    """The contact's id."""
    journey: str
    """The id of its journey."""
    outcome: ItemOutcome | Literal["pending"]
    """What became of it. `pending`: it has no outcome yet."""
    status: int | None
    """The status of the response."""
    reason: str | None
    """Why it was not delivered."""
    at: datetime | None
    """Time of the outcome."""

    @classmethod
    def of(cls, item: StoredBatchItem) -> BatchItemView:
        outcome, at = item.outcome or "pending", item.answered_at
        return cls.from_record(item, contact=item.contact_id, journey=item.workflow_id, outcome=outcome, at=at)


class BatchService:
    """Use cases that read batch calls.

    They raise Forbidden if the caller may not use the scenario, and NotFound if there is no batch of an id.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def list(self, caller: Caller, page: PageRequest) -> PageView[BatchView]:
        """List batches of scenarios that the caller may use, the newest first."""
        last = await page.item(self._store.stored_batch)
        found = await self._store.stored_batches(after=last, limit=page.limit + 1)
        items, following = page.split(found, lambda one: {"id": one.id})
        shown = [one for one in items if caller.may_use(one.scenario)]
        counts = await self._store.batch_counts([one.id for one in shown])
        return PageView(items=[BatchView.of(one, counts[one.id]) for one in shown], next=following)

    async def show(self, caller: Caller, batch: str) -> BatchView:
        stored = await self._stored(caller, batch)
        return BatchView.of(stored, (await self._store.batch_counts([batch]))[batch])

    async def items(
        self, caller: Caller, batch: str, page: PageRequest, outcome: ItemOutcome | None = None
    ) -> PageView[BatchItemView]:
        await self._stored(caller, batch)
        found = await self._store.batch_items(batch, outcome=outcome, after=page.number, limit=page.limit + 1)
        items, following = page.split(found, lambda item: {"number": item.position})
        return PageView(items=[BatchItemView.of(item) for item in items], next=following)

    async def _stored(self, caller: Caller, batch: str) -> StoredBatch:
        stored = await self._store.stored_batch(batch)
        if stored is None:
            raise NotFound(f"there is no batch '{batch[:80]}'")
        caller.check(stored.scenario, "scenario")
        return stored
