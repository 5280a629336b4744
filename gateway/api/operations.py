"""``/v1/operations``: operations on many journeys, in the background."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from gateway.api.app_state import Client
from gateway.api.authorization import Operating, Reading
from gateway.api.cursor import Cursor, Limit
from gateway.api.idempotency import RequestId
from gateway.api.journeys import LONGEST_OPERATOR, MoreBody
from gateway.api.moment import Moment
from gateway.api.problem import Problem, problems
from gateway.client import ScenarioClient
from gateway.errors import BadCursor, UnknownOperation
from gateway.operations.batch import RATE
from gateway.operations.progress import OperationState, OperationView
from gateway.operations.request import FASTEST
from gateway.operations.verbs import VERBS, Word
from gateway.service.caller import Caller
from gateway.service.index import JourneyFilter
from gateway.service.paging import decode_cursor, encode_cursor
from runtime.store import OperationItem
from workflows.operation import SLOWEST

router = APIRouter(tags=["operations"])

Id = Annotated[str, Path(alias="id", min_length=1, max_length=80, description="The operation's id")]
Outcome = Literal["accepted", "refused", "unanswered", "stopped", "not_asked"]


class WhichBody(BaseModel):
    """What the journeys have in common; at least one of these.

    Attributes:
        scenario: The scenario's name. Keys for some scenarios need it; so does `migrate`.
        version: Its version's number.
        contact: The contact's id.
        destination: Held ones: what could not be delivered to, a destination's name or a host. Others: whom their
            scenario sends to. All that `retune` takes.
        reason: Held ones: why, in one word.
        step: Held ones: the step's id. Of `migrate`: the step at which they stand.
        since: Held ones: held then or later. Others: let in then or later.
        operation: Of `resume`: id of an earlier `pause`. Exactly the journeys that it paused go on.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    scenario: str | None = Field(None, min_length=1, max_length=100, examples=["post-purchase"])
    version: int | None = Field(None, ge=1, le=2**31 - 1)
    contact: str | None = Field(None, min_length=1, max_length=300)
    destination: str | None = Field(None, min_length=1, max_length=300)
    reason: str | None = Field(None, min_length=1, max_length=50, examples=["exhausted"])
    step: str | None = Field(None, min_length=1, max_length=300)
    since: Moment | None = None
    operation: str | None = Field(None, min_length=1, max_length=100)


class ManyBody(MoreBody):
    """An operation on many journeys.

    Attributes:
        operation: What is done with them. `retry`, `skip` and `leave` find held ones; `pause` those that are not
            paused, `resume` those that are; `retune` those with a delivery to the destination under way; `migrate`
            those that follow another version.
        which: JourneyFilter journeys.
        reason: Why, for the record.
        operator: Who; the record names the key, too.
        rate: Journeys a second at most.
        limit: So many at most: try three before all.
        dry_run: Only look for them.
        everybody: Of `leave`: all that are under way, held or not.
    """

    operation: Word
    which: WhichBody
    reason: str = Field(min_length=1, max_length=500, examples=["the receiver is back"])
    operator: str | None = Field(None, min_length=1, max_length=LONGEST_OPERATOR, examples=["ann"])
    rate: float = Field(RATE, ge=SLOWEST, le=FASTEST)
    limit: int | None = Field(None, ge=1, le=2**31 - 1)
    dry_run: bool = False
    everybody: bool = False


class StopBody(BaseModel):
    """Why an operation is stopped.

    Attributes:
        reason: Why, for the record.
        operator: Who; the record names the key, too.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    reason: str = Field(min_length=1, max_length=500)
    operator: str | None = Field(None, min_length=1, max_length=LONGEST_OPERATOR)


class OperationBody(BaseModel):
    """How an operation goes. `total` is `accepted`, `refused`, `unanswered` and `left` together.

    Attributes:
        id: Its id.
        operation: What is done with the journeys.
        which: JourneyFilter journeys, as they were asked for.
        more: What else the operation takes.
        operator: Who asked for it.
        reason: Why.
        rate: Journeys a second at most.
        limit: So many at most.
        dry_run: Whether it only looks for them.
        everybody: Whether all under way are meant, held or not.
        state: What it is doing, or how it has ended.
        total: How many journeys it has found.
        accepted: How many accepted.
        refused: How many did not: they were over, say, or not held any more.
        unanswered: How many were asked and have not answered; as long as it runs, they are asked again.
        left: How many were not asked, or not yet.
        since: When it was asked for.
        ended_at: When it was over.
        trouble: What is in its way, or why it failed: a sentence.
        stopped_by: Who stopped it.
        stop_reason: Why.
    """

    id: str
    operation: str
    which: dict[str, Any]
    more: dict[str, Any]
    operator: str
    reason: str
    rate: float
    limit: int | None
    dry_run: bool
    everybody: bool
    state: OperationState
    total: int
    accepted: int
    refused: int
    unanswered: int
    left: int
    since: datetime
    ended_at: datetime | None
    trouble: str | None
    stopped_by: str | None
    stop_reason: str | None


class OperationsBody(BaseModel):
    """A page of operations."""

    items: list[OperationBody]
    next: str | None = Field(description="The `cursor` of the next page; null where there is none")


class ItemBody(BaseModel):
    """One journey of an operation.

    Attributes:
        journey: Its id.
        step: The step that it was found at, if that matters: it is hit at no other.
        outcome: What it answered; `stopped`: it was never asked; null as long as it has not answered.
        reason: Why it refused, or did not answer.
        answered_at: When.
    """

    journey: str
    step: str | None
    outcome: str | None
    reason: str | None
    answered_at: datetime | None


class ItemsBody(BaseModel):
    """A page of an operation's journeys."""

    items: list[ItemBody]
    next: str | None = Field(description="The `cursor` of the next page; null where there is none")


class _Place(TypedDict):
    operation: str


class _ItemPlace(TypedDict):
    number: Annotated[int, Field(ge=0, le=2**31 - 1)]
    journey: str


_BEGUN: dict[int | str, dict[str, Any]] = {
    202: {"headers": {"Location": {"description": "Where it is looked at", "schema": {"type": "string"}}}}
}


@router.post("/operations", status_code=202, responses=_BEGUN)
async def begin_operation(
    body: ManyBody, client: Client, caller: Operating, request: RequestId, response: Response
) -> OperationBody:
    """Begins an operation on all journeys that fit. It goes on by itself, also over a restart of this server."""
    caller.check(body.which.scenario, "which.scenario")
    begun = await client.operate(
        VERBS[body.operation],
        JourneyFilter(**dict(body.which)),
        operator=caller.operator(body.operator),
        reason=body.reason,
        rate=body.rate,
        limit=body.limit,
        dry_run=body.dry_run,
        everybody=body.everybody,
        identifier=request and request.hex,
        **body.more(),
    )
    response.headers["location"] = f"/v1/operations/{begun.id}"
    return _body(begun)


@router.get("/operations")
async def list_operations(client: Client, caller: Reading, limit: Limit = 50, cursor: Cursor = None) -> OperationsBody:
    """Operations, the newest first. A key for some scenarios sees those on their journeys."""
    after = decode_cursor(cursor, _Place)["operation"] if cursor else None
    try:
        found = await client.operations(after=after, limit=limit + 1)
    except UnknownOperation:
        raise BadCursor() from None
    page = found[:limit]
    following = encode_cursor({"operation": page[-1].id}) if len(found) > limit else None
    return OperationsBody(
        items=[_body(item) for item in page if caller.may_use(item.which.get("scenario"))], next=following
    )


@router.get("/operations/{id}", responses=problems("not-found"))
async def show_operation(operation: Id, client: Client, caller: Reading) -> OperationBody:
    """How an operation goes."""
    return _body(await _seen(operation, client, caller))


@router.get("/operations/{id}/items", responses=problems("not-found"))
async def list_operation_items(
    operation: Id,
    client: Client,
    caller: Reading,
    outcome: Annotated[Outcome | None, Query(description="Only those with this outcome")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> ItemsBody:
    """The journeys of an operation, in the order in which they are asked, and what each answered."""
    await _seen(operation, client, caller)
    place = decode_cursor(cursor, _ItemPlace) if cursor else None
    found = await client.operation_items(
        operation, outcome=outcome, after=place and (place["number"], place["journey"]), limit=limit + 1
    )
    page = found[:limit]
    last = page[-1] if len(found) > limit else None
    following = encode_cursor({"number": last.number, "journey": last.workflow_id}) if last else None
    return ItemsBody(items=[_item(item) for item in page], next=following)


@router.post("/operations/{id}/stop", responses=problems("not-found", "not-accepted"))
async def stop_operation(operation: Id, body: StopBody, client: Client, caller: Operating) -> OperationBody:
    """Stops an operation within a second or two. What was done stays done; who was not asked stays as it was."""
    await _seen(operation, client, caller)
    operator = caller.operator(body.operator)
    return _body(await client.stop_operation(operation, operator=operator, reason=body.reason))


async def _seen(operation: str, client: ScenarioClient, caller: Caller) -> OperationView:
    seen = await client.operation(operation)
    if not caller.may_use(seen.which.get("scenario")):
        raise Problem("forbidden", "this key is for some scenarios, and the operation is not about one of them")
    return seen


def _body(seen: OperationView) -> OperationBody:
    return OperationBody.model_validate({**vars(seen), "operation": seen.word})


def _item(item: OperationItem) -> ItemBody:
    return ItemBody(
        journey=item.workflow_id,
        step=item.step,
        outcome=item.outcome,
        reason=item.reason,
        answered_at=item.answered_at,
    )
