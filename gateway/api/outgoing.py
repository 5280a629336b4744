"""Routes of outgoing events: subscriptions, their held events, operations on them, and the feed for engines."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field

from gateway.api.authentication import Operating, Reading
from gateway.api.batch import LINES
from gateway.api.body import RecordBody, Use
from gateway.api.idempotency import RequestId
from gateway.api.problem import problems
from scenario.words import EventType, OutgoingOperation
from service.operations.views import OperationView
from service.outgoing import LONGEST_WAIT, OperatorRecord, SubscriptionEventsView, SubscriptionView

router = APIRouter(prefix="/outgoing", tags=["outgoing"])
Name = Annotated[
    str, Path(min_length=1, max_length=64, description="The subscription's name in outgoing.yaml", examples=["crm"])
]


class OutgoingBody(RecordBody):
    """An operation on a subscription to outgoing events."""

    events: list[Annotated[str, Field(min_length=1, max_length=100)]] | None = Field(
        None, min_length=1, max_length=1000
    )
    """For `retry` and `skip`: ids of held events. `retry` without ids retries all."""
    after: str | None = Field(None, min_length=1, max_length=20, examples=["00000000000000004711"])
    """For `replay`: the `sequence` of the last event that is not to be sent again."""


@router.get("")
async def list_outgoing(use: Use, caller: Reading) -> list[SubscriptionView]:
    """List the subscriptions that ever sent an outgoing event, by name. The key must be for all scenarios."""
    return await use.outgoing.subscriptions(caller)


@router.get("/{name}", responses=problems("not-found"))
async def show_outgoing(name: Name, use: Use, caller: Reading) -> SubscriptionEventsView:
    """Return a subscription with its events that are held or attempted again."""
    return await use.outgoing.show(caller, name)


@router.post("/{name}/{operation}", responses=problems("not-found", "not-accepted"))
async def operate_outgoing(
    name: Name,
    operation: Annotated[OutgoingOperation, Path(description="The action on the subscription")],
    body: OutgoingBody,
    use: Use,
    caller: Operating,
    request: RequestId,
) -> OperationView:
    """Retry or skip held events, send events again from a cursor on, or forget a subscription that was removed.

    Workers begin within seconds. The operation is recorded among the others.
    """
    return await use.outgoing.operate(
        caller,
        name,
        operation,
        OperatorRecord(reason=body.reason, operator=body.operator, identifier=request and request.hex),
        ids=body.events or (),
        after=body.after,
    )


CURSOR: Final = "Feed-Cursor"  # the response header with the cursor to continue at
feed = APIRouter(tags=["feed"])


@feed.get(
    "/feed",
    response_class=Response,
    responses={
        **problems("not-found"),
        200: {
            "content": {LINES: {"schema": {"type": "string"}}},
            "headers": {CURSOR: {"description": "The `after` of the next request", "schema": {"type": "string"}}},
        },
    },
)
async def read_feed(
    request: Request,
    use: Use,
    caller: Reading,
    after: Annotated[
        str | None,
        Query(
            max_length=20,
            description="The `Feed-Cursor` of the answer before, or the `sequence` of the last event; `latest` for "
            "events from now on; without it, from the oldest event that is kept",
        ),
    ] = None,
    types: Annotated[list[EventType] | None, Query(alias="type", description="Only events of these types")] = None,
    scenarios: Annotated[
        list[str] | None, Query(alias="scenario", max_length=100, description="Only events of these scenarios")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Maximum number of events")] = 100,
    wait: Annotated[
        float, Query(ge=0, le=LONGEST_WAIT, description="Seconds to wait for an event if there is none yet")
    ] = 0.0,
) -> Any:
    """Return outgoing events in order, each as a CloudEvent on a line. A key for some scenarios gets theirs."""
    part = await use.outgoing.feed(
        caller, after, types=types, scenarios=scenarios, limit=limit, wait=wait, gone=request.is_disconnected
    )
    return Response(b"".join(line + b"\n" for line in part.lines), media_type=LINES, headers={CURSOR: part.cursor})
