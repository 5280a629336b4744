"""Lists journeys: the store knows who was admitted, Temporal what those under way are doing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, NamedTuple

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from gateway.errors import BadInput
from gateway.journeys.pending_activities import describe, pending
from runtime.search_attributes import JOURNEY_STATE, STEP_ID
from runtime.store import Store, StoredEntry
from scenario.policies.draw import WITHHELD

UNDER_WAY: Final = "WorkflowType = 'Journey' AND ExecutionStatus = 'Running'"
"""Also leaves out what is paused on the server, which the SDK's client cannot read."""
OVER: Final = ("finished", "exited", *WITHHELD, "lost")
"""How a journey that was admitted can have ended."""
STATES: Final = ("running", "waiting", "held", "paused", *OVER)
"""What a journey that was admitted can be doing, or have done."""
_CHUNK: Final = 50  # ids in one query
_LOOKED_AT: Final = 200  # journeys that are looked at one by one
_SIFTED: Final = 1_000  # journeys among which those in a state, or at a step, are looked for at a time
_ASKED: Final = 20  # at the same time


@dataclass(frozen=True)
class ListedJourney:
    """A journey in a list.

    Attributes:
        id: The workflow id.
        run_id: Its first execution's.
        scenario: Name and version.
        contact: The contact's id.
        key: What tells it from others of the same contact, if anything.
        state: ``running``, ``waiting``, ``held``, ``paused``; once it is over ``finished``, ``exited``,
            ``control``, ``holdout``, ``lost``.
        step: Where it stands, as far as Temporal's search has learnt: some moments behind.
        reason: Why it is held, why its delivery is tried again, or why it ended: a sentence.
        entered_at: When it was admitted.
        ended_at: When it was over.
        destination: Held: what could not be delivered to, if it was that.
        held_reason: Held: why, in one word.
        since: Held: since when.
        status: Held: the receiver's reply code.
    """

    id: str
    run_id: str
    scenario: str
    contact: str
    key: str | None
    state: str
    step: str | None
    reason: str | None
    entered_at: datetime | None
    ended_at: datetime | None
    destination: str | None = None
    held_reason: str | None = None
    since: datetime | None = None
    status: int | None = None


class SearchedState(NamedTuple):
    """What search knows of a journey under way: what it is doing, and at which step."""

    state: str
    step: str | None


class ListedPage(NamedTuple):
    """Some journeys, and the one behind which the list goes on; None where there are no more."""

    items: list[ListedJourney]
    last: StoredEntry | None


async def newest(
    temporal: Client,
    store: Store,
    *,
    scenario: str | None = None,
    version: int | None = None,
    contact: str | None = None,
    state: str | None = None,
    step: str | None = None,
    since: datetime | None = None,
    limit: int,
) -> list[ListedJourney]:
    """Journeys that were admitted, the newest first. See `gateway.client.ScenarioClient.journeys`."""
    wanted: dict[str, Any] = {"scenario": scenario, "version": version, "contact": contact, "since": since}
    found, last = await newest_page(temporal, store, **wanted, state=state, step=step, limit=limit)
    while last is not None and len(found) < limit:
        left = limit - len(found)
        more, last = await newest_page(temporal, store, **wanted, state=state, step=step, after=last, limit=left)
        found += more
    return found


async def newest_page(
    temporal: Client,
    store: Store,
    *,
    scenario: str | None = None,
    version: int | None = None,
    contact: str | None = None,
    state: str | None = None,
    step: str | None = None,
    since: datetime | None = None,
    after: StoredEntry | None = None,
    limit: int,
) -> ListedPage:
    """A page of them. Where few of many are in a state, or at a step, it may have fewer than `limit`, and none."""
    over = state in OVER
    known: dict[str, Any] = {"scenario": scenario, "version": version, "contact_id": contact, "since": since}
    known |= {"running": False if over else True if state or step else None, "outcome": state if over else None}
    is_sifted = bool(step or (state and not over))
    size = max(limit + 1, _CHUNK) if is_sifted else limit + 1
    found: list[tuple[ListedJourney, StoredEntry]] = []
    last, passed, looks = after, 0, _LOOKED_AT
    while True:
        entries = await store.entries(**known, after=last, limit=size)
        seen = await states(temporal, [entry.workflow_id for entry in entries if entry.ended_at is None])
        items = [listed(entry, seen) for entry in entries]
        if not is_sifted:  # one more than is shown was fetched, to know whether there is one
            shown = await sending(temporal, items[:limit], limit=looks)
            return ListedPage(shown, entries[limit - 1] if len(entries) > limit else None)
        # One that search has as waiting may be sending by now: it is looked at where that would make a difference.
        able = [(item, entry) for item, entry in zip(items, entries, strict=True) if _may_be(item, state)]
        looked = await sending(temporal, [item for item, _ in able], limit=looks)
        looks -= len(able)
        fitting = zip(looked, (entry for _, entry in able), strict=True)
        found += [(item, at) for item, at in fitting if state in (None, item.state) and step in (None, item.step)]
        passed += len(entries)
        if len(found) > limit:
            return ListedPage([item for item, _ in found[:limit]], found[limit - 1][1])
        if len(entries) < size or passed >= _SIFTED:
            return ListedPage([item for item, _ in found], entries[-1] if len(entries) == size else None)
        last = entries[-1]


def _may_be(item: ListedJourney, state: str | None) -> bool:
    return state in (None, item.state) or (state == "running" and item.state == "waiting")


async def sending(temporal: Client, items: list[ListedJourney], *, limit: int) -> list[ListedJourney]:
    """Journeys with the deliveries that they have under way, which search knows nothing of.

    Args:
        temporal: Knows them.
        items: The journeys.
        limit: So many at most are looked at.
    """
    turns = asyncio.Semaphore(_ASKED)

    async def look(item: ListedJourney) -> ListedJourney:
        async with turns:
            described = await describe(temporal, item.id)
        going = await pending(temporal, described) if described else []
        return replace(item, state="running", step=going[0].step, reason=going[0].why) if going else item

    busy = [item for item in items if item.ended_at is None and item.state in ("running", "waiting")]
    looked = dict(zip(busy[: max(limit, 0)], await asyncio.gather(*map(look, busy[: max(limit, 0)])), strict=True))
    return [looked.get(item, item) for item in items]


async def states(temporal: Client, ids: Sequence[str]) -> dict[str, SearchedState]:
    """What Temporal's search knows of journeys, by their ids; of those that are not there it knows nothing."""
    seen: dict[str, SearchedState] = {}
    for start in range(0, len(ids), _CHUNK):
        listed = ", ".join(quoted(name) for name in ids[start : start + _CHUNK])
        try:
            async for execution in temporal.list_workflows(f"{UNDER_WAY} AND WorkflowId IN ({listed})"):
                known = execution.typed_search_attributes
                seen[execution.id] = SearchedState(known.get(JOURNEY_STATE) or "running", known.get(STEP_ID) or None)
        except RPCError as error:
            if error.status is not RPCStatusCode.UNIMPLEMENTED:  # a server without search still can be looked at
                raise
            break
    return seen


def listed(entry: StoredEntry, seen: Mapping[str, SearchedState]) -> ListedJourney:
    """A journey of the store, with what search knows of it."""
    over = entry.ended_at is not None
    now = seen.get(entry.workflow_id, SearchedState("running", None))
    return ListedJourney(
        id=entry.workflow_id,
        run_id=entry.run_id,
        scenario=f"{entry.scenario}@{entry.version}",
        contact=entry.contact_id,
        key=entry.key,
        state=(entry.outcome or "over") if over else now.state,
        step=None if over else now.step,
        reason=entry.reason,
        entered_at=entry.admitted_at,
        ended_at=entry.ended_at,
    )


def quoted(text: str) -> str:
    """A text as Temporal's search takes it, whatever is in it.

    Raises:
        BadInput: It holds the character U+0000, which no id does: search would end there, and be asked again and again.
    """
    if "\0" in text:
        raise BadInput("what is looked for holds the character U+0000, which no id does")
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
