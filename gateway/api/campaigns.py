"""Routes of campaigns: their progress, their lines, and operations on them. They are started from the command line."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Path, Query
from pydantic import Field

from gateway.api.authorization import Operating, Reading
from gateway.api.body import RequestBody
from gateway.api.parameters import Paging, Use
from gateway.api.problem import problems
from gateway.service.campaign_views import CampaignLineView, CampaignOperation, CampaignView
from gateway.service.view import PageView
from scenario.words import LineOutcome

router = APIRouter(tags=["campaigns"])

_LONGEST_OPERATOR: Final = 480  # characters; the record adds the key
Name = Annotated[str, Path(alias="name", min_length=1, max_length=64, description="The campaign's name")]


class CampaignOperationBody(RequestBody):
    """An operation on a campaign."""

    reason: str = Field(min_length=1, max_length=500, examples=["the shop is down"])
    """The reason to record."""
    operator: str | None = Field(None, min_length=1, max_length=_LONGEST_OPERATOR)
    """The operator to record, besides the key."""
    rate: float | None = Field(None, examples=[50])
    """For `retune`: the maximum number of lines a second."""


@router.get("/campaigns")
async def list_campaigns(use: Use, caller: Reading, page: Paging) -> PageView[CampaignView]:
    """List campaigns, the newest first. A key for some scenarios sees theirs."""
    return await use.campaigns.list(caller, page)


@router.get("/campaigns/{name}", responses=problems("not-found"))
async def show_campaign(campaign: Name, use: Use, caller: Reading) -> CampaignView:
    """Return a campaign's progress or result."""
    return await use.campaigns.show(caller, campaign)


@router.get("/campaigns/{name}/items", responses=problems("not-found"))
async def list_campaign_items(
    campaign: Name,
    use: Use,
    caller: Reading,
    page: Paging,
    outcome: Annotated[LineOutcome | None, Query(description="Only those with this outcome")] = None,
) -> PageView[CampaignLineView]:
    """List the lines of a campaign's file in their order, with their outcomes."""
    return await use.campaigns.lines(caller, campaign, page, outcome)


@router.post("/campaigns/{name}/{operation}", responses=problems("not-found", "not-accepted", "no-answer"))
async def operate_campaign(
    campaign: Name,
    operation: Annotated[CampaignOperation, Path(description="The action on the campaign")],
    body: CampaignOperationBody,
    use: Use,
    caller: Operating,
) -> CampaignView:
    """Pause, resume, retune or stop a campaign. `pause` and `stop` wait for starts in progress."""
    operator = caller.operator(body.operator)
    return await use.campaigns.change(
        caller, campaign, operation, operator=operator, reason=body.reason, rate=body.rate
    )
