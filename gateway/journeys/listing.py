"""Lists journeys: the store knows who was admitted, Temporal what those under way are doing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from runtime.search_attributes import JOURNEY_STATE, STEP_ID
from runtime.store import Store, StoredEntry

UNDER_WAY: Final = "WorkflowType = 'Journey' AND ExecutionStatus = 'Running'"
"""Also leaves out what is paused on the server, which the SDK's client cannot read."""
_CHUNK: Final = 50  # ids in one query


@dataclass(frozen=True)
class ListedJourney:
    """A journey in a list.

    Attributes:
        id: The workflow id.
        run_id: Its first execution's.
        scenario: Name and version.
        contact: The contact's id.
        key: What tells it from others of the same contact, if anything.
        state: ``running``, ``waiting``, ``held``, ``paused``; once it is over ``finished``, ``exited``, ``lost``.
        step: Where it stands, as far as Temporal's search has learnt: some moments behind.
        reason: Why it is held, or why it ended: a sentence.
        entered_at: When it was let in.
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


async def newest(
    temporal: Client,
    store: Store,
    *,
    scenario: str | None,
    contact: str | None,
    since: datetime | None = None,
    limit: int,
) -> list[ListedJourney]:
    """Journeys that were let in, the newest first."""
    entries = await store.entries(scenario=scenario, contact_id=contact, since=since, limit=limit)
    seen = await states(temporal, [entry.workflow_id for entry in entries if entry.ended_at is None])
    return [listed(entry, seen) for entry in entries]


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
    """A text as Temporal's search takes it, whatever is in it."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
