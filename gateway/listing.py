"""Many journeys at a glance: the store knows who came in, Temporal what those under way are doing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from temporalio.client import Client, WorkflowExecution
from temporalio.service import RPCError, RPCStatusCode

from gateway.looking import progress_of
from runtime.attributes import CONTACT_ID, JOURNEY_STATE, SCENARIO_NAME, SCENARIO_VERSION, STEP_ID
from runtime.store import Entry as StoredEntry
from runtime.store import Store

_UNDER_WAY: Final = "WorkflowType = 'Journey' AND ExecutionStatus = 'Running'"
"""Also leaves out what is paused on the server, which the SDK's client cannot read."""
_CHUNK: Final = 50  # ids in one query
_ASKED: Final = 10  # journeys asked at the same time why they are held


@dataclass(frozen=True)
class Listed:
    """A journey in a list.

    Attributes:
        id: The workflow id.
        run_id: Its first execution's.
        scenario: Name and version.
        contact: The contact's id.
        key: What tells it from others of the same contact, if anything.
        state: ``running``, ``waiting``, ``held``, ``paused``; once it is over ``finished``, ``exited``, ``lost``.
        step: Where it stands, as far as Temporal's search has learnt: some moments behind.
        reason: Why it is held, or why it ended.
        entered_at: When it was let in.
        ended_at: When it was over.
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


class _Seen(NamedTuple):
    state: str
    step: str | None


async def newest(
    temporal: Client, store: Store, *, scenario: str | None, contact: str | None, limit: int
) -> list[Listed]:
    """Journeys that were let in, the newest first."""
    entries = await store.entries(scenario=scenario, contact_id=contact, limit=limit)
    seen = await _states(temporal, [entry.workflow_id for entry in entries if entry.ended_at is None])
    return [_listed(entry, seen) for entry in entries]


async def held(
    temporal: Client, store: Store, *, scenario: str | None, contact: str | None, limit: int
) -> list[Listed]:
    """Journeys that wait for an operator, and why."""
    wanted = [_UNDER_WAY, f"{JOURNEY_STATE.name} = 'held'"]
    wanted += [f"{SCENARIO_NAME.name} = {quoted(scenario)}"] if scenario is not None else []
    wanted += [f"{CONTACT_ID.name} = {quoted(contact)}"] if contact is not None else []
    found = [found async for found in temporal.list_workflows(" AND ".join(wanted), limit=limit)]
    turns = asyncio.Semaphore(_ASKED)

    async def ask(execution: WorkflowExecution) -> Listed:
        async with turns:
            return await _held(temporal, store, execution)

    return await asyncio.gather(*(ask(execution) for execution in found))


async def _held(temporal: Client, store: Store, execution: WorkflowExecution) -> Listed:
    handle = temporal.get_workflow_handle(execution.id, run_id=execution.run_id)
    progress: Mapping[str, Any] = await progress_of(handle) or {}
    waiting: Mapping[str, Any] = progress.get("waiting") or {}
    entry = await store.entry(execution.id)
    known = execution.typed_search_attributes
    return Listed(
        id=execution.id,
        run_id=entry.run_id if entry else execution.run_id,
        scenario=known.get(SCENARIO_VERSION) or known.get(SCENARIO_NAME) or "",
        contact=known.get(CONTACT_ID) or "",
        key=entry.key if entry else None,
        # Search lags: the journey itself knows better, where it answers.
        state=progress.get("state") or "held",
        step=progress.get("at") or known.get(STEP_ID),
        reason=waiting.get("reason"),
        entered_at=entry.admitted_at if entry else execution.start_time,
        ended_at=None,
    )


async def _states(temporal: Client, ids: Sequence[str]) -> dict[str, _Seen]:
    seen: dict[str, _Seen] = {}
    for start in range(0, len(ids), _CHUNK):
        listed = ", ".join(quoted(name) for name in ids[start : start + _CHUNK])
        try:
            async for execution in temporal.list_workflows(f"{_UNDER_WAY} AND WorkflowId IN ({listed})"):
                known = execution.typed_search_attributes
                seen[execution.id] = _Seen(known.get(JOURNEY_STATE) or "running", known.get(STEP_ID) or None)
        except RPCError as error:
            if error.status is not RPCStatusCode.UNIMPLEMENTED:  # a server without search still can be looked at
                raise
            break
    return seen


def _listed(entry: StoredEntry, seen: Mapping[str, _Seen]) -> Listed:
    over = entry.ended_at is not None
    now = seen.get(entry.workflow_id, _Seen("running", None))
    return Listed(
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
    """A text as Temporal's search takes it, whatever is in it."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
