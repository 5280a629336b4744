"""Routes of subscriptions to outgoing events: their progress, held events, and operations."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import Field

from gateway.api.authorization import Operating, Reading
from gateway.api.body import RequestBody
from gateway.api.idempotency import RequestId
from gateway.api.parameters import Use
from gateway.api.problem import problems
from gateway.service.operation_views import OperationView
from gateway.service.outgoing import OperatorRecord, SubscriptionEventsView, SubscriptionView
from scenario.words import OutgoingOperation

router = APIRouter(prefix="/outgoing", tags=["outgoing"])
Name = Annotated[
    str, Path(min_length=1, max_length=64, description="The subscription's name in outgoing.yaml", examples=["crm"])
]


class OutgoingBody(RequestBody):
    """An operation on a subscription to outgoing events."""

    reason: str = Field(min_length=1, max_length=500, examples=["the receiver is repaired"])
    """The reason to record."""
    operator: str | None = Field(None, min_length=1, max_length=480)
    """The operator to record, besides the key."""
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
