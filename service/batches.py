"""Use cases about what is sent for many contacts together: batch calls, and audiences at other systems."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from authoring.errors import BadInput
from runtime.store import Store
from runtime.store.batches import StoredBatch, StoredBatchItem
from runtime.store.memberships import AudienceCounts, UnsyncedChange
from scenario.words import ItemOutcome
from service.caller import Caller
from service.errors import NotFound
from service.operations.request import check_record
from service.view import PageRequest, PageView, View

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
        last = await page.item(self._store.stored_batch)
        found = await self._store.stored_batches(after=last, limit=page.limit + 1)
        items, following = page.split(found, lambda one: [one.id])
        shown = [one for one in items if caller.may_use(one.scenario)]
        counts = await self._store.batch_counts([one.id for one in shown])
        return PageView(items=[BatchView.of(one, counts[one.id]) for one in shown], next=following)

    async def show(self, caller: Caller, batch: str) -> BatchView:
        stored = await self._stored(caller, batch)
        counts = await self._store.batch_counts([batch])
        return BatchView.of(stored, counts[batch])

    async def items(
        self, caller: Caller, batch: str, page: PageRequest, outcome: ItemOutcome | None = None
    ) -> PageView[BatchItemView]:
        await self._stored(caller, batch)
        found = await self._store.batch_items(batch, outcome=outcome, after=page.number, limit=page.limit + 1)
        items, following = page.split(found, lambda item: [item.position])
        return PageView(items=[BatchItemView.of(item) for item in items], next=following)

    async def _stored(self, caller: Caller, batch: str) -> StoredBatch:
        stored = await self._store.stored_batch(batch)
        if stored is None:
            raise NotFound(f"there is no batch '{batch[:80]}'")
        caller.check(stored.scenario, "scenario")
        return stored


class SyncedAudienceView(View):
    """An audience at a destination."""

    audience: str
    """The audience's name."""
    destination: str
    """The destination that has it."""
    state: Literal["synced", "waiting", "held"]
    """`waiting`: changes are not sent yet; `held`: they are not sent until an operator retries the audience."""
    members: int
    """Number of members that the destination has, as far as it has accepted them."""
    waiting: int
    """Number of changes that are not sent yet."""
    refused: Mapping[str, int]
    """Number of changes that the destination refused, by its code."""
    unnamed: int
    """Number of members that the destination refused without naming them."""
    synced_at: datetime | None
    """Time of the last accepted request."""
    held_at: datetime | None
    """When it was held; null if it is not."""
    trouble: str | None
    """Why it makes no progress, as a sentence."""

    @classmethod
    def of(cls, counts: AudienceCounts, refused: Mapping[str, int]) -> SyncedAudienceView:
        state = "held" if counts.held_at else "waiting" if counts.waiting else "synced"
        return cls.from_record(counts, state=state, refused=refused)


class AudienceChangeView(View):
    """A change of an audience that is not carried out."""

    contact: str
    """The contact's id."""
    change: Literal["add", "remove"]
    """Change of the membership."""
    at: datetime
    """Time of the decision."""
    refused: str | None
    """The destination's code, if it refused the change."""

    @classmethod
    def of(cls, stored: UnsyncedChange) -> AudienceChangeView:
        change = "add" if stored.wanted else "remove"
        return cls.from_record(stored, contact=stored.contact_id, change=change, at=stored.wanted_at)


class MembershipService:
    """Use cases about audiences.

    All raise Forbidden if the caller is limited to some scenarios, and NotFound if there is none of a name.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def find(
        self, caller: Caller, audience: str | None = None, destination: str | None = None
    ) -> list[SyncedAudienceView]:
        """Return the audiences that were ever changed, by destination and name, or those of a name."""
        caller.check_all()
        found = [
            SyncedAudienceView.of(one, await self._store.audience_refusals(one.destination, one.audience))
            for one in await self._store.audience_counts()
            if audience in (None, one.audience) and destination in (None, one.destination)
        ]
        if audience is not None and not found:
            sentence = f"no contact was ever added to an audience '{audience}' here: see 'scenario audience list'"
            raise NotFound(sentence)
        return found

    async def changes(
        self, caller: Caller, audience: str, destination: str, page: PageRequest, *, refused: bool
    ) -> PageView[AudienceChangeView]:
        """List the changes that wait, or those that the destination refused, by contact."""
        caller.check_all()
        [after] = page.place(tuple[str]) or [""]
        found = await self._store.audience_changes(
            destination, audience, refused=refused, after=after, limit=page.limit + 1
        )
        items, following = page.split(found, lambda one: [one.contact_id])
        return PageView(items=[AudienceChangeView.of(one) for one in items], next=following)

    async def retry(
        self, caller: Caller, audience: str, destination: str | None, *, operator: str | None, reason: str
    ) -> SyncedAudienceView:
        """Send a held audience and refused changes again. Raise BadInput if several destinations have one."""
        who = caller.operator(operator)
        check_record(who, reason)
        found = await self.find(caller, audience, destination)
        if len(found) > 1:
            names = ", ".join(one.destination for one in found)
            raise BadInput(f"several destinations have an audience '{audience}': name one of {names}")
        [one] = found
        note = f"{who} has it sent again: {reason}"
        await self._store.release_audience(one.destination, one.audience, note)
        [changed] = await self.find(caller, audience, one.destination)
        return changed
