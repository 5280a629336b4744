"""Routes of audiences that scenarios keep in sync at other systems."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import Field

from gateway.api.authorization import Operating, Reading
from gateway.api.body import RequestBody
from gateway.api.parameters import Use
from gateway.api.problem import problems
from gateway.service.memberships import SyncedAudienceView

router = APIRouter(prefix="/synced-audiences", tags=["audiences"])
DestinationName = Annotated[str, Path(min_length=1, max_length=64, description="The destination", examples=["meta"])]
AudienceName = Annotated[
    str, Path(min_length=1, max_length=100, description="The audience's name", examples=["vip-buyers"])
]


class AudienceRetryBody(RequestBody):
    """A request to send a held audience again."""

    reason: str = Field(min_length=1, max_length=500, examples=["the terms are accepted"])
    """The reason to record."""
    operator: str | None = Field(None, min_length=1, max_length=480)
    """The operator to record, besides the key."""


@router.get("")
async def list_synced_audiences(use: Use, caller: Reading) -> list[SyncedAudienceView]:
    """List the audiences that scenarios have changed at other systems. The key must be for all scenarios."""
    return await use.memberships.find(caller)


@router.post("/{destination}/{audience}/retry", responses=problems("not-found"))
async def retry_audience(
    destination: DestinationName, audience: AudienceName, body: AudienceRetryBody, use: Use, caller: Operating
) -> SyncedAudienceView:
    """Send a held audience, and changes that were refused, again. Workers begin within half a minute."""
    return await use.memberships.retry(caller, audience, destination, operator=body.operator, reason=body.reason)
