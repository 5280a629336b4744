"""All entries of a contact: admitted journeys, refused and pending entries.

The store has the admitted ones. Only Temporal has the refused ones, as results of their workflows, until its retention
ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final, NamedTuple

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from gateway.concurrency import gather_some
from gateway.journeys.snapshot import JourneySnapshot, describe, end_of, read_admitted
from gateway.service.index import JourneyIndex, equals, literal, one_of
from runtime.search_attributes import CONTACT_ID, JOURNEY_STATE, SCENARIO_NAME
from runtime.store import Store
from scenario.entry.entry import journeys_of

STARTED: Final = "WorkflowType = 'Journey' AND ExecutionStatus IN ('Completed', 'Running')"
_UNDECIDED: Final = f"{STARTED} AND {equals(JOURNEY_STATE, None)}"
"""Journeys that have waited were admitted: the server leaves them out."""
_CHUNK: Final = 20  # scenarios in one query
_LOOKED_AT: Final = 200  # runs that are looked at one by one, for each query
_ASKED: Final = 20  # at the same time: without a worker, each waits for seconds


@dataclass(frozen=True)
class Period:
    """A period in which entries were asked for."""

    since: datetime | None = None
    until: datetime | None = None  # its end, exclusive

    def includes(self, moment: datetime) -> bool:
        return (self.since is None or self.since <= moment) and (self.until is None or moment < self.until)

    @property
    def condition(self) -> str:
        since = f" AND StartTime >= {literal(self.since.isoformat())}" if self.since else ""
        return since + (f" AND StartTime < {literal(self.until.isoformat())}" if self.until else "")


@dataclass(frozen=True)
class NotLetIn:
    """An entry that was refused, or is not decided yet."""

    id: str
    run_id: str
    scenario: str
    asked_at: datetime  # time of the entry
    reason: str | None  # why it was refused, or None if it is not decided yet


class _Run(NamedTuple):
    id: str
    run_id: str
    started: datetime
    running: bool


async def journeys(
    temporal: Client, store: Store, contact: str, scenario: str | None, period: Period, limit: int
) -> list[JourneySnapshot]:
    entries = await store.entries(
        contact_id=contact, scenario=scenario, since=period.since, until=period.until, limit=limit
    )
    return await gather_some(_ASKED, partial(read_admitted, temporal, store), entries)


async def not_let_in(
    temporal: Client, store: Store, contact: str, scenario: str | None, period: Period, limit: int
) -> tuple[list[NotLetIn], datetime | None]:
    """Return a contact's refused and pending entries, newest first.

    They are found by the search attribute of the contact, or by the workflow's id, since engines need not set the
    attribute. If there are too many runs to look at all, also return the time before which none was looked at.
    """
    names = [scenario] if scenario else [found.scenario for found in await store.scenarios()]
    runs, complete_since = await _runs(temporal, contact, names, period, everywhere=scenario is None)
    under_way = await store.find_running({run.id for run in runs if run.running})
    # A run may still be open that the store has ended: a control contact's, say.
    known = await store.admitted({(run.id, run.run_id) for run in runs})
    newest = sorted(runs, key=lambda run: run.started, reverse=True)
    asking = [run for run in newest if run[:2] not in known and not (run.running and run.id in under_way)]
    found: list[NotLetIn] = []
    for start in range(0, len(asking), _ASKED):
        some = asking[start : start + _ASKED]
        found += filter(None, await asyncio.gather(*(_asked(temporal, run) for run in some)))
        if len(found) >= limit:
            break
    return found[:limit], complete_since


async def _asked(temporal: Client, run: _Run) -> NotLetIn | None:
    name = run.id.partition("/")[0]
    if run.running:
        return NotLetIn(run.id, run.run_id, name, run.started, None)
    result, _ = await end_of(temporal.get_workflow_handle(run.id, run_id=run.run_id))
    if result is None or result.get("outcome") != "refused":
        return None
    return NotLetIn(run.id, run.run_id, name, run.started, str(result.get("reason") or "no reason is on record"))


async def _runs(
    temporal: Client, contact: str, names: Sequence[str], period: Period, *, everywhere: bool
) -> tuple[set[_Run], datetime | None]:
    """Return a contact's runs that may not have been admitted, and the time of the oldest one if there are more."""
    found, complete_since = set[_Run](), None
    try:
        for query in _queries(contact, names, everywhere=everywhere):
            runs = await JourneyIndex(temporal).find(f"{query}{period.condition}", limit=_LOOKED_AT)
            found |= {_Run(one.id, one.run_id, one.started_at, one.is_running) for one in runs}
            if len(runs) == _LOOKED_AT:
                complete_since = max(filter(None, (complete_since, runs[-1].started_at)))
    except RPCError as error:
        if error.status is not RPCStatusCode.UNIMPLEMENTED:
            raise
        # A server without search has the newest run of each id nevertheless.
        for name in names:
            if (described := await describe(temporal, journeys_of(name, contact))) is not None:
                info = described.workflow_execution_info
                run = _Run(
                    info.execution.workflow_id,
                    info.execution.run_id,
                    info.start_time.ToDatetime(tzinfo=UTC),
                    not info.HasField("close_time"),
                )
                found |= {run} if period.includes(run.started) else set()
    return found, complete_since


def _queries(contact: str, names: Sequence[str], *, everywhere: bool) -> Iterator[str]:
    marked = f"{_UNDECIDED} AND {equals(CONTACT_ID, contact)}"
    yield marked if everywhere else f"{marked} AND {equals(SCENARIO_NAME, names[0])}"
    for start in range(0, len(names), _CHUNK):
        ids = [journeys_of(name, contact) for name in names[start : start + _CHUNK]]
        begun = (f"WorkflowId STARTS_WITH {literal(f'{name}/')}" for name in ids)
        yield f"{_UNDECIDED} AND ({' OR '.join((one_of('WorkflowId', ids), *begun))})"
