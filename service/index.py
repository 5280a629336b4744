"""Temporal's search for journeys: its queries, pages and counts. It lags some moments behind the journeys.

Only this module writes queries and reads search attributes.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict
from temporalio.client import Client, WorkflowExecution, WorkflowExecutionStatus
from temporalio.common import SearchAttributeKey
from temporalio.service import RPCError, RPCStatusCode

from authoring.errors import BadInput
from runtime import search_attributes
from runtime.search_attributes import (
    CONTACT_ID,
    DESTINATION,
    HELD_REASON,
    JOURNEY_STATE,
    SCENARIO_NAME,
    SCENARIO_VERSION,
    STEP_ID,
    read_last_hold,
    running,
)
from service.errors import BadCombination

EVERY: Final = 1_000_000  # no limit in practice: one store holds fewer running journeys
PATIENCE: Final = timedelta(seconds=5)  # the time in which search answers a person
_PAGE: Final = 1000  # as many as servers return at a time
_IDS: Final = 50  # in one query
_UNMATCHED: Final = re.compile(r'["\\]')  # characters that the server's search does not match, however they are quoted
COUNTS: Final = 4  # counts that search makes at a time
_LISTED: Final = 50  # as many journeys are listed faster than they are counted twice


class JourneyFilter(BaseModel):
    """Properties that journeys have in common. None matches any."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    scenario: str | None = None
    """Name of the scenario."""
    version: int | None = None
    """Version of the scenario; goes with `scenario`."""
    contact: str | None = None
    """Contact id."""
    destination: str | None = None
    """Held and retrying journeys: the destination or host that a delivery failed to reach. Other running ones: a
    destination that their version of the scenario has a step for."""
    reason: str | None = None
    """Held journeys: the cause, in one word."""
    step: str | None = None
    """Step at which the journeys are."""
    since: datetime | None = None
    """Held journeys: held then or later. Others: admitted then or later."""
    operation: str | None = None
    """Id of an earlier pause, for the journeys that accepted it."""
    campaign: str | None = None
    """Name of a campaign, for the journeys that it started."""
    state: Literal["held", "retrying"] | None = None
    """For skip and leave: the state of the journeys. By default they are held."""

    def check(self) -> None:
        """Raise BadCombination if the filter has a version, but no scenario."""
        if self.version is not None and self.scenario is None:
            raise BadCombination("version", "a version goes with a scenario: name it")


@dataclass(frozen=True)
class HoldMemo:
    """The hold of a journey, from its memo. All fields are None if the memo cannot be read."""

    since: datetime | None = None
    reason: str | None = None
    cause: str | None = None
    destination: str | None = None
    status: int | None = None


@dataclass(frozen=True)
class IndexedJourney:
    """A run of a journey, as search has it."""

    id: str
    run_id: str
    started_at: datetime
    is_running: bool
    scenario: str | None
    version: str | None  # name and version, or None if the journey has not waited yet
    contact: str | None
    state: str  # `running` also if the journey has not waited yet
    step: str | None
    destination: str | None
    held_reason: str | None  # the cause of the hold, in one word
    hold: HoldMemo = HoldMemo()  # empty if the journey is not held, or its memo was not read


async def _read(execution: WorkflowExecution, *, holds: bool = True) -> IndexedJourney:
    known = execution.typed_search_attributes
    state, hold = known.get(JOURNEY_STATE) or "running", HoldMemo()
    if holds and state == "held" and (memo := await read_last_hold(execution)):
        since = datetime.fromisoformat(memo["at"]) if memo.get("at") else None
        hold = HoldMemo(since, *(memo.get(name) for name in ("reason", "cause", "destination", "status")))
    return IndexedJourney(
        id=execution.id,
        run_id=execution.run_id,
        started_at=execution.start_time,
        is_running=execution.status is WorkflowExecutionStatus.RUNNING,
        scenario=known.get(SCENARIO_NAME),
        version=known.get(SCENARIO_VERSION),
        contact=known.get(CONTACT_ID),
        state=state,
        step=known.get(STEP_ID) or None,
        destination=known.get(DESTINATION) or None,
        held_reason=known.get(HELD_REASON) or None,
        hold=hold,
    )


class JourneyIndex:
    """Temporal's search for journeys. Its methods raise RPCError if the server cannot search."""

    def __init__(self, temporal: Client) -> None:
        self._temporal = temporal

    async def count(self, query: str, *, patience: timedelta | None = None) -> int:
        return (await self._temporal.count_workflows(query, rpc_timeout=patience)).count

    async def find(
        self, query: str, *, limit: int | None = None, patience: timedelta | None = None, holds: bool = True
    ) -> list[IndexedJourney]:
        """Return the journeys that fit a query, the newest first; with `holds`, their memos are decoded."""
        size = _PAGE if limit is None else min(limit, _PAGE)
        executions = self._temporal.list_workflows(query, limit=limit, page_size=size, rpc_timeout=patience)
        return await _read_all([one async for one in executions], holds=holds)

    async def page(
        self, query: str, *, size: int, after: bytes | None = None
    ) -> tuple[list[IndexedJourney], bytes | None]:
        """Return one page, and the server's token for the next page, or None if this is the last.

        The server has a token after a full page even if nothing follows.
        """
        # The server treats an invalid token as its own failure, which the SDK retries: hence the time limit.
        found = self._temporal.list_workflows(query, page_size=size, next_page_token=after, rpc_timeout=PATIENCE)
        await found.fetch_next_page()
        items, following = found.current_page or (), found.next_page_token or None
        if following is not None:
            await found.fetch_next_page(page_size=1)
        return await _read_all(items), following if found.current_page else None

    async def pages(self, query: str, *, size: int = _PAGE, holds: bool = True) -> AsyncIterator[list[IndexedJourney]]:
        """Yield the journeys that fit a query, page by page; with `holds`, their memos are decoded."""
        size, page = min(size, _PAGE), list[WorkflowExecution]()
        async for execution in self._temporal.list_workflows(query, page_size=size):
            page.append(execution)
            if len(page) == size:
                yield await _read_all(page, holds=holds)
                page = []
        if page:
            yield await _read_all(page, holds=holds)

    async def states(self, ids: Sequence[str]) -> dict[str, IndexedJourney]:
        """Return the running journeys and batch calls among these ids. Empty if the server has no search."""
        odd = [name for name in ids if _UNMATCHED.search(name)]
        plain = [name for name in ids if not _UNMATCHED.search(name)] if odd else ids
        queries = [one_of("WorkflowId", plain[start : start + _IDS]) for start in range(0, len(plain), _IDS)]
        found: dict[str, IndexedJourney] = {}
        with tolerating_no_search():
            for query in (*queries, *map(_around, odd)):
                found.update((one.id, one) for one in await self.find(f"{running('held')} AND {query}", limit=_PAGE))
        return {name: one for name, one in found.items() if name in ids} if odd else found

    async def count_by_step(
        self, version: str, state: str, steps: Iterable[str], turns: asyncio.Semaphore
    ) -> dict[str, int]:
        """Count the journeys of a version (`a@3`) in a state, by step. The total is under the empty text.

        Search cannot group by an attribute, and a count takes tens of milliseconds if tens of thousands run. Few
        journeys are therefore listed, and the steps of many, the likely ones first, are counted only until all journeys
        are found.
        """
        of_version, in_state = (SCENARIO_VERSION, version), (JOURNEY_STATE, state)
        # The database reads the range, so it is that of the rarer value. Most journeys wait.
        few, many = (of_version, in_state) if state == "waiting" else (in_state, of_version)
        begun = f"{running(state)} AND {equals(*many)}"
        query = f"{begun} AND {as_range(*few)}"

        async def count(query: str) -> int:
            async with turns:
                return await self.count(query, patience=PATIENCE)

        total = await count(query)
        found, left, names = {"": total}, total, list(steps)
        if 0 < total <= _LISTED:
            async with turns:
                listed = await self.find(query, limit=2 * _LISTED, patience=PATIENCE, holds=False)
            steps_of = Counter(one.step for one in listed)
            return found | {name: steps_of[name] for name in names}
        for start in range(0, len(names), COUNTS):
            if left <= 0:
                break
            some = names[start : start + COUNTS]
            counts = await asyncio.gather(
                *(count(f"{begun} AND {equals(*few)} AND {as_range(STEP_ID, step)}") for step in some)
            )
            found |= dict(zip(some, counts, strict=True))
            left -= sum(counts)
        return found


async def _read_all(executions: Sequence[WorkflowExecution], *, holds: bool = True) -> list[IndexedJourney]:
    return await asyncio.gather(*(_read(one, holds=holds) for one in executions))


@contextmanager
def tolerating_no_search() -> Generator[None]:
    """End the block early if the server has no search, as the time-skipping test server."""
    try:
        yield
    except RPCError as error:
        if error.status is not RPCStatusCode.UNIMPLEMENTED:
            raise


# ---- queries


def query_of(wanted: JourneyFilter, *conditions: str, state: str | None = None, counted: bool = False) -> str:
    """Return a query for running journeys; if `counted`, see `as_range`. `since` and `operation` are not searchable.

    Raise BadCombination for a version without a scenario, which would match every version.
    """
    wanted.check()
    values = {
        SCENARIO_NAME: wanted.scenario,
        SCENARIO_VERSION: None if wanted.version is None else f"{wanted.scenario}@{wanted.version}",
        CONTACT_ID: wanted.contact,
        DESTINATION: wanted.destination,
        HELD_REASON: wanted.reason,
        STEP_ID: wanted.step,
    }
    clauses = [equals(key, value) for key, value in values.items() if value is not None]
    if state is not None:
        clauses.insert(0, (as_range if counted else equals)(JOURNEY_STATE, state))
    return " AND ".join((running(state), *clauses, *conditions))


def equals(key: SearchAttributeKey[str], value: str | None) -> str:
    """Return a condition that an attribute has a value, or none."""
    return f"{key.name} IS NULL" if value is None else f"{key.name} = {literal(value)}"


def as_range(key: SearchAttributeKey[str], value: str) -> str:
    """Return the condition of `equals`, for a count.

    Without statistics, as in SQLite, a database takes a range for more selective than equality. It then reads the
    journeys with this value, by the attribute's index, instead of all that run. A list would lose its order by that.
    """
    return f"{key.name} BETWEEN {literal(value)} AND {literal(value)}"


def differs(key: SearchAttributeKey[str], value: str | None) -> str:
    """Return the opposite condition. For search, a missing value does not differ from any other."""
    return f"{key.name} IS NOT NULL" if value is None else f"{key.name} != {literal(value)} OR {key.name} IS NULL"


def one_of(name: str, values: Iterable[str]) -> str:
    return f"{name} IN ({', '.join(map(literal, values))})"


def _around(identifier: str) -> str:
    """Return a condition on the ids near one that search cannot match: those that begin like it."""
    found = _UNMATCHED.search(identifier)
    start, code = (identifier[: found.start()], ord(found[0])) if found else (identifier, 1)
    return f"WorkflowId BETWEEN {literal(start + chr(code - 1))} AND {literal(start + chr(code + 1))}"


def literal(text: str) -> str:
    """Return a text as a value in a query. Raise BadInput for U+0000, on which search would fail and be retried."""
    if "\0" in text:
        raise BadInput("the search contains the character U+0000, which no id has")
    return search_attributes.quote(text)
