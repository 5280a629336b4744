"""Routes of operations: on one journey, and on many in the background."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import Field, StrictFloat, StrictInt, StrictStr

from gateway.api.authentication import Operating, Reading
from gateway.api.body import JourneyId, Map, Paging, RecordBody, RequestBody, Use
from gateway.api.idempotency import RequestId
from gateway.api.problem import problems
from scenario.words import Operation, OutgoingOperation
from service.index import JourneyFilter
from service.operations.request import FASTEST, RATE, RequestedOperation
from service.operations.views import ItemOutcome, OperatedView, OperationItemView, OperationView
from service.view import Moment, PageView
from workflows.operation import SLOWEST

router = APIRouter(tags=["operations"])
on_journeys = APIRouter(tags=["journeys"])
Id = Annotated[str, Path(alias="id", min_length=1, max_length=80, description="The operation's id")]
_Version = Annotated[int, Field(ge=1, le=2**31 - 1)]


class ArgumentsBody(RequestBody):
    """The arguments of operations besides operator and reason."""

    version: _Version | Literal["newest"] | None = None
    """For `retry`: render again, with this version's templates. For `migrate`: the target version; by default the
    newest."""
    now: bool | None = None
    """For `retry`: ignore quiet hours, windows and caps."""
    anew: bool | None = None
    """For `retry`, of a step whose response was refused (`refused_answer`): send it under a new delivery id."""
    retry: Map[dict[str, StrictInt | StrictFloat | StrictStr]] | None = Field(
        None, examples=[{"maximum_interval": "1h"}]
    )
    """For `retune`: the changes of the retry policy: `initial_interval`, `backoff_coefficient`, `maximum_interval`,
    `maximum_attempts`, `deadline`. Durations as `90s` or in seconds."""
    map: Map[dict[str, str]] | None = Field(None, examples=[{"wait-2": "wait-3"}])
    """For `migrate`: new ids of steps by their old ones."""
    waits: Literal["keep", "restart"] | None = None
    """For `migrate`: `keep` counts a wait from its start, `restart` from the migration."""

    def arguments(self) -> dict[str, Any]:
        return self.model_dump(include=set(ArgumentsBody.model_fields), exclude_none=True)


class OperateBody(ArgumentsBody, RecordBody):
    """An operation on one journey."""

    step: str | None = Field(None, min_length=1, max_length=300)
    """Only if the journey is at this step."""
    destination: str | None = Field(None, min_length=1, max_length=300)
    """For `retune`: only if the delivery in progress goes there."""


class WhichBody(RequestBody):
    """Filters that select journeys; at least one is needed."""

    scenario: str | None = Field(None, min_length=1, max_length=100, examples=["post-purchase"])
    """The scenario's name. Required for `migrate`, and for keys that are limited to some scenarios."""
    version: _Version | None = None
    """The number of the journey's version."""
    contact: str | None = Field(None, min_length=1, max_length=300)
    """The contact's id."""
    destination: str | None = Field(None, min_length=1, max_length=300)
    """For held and retrying journeys: the name or host of the destination that could not be delivered to. For others:
    the destination that their scenario sends to. The only filter of `retune`."""
    reason: str | None = Field(None, min_length=1, max_length=50, examples=["exhausted"])
    """For held journeys: the cause, as one word."""
    step: str | None = Field(None, min_length=1, max_length=300)
    """The step's id, for held and retrying journeys and for `migrate`."""
    state: Literal["held", "retrying"] | None = None
    """For `skip` and `leave`: the state of the journeys. By default they are held."""
    since: Moment | None = None
    """For held journeys: held since then. For others: admitted since then."""
    operation: str | None = Field(None, min_length=1, max_length=100)
    """For `resume`: the id of an earlier `pause`. Selects exactly the journeys that it paused."""


class BeginBody(ArgumentsBody, RecordBody):
    """An operation on many journeys."""

    operation: Operation
    """The action on each journey. `retry`, `skip` and `leave` find held journeys, the last two also retrying ones;
    `pause` those that are not paused, `resume` those that are; `retune` those with a delivery to the destination in
    progress; `migrate` those of other versions."""
    which: WhichBody
    """Filters that select the journeys."""
    rate: float = Field(RATE, ge=SLOWEST, le=FASTEST)
    """Maximum number of journeys a second."""
    limit: int | None = Field(None, ge=1, le=2**31 - 1)
    """Maximum number of journeys. Try three before all."""
    dry_run: bool = False
    """Only find the journeys."""
    everybody: bool = False
    """For `leave`: all running journeys, held or not."""
    unknown: bool = False
    """For `retry`: also messages that may have been delivered (`unknown`), which are left out otherwise. What the log
    of attempts has as delivered is not sent again."""


class StopBody(RecordBody):
    """The reason why an operation is stopped."""


_BEGUN: dict[int | str, dict[str, Any]] = {
    202: {"headers": {"Location": {"description": "The path of the operation", "schema": {"type": "string"}}}}
}


@router.post("/operations", status_code=202, responses=_BEGUN)
async def begin_operation(
    body: BeginBody, use: Use, caller: Operating, request: RequestId, response: Response
) -> OperationView:
    """Begin an operation on all matching journeys. It continues in the background, also after a restart."""
    operator, which = caller.operator(body.operator), JourneyFilter(**dict(body.which))
    values = body.model_dump(include={"operation", "reason", "rate", "limit", "dry_run", "everybody", "unknown"})
    wanted = RequestedOperation(which=which, operator=operator, more=body.arguments(), **values)
    begun = await use.operations.begin(caller, wanted, request and request.hex)
    response.headers["location"] = f"/v1/operations/{begun.id}"
    return begun


@router.get("/operations")
async def list_operations(
    use: Use,
    caller: Reading,
    page: Paging,
    scenario: Annotated[str | None, Query(max_length=100, description="Only those on this scenario's journeys")] = None,
    operation: Annotated[Operation | OutgoingOperation | None, Query(description="Only those with this action")] = None,
    operator: Annotated[str | None, Query(max_length=500, description="Only those with this in the operator")] = None,
    destination: Annotated[str | None, Query(max_length=300, description="Only those on this destination")] = None,
    since: Annotated[Moment | None, Query(description="Only those requested then or later")] = None,
) -> PageView[OperationView]:
    """List operations, the newest first. A key for some scenarios sees those on their journeys."""
    return await use.operations.list(
        caller, page, scenario=scenario, operation=operation, operator=operator, destination=destination, since=since
    )


@router.get("/operations/{id}", responses=problems("not-found"))
async def show_operation(operation: Id, use: Use, caller: Reading) -> OperationView:
    """Return an operation's progress or result."""
    return await use.operations.show(caller, operation)


@router.get("/operations/{id}/items", responses=problems("not-found"))
async def list_operation_items(
    operation: Id,
    use: Use,
    caller: Reading,
    page: Paging,
    outcome: Annotated[ItemOutcome | None, Query(description="Only those with this outcome")] = None,
) -> PageView[OperationItemView]:
    """List the journeys of an operation in the order in which they are asked, with their answers."""
    return await use.operations.items(caller, operation, page, outcome)


@router.post("/operations/{id}/stop", responses=problems("not-found", "not-accepted"))
async def stop_operation(operation: Id, body: StopBody, use: Use, caller: Operating) -> OperationView:
    """Stop an operation within a second or two. Journeys that were asked keep their result; the others are left."""
    return await use.operations.stop(caller, operation, operator=caller.operator(body.operator), reason=body.reason)


@on_journeys.post("/journeys/{id:path}/{operation}", responses=problems("not-found", "not-accepted", "no-answer"))
async def operate_journey(
    journey: JourneyId,
    operation: Annotated[Operation, Path(description="The action on the journey")],
    body: OperateBody,
    use: Use,
    caller: Operating,
    request: RequestId,
) -> OperatedView:
    """Retry or skip a step, or end, pause, resume, retune or migrate a journey.

    The journey accepts or refuses immediately (409). If no worker answers in time (503), a worker may still carry the
    operation out later. Look at the journey before you repeat it, or repeat it with the same `Idempotency-Key`.
    """
    return await use.operations.operate(
        caller,
        journey,
        operation,
        operator=caller.operator(body.operator),
        reason=body.reason,
        step=body.step,
        destination=body.destination,
        update_id=request and str(request),
        more=body.arguments(),
    )
