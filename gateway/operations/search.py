"""Which journeys are meant, where an operator names none: found by Temporal's search and the store.

Search is some moments behind, and an operator acts on what is found: therefore an operation names the step at which a
journey was found, and the journey itself refuses where it is not there any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, NamedTuple

from temporalio.client import Client, WorkflowExecution

from gateway.errors import NotAnswered
from gateway.journeys.listing import ListedJourney, listed, query_of, states, with_hold
from gateway.journeys.pending_activities import describe
from gateway.journeys.view import pause_in, progress_of
from runtime.search_attributes import (
    CONTACT_ID,
    DESTINATION,
    HELD_REASON,
    JOURNEY_STATE,
    SCENARIO_NAME,
    SCENARIO_VERSION,
    STEP_ID,
    noted_hold,
)
from runtime.store import Store, StoredEntry
from scenario.plan.plan import load_plan
from scenario.steps.delivery import Send

EVERY: Final = 1_000_000
"""No limit in practice: one store holds fewer journeys that are under way."""
_PAGE: Final = 1000  # held journeys that search gives at a time: as many as servers give
_CHUNK: Final = 50  # journeys looked at before it is known whether more are wanted
_ASKED: Final = 10  # journeys asked at the same time


@dataclass(frozen=True, kw_only=True)
class Which:
    """What journeys must have in common. What is None does not matter.

    Attributes:
        scenario: The scenario's name.
        version: Its version's number; goes with `scenario`.
        contact: The contact's id.
        destination: Held journeys: what could not be delivered to, a destination's name or a host. Others: what their
            version of the scenario has a step for.
        reason: Held journeys: why, in one word, as the search attribute `HeldReason` has it.
        step: Held journeys: the step's id.
        since: Held journeys: held then or later. Others: let in then or later.
        operation: Id of an earlier operation: the journeys that accepted it. Only with `scenario`.
    """

    scenario: str | None = None
    version: int | None = None
    contact: str | None = None
    destination: str | None = None
    reason: str | None = None
    step: str | None = None
    since: datetime | None = None
    operation: str | None = None


class _Told(NamedTuple):
    journey: ListedJourney
    answered: bool


async def held(
    temporal: Client, store: Store, which: Which, *, limit: int = EVERY, ask: bool = True, insist: bool = False
) -> list[ListedJourney]:
    """Journeys that wait for an operator: so many at most. See `held_by_page`."""
    found: list[ListedJourney] = []
    # What comes after search has picked may leave less of a page than is wanted.
    size = _PAGE if which.since is not None else min(limit, _PAGE)
    async for page in held_by_page(temporal, store, which, ask=ask, insist=insist, size=size):
        found += page
        if len(found) >= limit:
            break
    return found[:limit]


async def held_by_page(
    temporal: Client, store: Store, which: Which, *, ask: bool = True, insist: bool = False, size: int = _PAGE
) -> AsyncIterator[list[ListedJourney]]:
    """Journeys that wait for an operator, page by page.

    What is told of them is what search gives along, and what the store knows. Only those that were held by an earlier
    release, which noted less, are asked themselves.

    Args:
        temporal: Whose search is asked.
        store: Knows since when they are in.
        which: Only these.
        ask: Find out why each of them is held, since when, and when it came in. Otherwise only what search can look
            for is told; and since when, with `Which.since`.
        insist: Some journey must answer, where they have to be asked. Of one that does not, search alone tells.
        size: Of a page; a page may have fewer, and none.

    Raises:
        NotAnswered: With `insist`, none of the first journeys answered.
    """
    answered = not insist
    async for page in _pages(temporal, _query(which), size):
        if not ask and which.since is None:
            yield [_searched(item) for item in page]
            continue
        told = await _told_by(temporal, page)
        answered = answered or any(item.answered for item in told)
        if not answered:
            raise NotAnswered(page[0].id, "no worker answered: check that one is running, and try again")
        found = [item.journey for item in told if _fits(item.journey, which)]
        yield await _on_record(store, found) if ask else found


async def held_page(
    temporal: Client, store: Store, which: Which, *, size: int, after: bytes | None = None
) -> tuple[list[ListedJourney], bytes | None]:
    """One page of the journeys that wait for an operator, each with why.

    Args:
        temporal: Whose search is asked.
        store: Knows since when they are in.
        which: Only these.
        size: Of the page; it may have fewer, and none, although others follow.
        after: Where the server said that the next page begins.

    Returns:
        The page, and where the next one begins; None where there is none.
    """
    searched = temporal.list_workflows(_query(which), page_size=size, next_page_token=after)
    await searched.fetch_next_page()
    told = await _told_by(temporal, searched.current_page or ())
    found = [item.journey for item in told if _fits(item.journey, which)]
    return await _on_record(store, found), searched.next_page_token or None


async def _told_by(temporal: Client, page: Sequence[WorkflowExecution]) -> list[_Told]:
    turns = asyncio.Semaphore(_ASKED)
    return await asyncio.gather(*(_told(temporal, item, turns) for item in page))


async def _pages(temporal: Client, query: str, size: int) -> AsyncIterator[list[WorkflowExecution]]:
    page: list[WorkflowExecution] = []
    async for execution in temporal.list_workflows(query, page_size=size):
        page.append(execution)
        if len(page) == size:
            yield page
            page = []
    if page:
        yield page


def _query(which: Which) -> str:
    return query_of(
        {
            JOURNEY_STATE: "held",
            SCENARIO_NAME: which.scenario,
            SCENARIO_VERSION: None if which.version is None else f"{which.scenario}@{which.version}",
            CONTACT_ID: which.contact,
            DESTINATION: which.destination,
            HELD_REASON: which.reason,
            STEP_ID: which.step,
        }
    )


def _searched(execution: WorkflowExecution) -> ListedJourney:
    """A held journey, as search knows it."""
    known = execution.typed_search_attributes
    return ListedJourney(
        id=execution.id,
        run_id=execution.run_id,
        scenario=known.get(SCENARIO_VERSION) or known.get(SCENARIO_NAME) or "",
        contact=known.get(CONTACT_ID) or "",
        key=None,
        state=known.get(JOURNEY_STATE) or "held",
        step=known.get(STEP_ID),
        reason=None,
        entered_at=execution.start_time,
        ended_at=None,
        destination=known.get(DESTINATION),
        held_reason=known.get(HELD_REASON),
    )


async def _told(temporal: Client, execution: WorkflowExecution, turns: asyncio.Semaphore) -> _Told:
    """A held journey as it noted itself; else as it answers, or as search knows it."""
    searched = _searched(execution)
    noted = await noted_hold(execution)
    if noted is not None:
        return _Told(with_hold(searched, noted), answered=True)
    async with turns:
        progress = await progress_of(temporal.get_workflow_handle(execution.id, run_id=execution.run_id))
    if progress is None:
        return _Told(searched, answered=False)
    now = replace(searched, state=progress.get("state") or "held", step=progress.get("at") or searched.step)
    return _Told(with_hold(now, progress.get("waiting") or {}), answered=True)


async def _on_record(store: Store, found: list[ListedJourney]) -> list[ListedJourney]:
    """Journeys with what the store knows of their admission."""
    entries = await store.under_way([item.id for item in found])
    return [
        replace(item, run_id=entry.run_id, key=entry.key, entered_at=entry.admitted_at)
        if (entry := entries.get(item.id)) is not None
        else item
        for item in found
    ]


def _fits(now: ListedJourney, which: Which) -> bool:
    """Whether a journey is one of those wanted: what search had not heard of yet may make it another."""
    return (
        now.state == "held"
        and which.step in (None, now.step)
        and which.destination in (None, now.destination)
        and which.reason in (None, now.held_reason)
        and (which.since is None or (now.since is not None and now.since >= which.since))
    )


async def running(
    temporal: Client, store: Store, which: Which, *, paused: bool | None, limit: int = EVERY
) -> list[ListedJourney]:
    """Journeys under way that are paused, or that are not: so many at most. See `running_by_page`."""
    found: list[ListedJourney] = []
    async for page in running_by_page(temporal, store, which, paused=paused):
        found += page
        if len(found) >= limit:
            break
    return found[:limit]


async def running_by_page(
    temporal: Client, store: Store, which: Which, *, paused: bool | None
) -> AsyncIterator[list[ListedJourney]]:
    """Journeys under way that are paused, or that are not. The store knows them at once, search their state.

    A contact's entries that no worker has admitted yet come first: an operation waits for their admission.

    Args:
        temporal: Whose search is asked.
        store: Knows who is in.
        which: Only these; `Which.reason` and `Which.step` do not count.
        paused: Which of the two; None: all. A journey that is held as well is asked whether it is paused. Of an earlier
            operation's journeys all are yielded: its record is exact, and search lags.
    """
    turns = asyncio.Semaphore(_ASKED)

    async def fits(item: ListedJourney) -> bool:
        if paused is None or which.operation is not None:
            return True
        if item.state != "held":
            return (item.state == "paused") is paused
        async with turns:
            return await _is_paused(temporal, item.id) is paused

    pending = list[ListedJourney]()
    if which.contact is not None and not paused and which == Which(scenario=which.scenario, contact=which.contact):
        pending = await _pending(temporal, store, which.contact, which.scenario)
        yield pending
    # An entry that is admitted in between is among both.
    yielded = {item.id for item in pending}
    entered = under_way(store, which) if which.operation is None else _accepted(store, which.operation, which.scenario)
    async for entries in entered:
        seen = await states(temporal, [entry.workflow_id for entry in entries])
        # One that search does not know was terminated, and could not tell the store.
        known = [entry for entry in entries if which.operation is not None or entry.workflow_id in seen]
        items = [listed(entry, seen) for entry in known if entry.workflow_id not in yielded]
        fitting = await asyncio.gather(*(fits(item) for item in items))
        yield [item for item, wanted in zip(items, fitting, strict=True) if wanted]


async def _pending(temporal: Client, store: Store, contact: str, scenario: str | None) -> list[ListedJourney]:
    """Return a contact's entries that were accepted and are yet to be admitted or refused."""
    entries = [one for one in await store.pending_entries(contact) if scenario in (None, one.scenario)]
    found = await asyncio.gather(*(describe(temporal, one.workflow_id, one.run_id) for one in entries))
    return [
        ListedJourney(
            id=one.workflow_id,
            run_id=one.run_id,
            scenario=one.scenario,
            contact=contact,
            key=None,
            state="entering",
            step=None,
            reason=None,
            entered_at=None,
            ended_at=None,
        )
        for one, described in zip(entries, found, strict=True)
        if described is not None and not described.workflow_execution_info.HasField("close_time")
    ]


async def _accepted(store: Store, operation: str, scenario: str | None) -> AsyncIterator[list[StoredEntry]]:
    """Yield the running journeys that accepted an operation, page by page."""
    after: tuple[int, str] | None = None
    while items := await store.items(operation, outcome="accepted", after=after, limit=_CHUNK):
        running = await store.under_way([item.workflow_id for item in items])
        yield [entry for entry in running.values() if scenario in (None, entry.scenario)]
        after = items[-1].place


async def under_way(store: Store, which: Which, *, size: int = _CHUNK) -> AsyncIterator[list[StoredEntry]]:
    """Journeys that are in and not over, page by page, the newest first.

    Args:
        store: Knows them, and their versions.
        which: Only these; `Which.reason` and `Which.step` do not count. Of a destination, those whose version of the
            scenario has a step for it: a destination's name, a host, or ``email`` or ``sms``.
        size: Of a page; a page may have fewer, and none.
    """
    sends: dict[tuple[str, int], bool] = {}
    last: StoredEntry | None = None
    while True:
        entries = await store.entries(
            scenario=which.scenario,
            version=which.version,
            contact_id=which.contact,
            running=True,
            since=which.since,
            after=last,
            limit=size,
        )
        if which.destination is None:
            yield entries
        else:
            for name, version in {(entry.scenario, entry.version) for entry in entries} - sends.keys():
                sends[name, version] = await _sends(store, name, version, which.destination)
            yield [entry for entry in entries if sends[entry.scenario, entry.version]]
        if len(entries) < size:
            return
        last = entries[-1]


async def _sends(store: Store, scenario: str, version: int, destination: str) -> bool:
    published = await store.version(scenario, version)
    steps = load_plan(published.plan).steps.values() if published else ()
    return any(isinstance(step, Send) and destination == (step.to or step.channel) for step in steps)


async def _is_paused(temporal: Client, journey: str) -> bool:
    """Whether the latest of an operator's pauses still counts."""
    return pause_in(await progress_of(temporal.get_workflow_handle(journey)) or {}) is not None
