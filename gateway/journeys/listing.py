"""Lists journeys: the store knows who was admitted, Temporal what those under way are doing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from temporalio.client import Client, WorkflowExecution
from temporalio.common import SearchAttributeKey
from temporalio.service import RPCError, RPCStatusCode

from gateway.errors import BadInput
from gateway.journeys.pending_activities import describe, pending
from runtime import search_attributes
from runtime.search_attributes import (
    CONTACT_ID,
    JOURNEY_STATE,
    SCENARIO_NAME,
    SCENARIO_VERSION,
    STEP_ID,
    noted_hold,
)
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
_PATIENCE: Final = timedelta(seconds=5)
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
    """What search knows of a journey under way: what it is doing, at which step; and of a held one, what it noted."""

    state: str
    step: str | None
    held: Mapping[str, Any] | None = None


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
    running: bool | None = None,
    after: StoredEntry | None = None,
    limit: int,
) -> list[ListedJourney]:
    """Journeys that were admitted, the newest first. See `gateway.client.ScenarioClient.journeys`.

    Of a state that search knows, or a step, all journeys under way may be gone through: see `searched`.
    """
    over = state in OVER
    known: dict[str, Any] = {"scenario": scenario, "version": version, "contact_id": contact, "since": since}
    known |= {"running": False if over else True if state or step else running, "outcome": state if over else None}
    found: list[ListedJourney] = []
    last = after
    while True:
        entries = await store.entries(**known, after=last, limit=limit)
        seen = await states(temporal, [entry.workflow_id for entry in entries if entry.ended_at is None])
        items = await sending(temporal, [listed(entry, seen) for entry in entries], limit=_LOOKED_AT - len(found))
        found += [item for item in items if state in (None, item.state) and step in (None, item.step)]
        if len(entries) < limit or len(found) >= limit:
            return found[:limit]
        last = entries[-1]


async def searched(
    temporal: Client,
    store: Store,
    *,
    scenario: str | None = None,
    version: int | None = None,
    contact: str | None = None,
    state: str | None = None,
    step: str | None = None,
    size: int,
    after: bytes | None = None,
) -> tuple[list[ListedJourney], bytes | None]:
    """One page of the journeys under way that are in a state, or at a step, as far as Temporal's search knows.

    Args:
        temporal: Whose search is asked.
        store: Knows since when they are in.
        scenario: Only those of this scenario.
        version: Only those that follow its version of this number.
        contact: Only this contact's.
        state: Only those that are doing this, of `STATES` before they are over. What is found may be sending by now,
            and so be ``running``; where that is asked for, what is found may be ``waiting``.
        step: Only those that stand here.
        size: Of the page; it may have fewer, and none, although others follow.
        after: Where the server said that the next page begins.

    Returns:
        The page, and where the next one begins; None where there is none.
    """
    running = state == "running"
    query = query_of(
        {
            SCENARIO_NAME: scenario,
            # Search learns of it with the state.
            SCENARIO_VERSION: f"{scenario}@{version}" if scenario and version and not running else None,
            CONTACT_ID: contact,
            STEP_ID: step,
            JOURNEY_STATE: None if running else state,
        }
    )
    if running:
        name = JOURNEY_STATE.name
        query += f" AND ({name} IS NULL OR {name} IN ('running', 'waiting'))"
    # A place that somebody made up is tried over and over by a server that takes it for trouble of its own.
    found = temporal.list_workflows(query, page_size=size, next_page_token=after, rpc_timeout=_PATIENCE)
    try:
        await found.fetch_next_page()
    except RPCError as error:
        if error.status is not RPCStatusCode.UNIMPLEMENTED:
            raise
        return [], None  # a server without search
    seen = {one.id: await _state_of(one) for one in found.current_page or ()}
    entries = await store.under_way(list(seen))
    known = [entries[name] for name in seen if name in entries]
    items = [listed(entry, seen) for entry in known if version in (None, entry.version)]
    return await sending(temporal, items, limit=size), found.next_page_token or None


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
                seen[execution.id] = await _state_of(execution)
        except RPCError as error:
            if error.status is not RPCStatusCode.UNIMPLEMENTED:  # a server without search still can be looked at
                raise
            break
    return seen


async def _state_of(execution: WorkflowExecution) -> SearchedState:
    known = execution.typed_search_attributes
    state = known.get(JOURNEY_STATE) or "running"
    held = await noted_hold(execution) if state == "held" else None
    return SearchedState(state, known.get(STEP_ID) or None, held)


def listed(entry: StoredEntry, seen: Mapping[str, SearchedState]) -> ListedJourney:
    """A journey of the store, with what search knows of it."""
    over = entry.ended_at is not None
    now = seen.get(entry.workflow_id, SearchedState("running", None))
    journey = ListedJourney(
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
    return journey if over or now.held is None else with_hold(journey, now.held)


def with_hold(journey: ListedJourney, waiting: Mapping[str, Any]) -> ListedJourney:
    """A held journey with what it waits for, in the words of its progress, as which it is noted in its memo."""
    at = waiting.get("at")
    return replace(
        journey,
        reason=waiting.get("reason"),
        destination=waiting.get("destination") or journey.destination,
        held_reason=waiting.get("cause") or journey.held_reason,
        since=datetime.fromisoformat(at) if at else None,
        status=waiting.get("status"),
    )


def query_of(wanted: Mapping[SearchAttributeKey[str], str | None]) -> str:
    """A query of Temporal's search for journeys under way that have these values; None does not matter."""
    clauses = (f"{key.name} = {quoted(value)}" for key, value in wanted.items() if value is not None)
    return " AND ".join((UNDER_WAY, *clauses))


def quoted(text: str) -> str:
    """A text as Temporal's search takes it, whatever is in it.

    Raises:
        BadInput: It holds the character U+0000, which no id does: search would end there, and be asked again and again.
    """
    if "\0" in text:
        raise BadInput("what is looked for holds the character U+0000, which no id does")
    return search_attributes.quoted(text)
