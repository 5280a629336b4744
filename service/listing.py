"""Lists of journeys. The store knows the admitted journeys, and Temporal's search the states of those that run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from temporalio.client import Client

from runtime.search_attributes import JOURNEY_STATE
from runtime.store import Store, StoredEntry
from scenario.plan.plan import load_plan
from scenario.steps.delivery import Send
from scenario.words import ENDED, HeldCause
from service.concurrency import gather_some
from service.index import (
    EVERY,
    HoldMemo,
    IndexedJourney,
    JourneyFilter,
    JourneyIndex,
    literal,
    query_of,
    tolerating_no_search,
)
from service.journeys.snapshot import describe, pause_in, pending_of, progress_of
from service.view import View

_CHUNK: Final = 50  # journeys of the store at a time
_ADMITTED_WITHIN: Final = timedelta(days=1)
"""The time in which nearly every journey is admitted, after its workflow has started."""
_DESCRIBED: Final = 200  # journeys of a list that are described
_AT_ONCE: Final = 20


class JourneySummary(View):
    """A journey in a list."""

    id: str
    """Journey id."""
    run_id: str
    """First run of the journey."""
    scenario: str
    """Name and version of the scenario."""
    contact: str
    """Contact id."""
    key: str | None = None
    """Key that distinguishes several journeys of a contact."""
    state: str
    """`running`, `waiting`, `retrying`, `held` or `paused`; ended: `finished`, `exited`, `control`, `holdout` or
    `lost`."""
    step: str | None = None
    """Current step, as search has it: some moments late."""
    reason: str | None = None
    """Reason why the journey is held, its delivery is retried, or it ended, as a sentence."""
    entered_at: datetime | None = None
    """Time of the admission."""
    ended_at: datetime | None = None
    """Time of the end."""
    destination: str | None = None
    """Held and retrying journeys: the destination that a delivery failed to reach."""
    held_reason: str | None = None
    """Held journeys: the cause, in one word."""
    since: datetime | None = None
    """Held journeys: the time of the hold."""
    status: int | None = None
    """Held journeys: the reply code of the receiver."""


JourneySort = Literal["-started", "started", "-ended", "ended"]
"""The order of a list: by the admission or the end, with `-` the newest first."""


class JourneyLists:
    """Lists of journeys.

    Held journeys are found by search. An operation on what is found names the step, so that a journey that has left
    the step in the meantime refuses it.
    """

    def __init__(self, temporal: Client, store: Store) -> None:
        self._temporal, self._store, self.index = temporal, store, JourneyIndex(temporal)

    async def newest(
        self,
        wanted: JourneyFilter,
        *,
        state: str | None = None,
        running: bool | None = None,
        until: datetime | None = None,
        sort: JourneySort = "-started",
        after: StoredEntry | None = None,
        limit: int,
    ) -> list[JourneySummary]:
        """Return admitted journeys. The range in time is about the moment that they are sorted by.

        With a step, or the state of a running journey, this may go through all running journeys: see `running_page`.
        """
        is_over = state in ENDED
        known: dict[str, Any] = {"scenario": wanted.scenario, "version": wanted.version, "contact_id": wanted.contact}
        known |= {"since": wanted.since, "until": until, "outcome": state if is_over else None}
        known |= {"by_end": sort.endswith("ended"), "oldest_first": not sort.startswith("-")}
        known["running"] = False if is_over else True if state or wanted.step else running
        found: list[JourneySummary] = []
        last = after
        while True:
            entries = await self._store.entries(**known, after=last, limit=limit)
            indexed = await self.index.states([entry.workflow_id for entry in entries if entry.ended_at is None])
            items = await self.with_deliveries(
                [listed(entry, indexed) for entry in entries], limit=_DESCRIBED - len(found)
            )
            found += [item for item in items if state in (None, item.state) and wanted.step in (None, item.step)]
            if len(entries) < limit or len(found) >= limit:
                return found[:limit]
            last = entries[-1]

    async def running_page(
        self, wanted: JourneyFilter, *, state: str | None = None, size: int, after: bytes | None = None
    ) -> tuple[list[JourneySummary], bytes | None]:
        """Return a page of running journeys in a state or at a step, and the token of the next page.

        The page may have fewer journeys, and none, although others follow. A journey found as `waiting` may be
        `running` by now, since search does not know of deliveries that have not failed.
        """
        conditions: list[str] = []
        if state == "running":
            name = JOURNEY_STATE.name
            conditions.append(f"({name} IS NULL OR {name} IN ('running', 'waiting'))")
            # Search learns the version with the first state.
            searched, known = wanted.model_copy(update={"version": None}), None
        else:
            searched, known = _searchable(wanted), state
        if wanted.since is not None:
            # A run that continues another one starts after the admission.
            earliest = (wanted.since - _ADMITTED_WITHIN).isoformat()
            conditions.append(f"StartTime >= {literal(earliest)}")
        page, following = list[IndexedJourney](), None
        with tolerating_no_search():
            page, following = await self.index.page(
                query_of(searched, *conditions, state=known), size=size, after=after
            )
        indexed = {one.id: one for one in page}
        entries = await self._store.find_running(list(indexed))
        admitted = [entries[name] for name in indexed if name in entries]
        items = [listed(entry, indexed) for entry in admitted if wanted.version in (None, entry.version)]
        return await self.with_deliveries(items, limit=size), following

    async def with_deliveries(self, items: list[JourneySummary], *, limit: int) -> list[JourneySummary]:
        """Return the journeys with their deliveries in progress, for the first `limit` that may have one."""

        async def look(item: JourneySummary) -> JourneySummary:
            at = next(iter(await pending_of(self._temporal, item.id)), None)
            known = {"state": at.journey_state, "step": at.step, "reason": at.why} if at else {}
            return item.model_copy(update=known)

        busy = [item for item in items if item.ended_at is None and item.state in ("running", "waiting", "retrying")]
        some = busy[: max(limit, 0)]
        looked = dict(zip(some, await gather_some(_AT_ONCE, look, some), strict=True))
        return [looked.get(item, item) for item in items]

    # ---- held journeys

    async def held(
        self, wanted: JourneyFilter, *, limit: int = EVERY, details: bool = True, without: HeldCause | None = None
    ) -> list[JourneySummary]:
        # With `since` or `without`, less of a page may be left than is wanted.
        size = EVERY if wanted.since is not None or without else limit
        return await first(limit, self.held_by_page(wanted, details=details, size=size, without=without))

    async def held_by_page(
        self, wanted: JourneyFilter, *, details: bool = True, size: int = EVERY, without: HeldCause | None = None
    ) -> AsyncIterator[list[JourneySummary]]:
        """Yield held journeys, or those in the filter's state. A page may have fewer, and none.

        With `details`, they have the reason and the times of the admission and of the hold. Those with the cause
        `without` are left out.
        """
        read_holds = details or wanted.since is not None
        query = query_of(wanted, state=wanted.state or "held")
        async for page in self.index.pages(query, size=size, holds=read_holds):
            found = [item for item in map(_held, page) if not read_holds or _fits(item, wanted)]
            found = [item for item in found if without is None or item.held_reason != without]
            yield await self._with_entries(found) if details else found

    async def held_page(
        self, wanted: JourneyFilter, *, size: int, after: bytes | None = None
    ) -> tuple[list[JourneySummary], bytes | None]:
        """Return a page of held journeys, and the token of the next page. It may have fewer than `size`."""
        page, following = await self.index.page(query_of(_searchable(wanted), state="held"), size=size, after=after)
        return await self._with_entries([item for item in map(_held, page) if _fits(item, wanted)]), following

    async def _with_entries(self, found: list[JourneySummary]) -> list[JourneySummary]:
        entries = await self._store.find_running([item.id for item in found])
        return [
            item.model_copy(update={"run_id": entry.run_id, "key": entry.key, "entered_at": entry.admitted_at})
            if (entry := entries.get(item.id)) is not None
            else item
            for item in found
        ]

    # ---- running journeys

    async def running_by_page(
        self, wanted: JourneyFilter, *, paused: bool | None
    ) -> AsyncIterator[list[JourneySummary]]:
        """Yield running journeys, the newest first. A contact's entries that are not admitted yet come before them.

        Args:
            wanted: The filter; its reason and step do not count.
            paused: None for all. A held journey is queried whether it is paused. For the journeys of an earlier
                operation it does not count, since the operation's record is exact and search lags.
        """

        async def fits(item: JourneySummary) -> bool:
            if paused is None or wanted.operation is not None:
                return True
            if item.state != "held":
                return (item.state == "paused") is paused
            progress = await progress_of(self._temporal.get_workflow_handle(item.id))
            return (pause_in(progress or {}) is not None) is paused

        entering = list[JourneySummary]()
        by_contact = JourneyFilter(scenario=wanted.scenario, contact=wanted.contact)
        if wanted.contact is not None and not paused and wanted == by_contact:
            entering = await self._entering(wanted.contact, wanted.scenario)
            yield entering
        # An entry that is admitted in between is among both.
        yielded = {item.id for item in entering}
        pages = self.admitted(wanted) if wanted.operation is None else self._accepted(wanted)
        async for entries in pages:
            indexed = await self.index.states([entry.workflow_id for entry in entries])
            # A journey that search does not have was terminated, and could not report it to the store.
            there = [entry for entry in entries if wanted.operation is not None or entry.workflow_id in indexed]
            items = [listed(entry, indexed) for entry in there if entry.workflow_id not in yielded]
            fitting = await gather_some(_AT_ONCE, fits, items)
            yield [item for item, is_wanted in zip(items, fitting, strict=True) if is_wanted]

    async def _entering(self, contact: str, scenario: str | None) -> list[JourneySummary]:
        entries = [one for one in await self._store.pending_entries(contact) if scenario in (None, one.scenario)]
        found = await asyncio.gather(*(describe(self._temporal, one.workflow_id, one.run_id) for one in entries))
        return [
            JourneySummary(
                id=one.workflow_id, run_id=one.run_id, scenario=one.scenario, contact=contact, state="entering"
            )
            for one, described in zip(entries, found, strict=True)
            if described is not None and not described.workflow_execution_info.HasField("close_time")
        ]

    async def _accepted(self, wanted: JourneyFilter) -> AsyncIterator[list[StoredEntry]]:
        after: tuple[int, str] | None = None
        operation = wanted.operation or ""
        while items := await self._store.items(operation, outcome="accepted", after=after, limit=_CHUNK):
            running = await self._store.find_running([item.workflow_id for item in items])
            yield [entry for entry in running.values() if wanted.scenario in (None, entry.scenario)]
            after = items[-1].place

    async def admitted(self, wanted: JourneyFilter, *, size: int = _CHUNK) -> AsyncIterator[list[StoredEntry]]:
        """Yield the entries of running journeys, page by page, the newest first. A page may have fewer, and none.

        Reason and step of the filter do not count. Its destination is a name, a host, `email` or `sms`.
        """
        sends: dict[tuple[str, int], bool] = {}
        last: StoredEntry | None = None
        while True:
            entries = await self._store.entries(
                scenario=wanted.scenario,
                version=wanted.version,
                contact_id=wanted.contact,
                running=True,
                since=wanted.since,
                after=last,
                limit=size,
            )
            if wanted.destination is None:
                yield entries
            else:
                for name, version in {(entry.scenario, entry.version) for entry in entries} - sends.keys():
                    published = await self._store.version(name, version)
                    rows = load_plan(published.plan).steps.values() if published else ()
                    ways = {row.to or row.channel for row in rows if isinstance(row, Send)}
                    sends[name, version] = wanted.destination in ways
                yield [entry for entry in entries if sends[entry.scenario, entry.version]]
            if len(entries) < size:
                return
            last = entries[-1]


async def first(limit: int, pages: AsyncIterator[list[JourneySummary]]) -> list[JourneySummary]:
    found: list[JourneySummary] = []
    async for page in pages:
        found += page
        if len(found) >= limit:
            break
    return found[:limit]


def listed(entry: StoredEntry, indexed: Mapping[str, IndexedJourney]) -> JourneySummary:
    """Return an admitted journey, with its state from search if it runs."""
    is_over = entry.ended_at is not None
    now = None if is_over else indexed.get(entry.workflow_id)
    journey = JourneySummary.from_record(
        entry,
        id=entry.workflow_id,
        scenario=f"{entry.scenario}@{entry.version}",
        contact=entry.contact_id,
        state=(entry.outcome or "over") if is_over else now.state if now else "running",
        step=now and now.step,
        entered_at=entry.admitted_at,
        destination=now and now.destination,
    )
    return _with_hold(journey, now.hold) if now is not None and now.state == "held" else journey


def _held(indexed: IndexedJourney) -> JourneySummary:
    scenario, contact = indexed.version or indexed.scenario or "", indexed.contact or ""
    journey = JourneySummary.from_record(indexed, scenario=scenario, contact=contact, entered_at=indexed.started_at)
    return _with_hold(journey, indexed.hold)


def _with_hold(journey: JourneySummary, hold: HoldMemo) -> JourneySummary:
    known = {
        "reason": hold.reason,
        "destination": hold.destination or journey.destination,
        "held_reason": hold.cause or journey.held_reason,
        "since": hold.since,
        "status": hold.status,
    }
    return journey.model_copy(update=known)


def _searchable(wanted: JourneyFilter) -> JourneyFilter:
    """Return a filter without a version that has no scenario: search knows only both together."""
    return wanted if wanted.scenario is not None else wanted.model_copy(update={"version": None})


def _fits(journey: JourneySummary, wanted: JourneyFilter) -> bool:
    """Return True if a journey still fits. The memo of a held one is newer than what search has indexed."""
    since = journey.since if journey.state == "held" else journey.entered_at
    return (
        (wanted.version is None or journey.scenario.endswith(f"@{wanted.version}"))
        and wanted.destination in (None, journey.destination)
        and wanted.reason in (None, journey.held_reason)
        and (wanted.since is None or (since is not None and since >= wanted.since))
    )
