"""``/v1/journeys``: lists journeys, and shows one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field
from temporalio.service import RPCError
from typing_extensions import TypedDict

from gateway.api.app_state import Client
from gateway.api.authorization import Reading
from gateway.api.cursor import Cursor, Limit
from gateway.api.moment import Moment
from gateway.api.problem import Mistake, Problem, problems
from gateway.client import ScenarioClient
from gateway.errors import BadCursor
from gateway.journeys import as_json
from gateway.service.index import JourneyFilter
from gateway.service.listing import ListedJourney
from gateway.service.paging import decode_cursor, encode_cursor
from runtime.temporal_faults import is_unknown_token
from scenario.words import ENDED

router = APIRouter(tags=["journeys"])

State = Literal["running", "waiting", "held", "paused", "finished", "exited", "control", "holdout", "lost"]
Journey = Annotated[
    str,
    Path(
        alias="id",
        min_length=1,
        max_length=1000,
        description="The journey's id, slashes and all, or with %2F for them",
        examples=["post-purchase/3028687/CGX0094"],
    ),
]


class ListedBody(BaseModel):
    """A journey in a list.

    Attributes:
        id: Its id.
        run_id: Its first execution's.
        scenario: Name and version.
        contact: The contact's id.
        key: What tells it from others of the same contact, if anything.
        state: What it is doing, or how it has ended.
        step: Where it stands, as far as Temporal's search has learnt: some moments behind.
        reason: Why it is held, why its delivery is tried again, or why it ended: a sentence.
        entered_at: When it was admitted.
        ended_at: When it was over.
        destination: Held ones: what could not be delivered to, if it was that.
        held_reason: Held ones: why, in one word.
        since: Held ones: since when.
        status: Held ones: the receiver's reply code.
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
    destination: str | None
    held_reason: str | None
    since: datetime | None
    status: int | None


class Listed(BaseModel):
    """A page of journeys."""

    items: list[ListedBody]
    next: str | None = Field(description="The `cursor` of the next page; null where there is none")


class JourneyBody(BaseModel):
    """One journey, step by step.

    Attributes:
        id: Its id.
        run_id: The run that is shown.
        scenario: Name and version that it follows.
        contact: The contact's id.
        key: What tells it from others of the same contact, if anything.
        status: Temporal's word; `forgotten` after its retention.
        state: What it is doing, or how it has ended.
        reason: Why it is held, paused, refused, left or failed.
        entered_at: When it was admitted.
        ended_at: When it was over.
        at: The step at which it stands.
        since: Since when.
        waiting: What for: `for`, `until`; of a held one `step`, `reason`, `destination`, `status`, `cause` and more.
        paused: The operator's pause, also of a journey that is held.
        answered: Whether a worker answered; else the following is what is on record.
        moves_to: The version in which it goes on once its delivery under way is over.
        steps: `id`, `kind`, `what`, `state` (`done`, `now`, `to come`), `outcome`, `reason`, `status`, `attempts`,
            `at`, `note`, `way`.
        steps_forgotten: How many records of steps that were repeated are not among them.
        rounds: The repetitions that it is in: `step`, `round`, `of`.
        pending: Deliveries under way, as Temporal sees them.
        deliveries: Attempts on record, the oldest first; of many the newest 1,000.
        earlier_deliveries: Whether there are attempts on record from before those.
        events: Kept events: `name`, `at`.
        operations: What operators did: `name`, `operator`, `reason`, `at`, `step`, `details`.
        passed_over: What could not be used: `what`, `reason`, `at`, `count`.
        goal: `until`, `reached_at`, `value`.
    """

    id: str
    run_id: str
    scenario: str | None
    contact: str | None
    key: str | None
    status: str
    state: str
    reason: str | None
    entered_at: datetime | None
    ended_at: datetime | None
    at: str | None
    since: datetime | None
    waiting: dict[str, Any] | None
    paused: dict[str, Any] | None
    answered: bool
    moves_to: str | None
    steps: list[dict[str, Any]]
    steps_forgotten: int
    rounds: list[dict[str, Any]]
    pending: list[dict[str, Any]]
    deliveries: list[dict[str, Any]]
    earlier_deliveries: bool
    events: list[dict[str, Any]]
    operations: list[dict[str, Any]]
    passed_over: list[dict[str, Any]]
    goal: dict[str, Any] | None


_Found = tuple[list[ListedJourney], bytes | None]


class _Place(TypedDict):
    journey: str
    run: str


class _SearchedPlace(TypedDict):
    token: str


@router.get("/journeys")
async def list_journeys(
    client: Client,
    caller: Reading,
    scenario: Annotated[
        str | None, Query(max_length=100, description="Only those of this one; keys for some scenarios need it")
    ] = None,
    version: Annotated[
        int | None, Query(ge=1, le=2**31 - 1, description="Only those of its version of this number")
    ] = None,
    contact: Annotated[str | None, Query(max_length=300, description="Only this contact's")] = None,
    state: Annotated[State | None, Query(description="Only those that are doing this, or have ended so")] = None,
    step: Annotated[str | None, Query(max_length=300, description="Only those under way that stand here")] = None,
    destination: Annotated[
        str | None, Query(max_length=300, description="Only those held because of this destination, or host")
    ] = None,
    reason: Annotated[
        str | None, Query(max_length=50, description="Only those held for this, in one word", examples=["exhausted"])
    ] = None,
    since: Annotated[
        Moment | None, Query(description="Only those let in then or later; of held ones, those held since then")
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Listed:
    """Journeys, the newest first; with `state=held`, `destination` or `reason` those that wait for an operator.

    What journeys are doing is some moments behind. With a `step`, or a `state` before they are over, a page may have
    fewer than `limit`, and none, although others follow: go by `next`.
    """
    caller.check(scenario)
    if version is not None and scenario is None:
        raise _mistake("version", "a version goes with a scenario: name it")
    which = JourneyFilter(
        scenario=scenario,
        version=version,
        contact=contact,
        step=step,
        since=since,
        destination=destination,
        reason=reason,
    )
    if state == "held" or destination is not None or reason is not None:
        if state not in (None, "held"):
            raise _mistake("state", "'destination' and 'reason' are for held journeys: leave 'state' out")
        return await _held(client, which, limit, cursor)
    if step is not None and state in ENDED:
        raise _mistake("step", "'step' is for journeys under way: leave it or 'state' out")
    if step is not None or state in ("running", "waiting", "paused"):
        return await _under_way(client, which, state, limit, cursor)
    place = decode_cursor(cursor, _Place) if cursor else None
    after = place and await client.store.entry(place["journey"], place["run"])
    if place and after is None:
        raise BadCursor()
    found = await client.lists.newest(which, state=state, after=after or None, limit=limit + 1)
    last = found[limit - 1] if len(found) > limit else None
    following = encode_cursor({"journey": last.id, "run": last.run_id}) if last else None
    return Listed(items=_bodies(found[:limit]), next=following)


async def _under_way(
    client: ScenarioClient, which: JourneyFilter, state: str | None, limit: int, cursor: str | None
) -> Listed:
    async def search(after: bytes | None) -> _Found:
        return await client.lists.running_page(which, state=state, size=limit, after=after)

    found, following = await _search_from(cursor, search)
    fitting = [item for item in found if state in (None, item.state)]
    if which.since is not None:
        since = which.since
        fitting = [item for item in fitting if item.entered_at is not None and item.entered_at >= since]
    return _page(fitting, following)


async def _held(client: ScenarioClient, which: JourneyFilter, limit: int, cursor: str | None) -> Listed:
    async def search(after: bytes | None) -> _Found:
        return await client.lists.held_page(which, size=limit, after=after)

    return _page(*await _search_from(cursor, search))


async def _search_from(cursor: str | None, search: Callable[[bytes | None], Awaitable[_Found]]) -> _Found:
    """Search from a cursor. It is wrong if the same search succeeds without it; else the fault is Temporal's.

    Raises:
        Problem: The cursor is not one that the server gave.
        RPCError: Temporal cannot search.
    """
    after = _token(cursor)
    try:
        return await search(after)
    except RPCError as error:
        if after is None or not is_unknown_token(error):
            raise
    await search(None)
    raise BadCursor()


def _token(cursor: str | None) -> bytes | None:
    try:
        return bytes.fromhex(decode_cursor(cursor, _SearchedPlace)["token"]) if cursor else None
    except ValueError:
        raise BadCursor() from None


def _page(found: list[ListedJourney], following: bytes | None) -> Listed:
    return Listed(items=_bodies(found), next=encode_cursor({"token": following.hex()}) if following else None)


def _bodies(found: list[ListedJourney]) -> list[ListedBody]:
    return [ListedBody.model_validate(as_json.listed(item)) for item in found]


@router.get("/journeys/{id:path}", responses=problems("not-found"))
async def show_journey(
    journey: Journey,
    client: Client,
    caller: Reading,
    run: Annotated[
        str | None, Query(max_length=100, description="One of its runs; by default the one that was admitted last")
    ] = None,
) -> JourneyBody:
    """One journey, step by step, with its deliveries and what operators did."""
    caller.check(journey.partition("/")[0])
    return JourneyBody.model_validate(as_json.journey(await client.show(journey, run)))


def _mistake(where: str, sentence: str) -> Problem:
    pointer = where if where.startswith("/") else f"query:{where}"
    return Problem("invalid", sentence, [Mistake(pointer=pointer, code="combination", detail=sentence)])
