"""All entries of a contact: admitted journeys, refused and pending entries.

The store has the admitted ones. Only Temporal has the refused ones, as results of their workflows, until its retention
ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from gateway.journeys.pending_activities import describe
from gateway.journeys.snapshot import JourneySnapshot, end_of, read_admitted
from gateway.service.index import JourneyIndex, equals, literal, one_of
from runtime.search_attributes import CONTACT_ID, SCENARIO_NAME
from runtime.store import Store
from scenario.entry.entry import journeys_of

STARTED: Final = "WorkflowType = 'Journey' AND ExecutionStatus IN ('Completed', 'Running')"
_CHUNK: Final = 20  # scenarios in one query
_LOOKED_AT: Final = 200  # runs that are looked at one by one, for each query
_ASKED: Final = 10  # at the same time


@dataclass(frozen=True)
class NotLetIn:
    """An entry that was refused, or is not decided yet.

    Attributes:
        asked_at: Time of the entry.
        reason: Why it was refused, or None if it is not decided yet.
    """

    id: str
    run_id: str
    scenario: str
    asked_at: datetime
    reason: str | None


class _Run(NamedTuple):
    id: str
    run_id: str
    started: datetime
    running: bool


async def journeys(
    temporal: Client, store: Store, contact: str, scenario: str | None, since: datetime | None, limit: int
) -> list[JourneySnapshot]:
    """Return a contact's admitted journeys, newest first."""
    entries = await store.entries(contact_id=contact, scenario=scenario, since=since, limit=limit)
    turns = asyncio.Semaphore(_ASKED)

    async def look(index: int) -> JourneySnapshot:
        async with turns:
            return await read_admitted(temporal, store, entries[index])

    return list(await asyncio.gather(*map(look, range(len(entries)))))


async def not_let_in(
    temporal: Client, store: Store, contact: str, scenario: str | None, since: datetime | None, limit: int
) -> list[NotLetIn]:
    """Return a contact's refused and pending entries, newest first.

    They are found by the search attribute of the contact, or by the workflow's id, since engines need not set the
    attribute.
    """
    names = [scenario] if scenario else [found.scenario for found in await store.scenarios()]
    runs = {run async for run in _runs(temporal, contact, names, everywhere=scenario is None)}
    if since is not None:
        runs = {run for run in runs if run.started >= since}
    under_way = await store.find_running({run.id for run in runs if run.running})
    over = await store.admitted({(run.id, run.run_id) for run in runs if not run.running})
    newest = sorted(runs, key=lambda run: run.started, reverse=True)
    asking = [run for run in newest if (run.id not in under_way if run.running else run[:2] not in over)]
    found: list[NotLetIn] = []
    for start in range(0, len(asking), _ASKED):
        some = asking[start : start + _ASKED]
        found += filter(None, await asyncio.gather(*(_asked(temporal, run) for run in some)))
        if len(found) >= limit:
            break
    return found[:limit]


async def _asked(temporal: Client, run: _Run) -> NotLetIn | None:
    """Return the result of a run, or None if it was admitted."""
    name = run.id.partition("/")[0]
    if run.running:
        return NotLetIn(run.id, run.run_id, name, run.started, None)
    result, _ = await end_of(temporal.get_workflow_handle(run.id, run_id=run.run_id))
    if result is None or result.get("outcome") != "refused":
        return None
    return NotLetIn(run.id, run.run_id, name, run.started, str(result.get("reason") or "no reason is on record"))


async def _runs(temporal: Client, contact: str, names: Sequence[str], *, everywhere: bool) -> AsyncIterator[_Run]:
    """Yield the runs of a contact's workflows that may not have been admitted."""
    try:
        for query in _queries(contact, names, everywhere=everywhere):
            for one in await JourneyIndex(temporal).find(query, limit=_LOOKED_AT):
                yield _Run(one.id, one.run_id, one.started_at, one.is_running)
    except RPCError as error:
        if error.status is not RPCStatusCode.UNIMPLEMENTED:
            raise
        # A server without search has the newest run of each id nevertheless.
        for name in names:
            if (described := await describe(temporal, journeys_of(name, contact))) is not None:
                info = described.workflow_execution_info
                started = info.start_time.ToDatetime(tzinfo=UTC)
                yield _Run(info.execution.workflow_id, info.execution.run_id, started, not info.HasField("close_time"))


def _queries(contact: str, names: Sequence[str], *, everywhere: bool) -> Iterator[str]:
    marked = f"{STARTED} AND {equals(CONTACT_ID, contact)}"
    yield marked if everywhere else f"{marked} AND {equals(SCENARIO_NAME, names[0])}"
    for start in range(0, len(names), _CHUNK):
        ids = [journeys_of(name, contact) for name in names[start : start + _CHUNK]]
        begun = (f"WorkflowId STARTS_WITH {literal(f'{name}/')}" for name in ids)
        yield f"{STARTED} AND ({' OR '.join((one_of('WorkflowId', ids), *begun))})"
