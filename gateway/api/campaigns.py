"""Routes of campaigns: files of contacts, starts, progress, lines, operations; and of audiences in sync elsewhere."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request, status
from pydantic import Field
from starlette.responses import StreamingResponse

from authoring.errors import BadInput
from gateway.api.authentication import Operating, Reading
from gateway.api.batch import LINES
from gateway.api.body import Operator, Paging, RecordBody, RequestBody, Use
from gateway.api.problem import problems
from scenario.words import LineOutcome
from service.audiences import AudienceView
from service.batches import SyncedAudienceView
from service.campaigns.views import CampaignLineView, CampaignOperation, CampaignRequest, CampaignView
from service.view import PageView

router = APIRouter(tags=["campaigns"])
Name = Annotated[str, Path(alias="name", min_length=1, max_length=64, description="The campaign's name")]
File = Annotated[str, Path(min_length=1, max_length=200, description="The file's name", examples=["people.csv"])]


class CampaignBody(RequestBody):
    """A campaign to be started."""

    scenario: str = Field(min_length=1, max_length=120, examples=["sale"])
    """A published scenario, or `name@version`."""
    audience: str = Field(min_length=1, max_length=200, examples=["people.csv"])
    """The name of a file that this key has uploaded."""
    name: str | None = Field(None, min_length=1, max_length=64, examples=["advent-2026"])
    """The campaign's name, which is the key of its journeys; the scenario's without it."""
    rate: float = Field(100.0, examples=[200])
    """Maximum number of lines a second."""
    at: str | None = Field(None, max_length=40, examples=["2026-11-27T09:00:00+01:00"])
    """Date and time of the start, in ISO 8601: with an offset, or without one for `local`."""
    local: bool = False
    """Start for each contact when the contact's own clock shows `at`."""
    accept: bool = False
    """Start even if more than 1 % of the lines are invalid."""
    check: bool = False
    """Wait for the operation `start` once the file was read."""
    gear: Literal["enter"] | None = None
    """`enter`: start a journey for each line; by default the fastest gear for the scenario."""
    encoding: str | None = Field(None, max_length=40, examples=["cp1250"])
    """The encoding of CSV; by default UTF-8, else cp1252."""
    digest: str | None = Field(None, max_length=64)
    """The SHA-256 that the file must have, in hex."""
    operator: Operator = None
    """The operator to record, besides the key."""


class CampaignOperationBody(RecordBody):
    """An operation on a campaign."""

    rate: float | None = Field(None, examples=[50])
    """For `retune`: the maximum number of lines a second."""
    leave: bool = False
    """For `stop`, also of a campaign that has ended: end the journeys that it started, too."""


@router.put(
    "/audiences/{file}",
    responses=problems("too-large"),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def upload_audience(file: File, request: Request, use: Use, caller: Operating) -> AudienceView:
    """Upload a file of contacts for a campaign of this key. The body is the file; its name tells its form."""
    return await use.campaigns.audiences.upload(caller, file, request.stream())


@router.post(
    "/campaigns", status_code=status.HTTP_202_ACCEPTED, responses=problems("forbidden", "invalid", "not-accepted")
)
async def start_campaign(body: CampaignBody, use: Use, caller: Operating) -> CampaignView:
    """Start a campaign. A gateway first reads the file. Repeated, the request returns the existing campaign."""
    at = _moment(body.at)
    if body.local and at is None:
        raise BadInput("a local start needs 'at': such as 2026-11-27T09:00", at=["local"])
    request = CampaignRequest(
        name=body.name or body.scenario.partition("@")[0],
        scenario=body.scenario,
        audience=body.audience,
        operator=caller.operator(body.operator),
        rate=body.rate,
        digest=body.digest,
        encoding=body.encoding,
        starts_at=None if body.local else at,
        local_start=at if body.local else None,
        accept=body.accept,
        ask=body.check,
        gear=body.gear,
    )
    return await use.campaigns.begin(caller, request)


def _moment(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        raise BadInput("'at' is no date and time: write such as 2026-11-27T09:00:00+01:00", at=["at"]) from None


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


@router.get(
    "/campaigns/{name}/results",
    response_class=StreamingResponse,
    responses={
        **problems("not-found"),
        200: {"content": {"text/csv": {"schema": {"type": "string"}}, LINES: {"schema": {"type": "string"}}}},
    },
)
async def export_campaign_results(
    campaign: Name,
    use: Use,
    caller: Reading,
    form: Annotated[
        Literal["csv", "ndjson"], Query(alias="format", description="CSV, or a JSON object a line")
    ] = "csv",
    outcome: Annotated[LineOutcome | None, Query(description="Only those with this outcome")] = None,
) -> StreamingResponse:
    """Return all lines of a campaign's file in their order, with their outcomes. The answer may be long."""
    await use.campaigns.show(caller, campaign)

    async def text() -> AsyncGenerator[str]:
        first = True
        async for lines in use.campaigns.all_lines(caller, campaign, outcome):
            if form == "csv":
                yield CampaignLineView.as_csv(lines, header=first)
            else:
                yield "".join(f"{line.model_dump_json()}\n" for line in lines)
            first = False

    return StreamingResponse(text(), media_type="text/csv" if form == "csv" else LINES)


@router.post("/campaigns/{name}/{operation}", responses=problems("not-found", "not-accepted", "no-answer"))
async def operate_campaign(
    campaign: Name,
    operation: Annotated[CampaignOperation, Path(description="The action on the campaign")],
    body: CampaignOperationBody,
    use: Use,
    caller: Operating,
) -> CampaignView:
    """Start, pause, resume, retune or stop a campaign. `pause` and `stop` wait for starts in progress."""
    operator = caller.operator(body.operator)
    return await use.campaigns.change(
        caller, campaign, operation, operator=operator, reason=body.reason, rate=body.rate, leave=body.leave
    )


audiences = APIRouter(prefix="/synced-audiences", tags=["audiences"])
DestinationName = Annotated[str, Path(min_length=1, max_length=64, description="The destination", examples=["meta"])]
AudienceName = Annotated[
    str, Path(min_length=1, max_length=100, description="The audience's name", examples=["vip-buyers"])
]


class AudienceRetryBody(RecordBody):
    """A request to send a held audience again."""


@audiences.get("")
async def list_synced_audiences(use: Use, caller: Reading) -> list[SyncedAudienceView]:
    """List the audiences that scenarios have changed at other systems. The key must be for all scenarios."""
    return await use.memberships.find(caller)


@audiences.post("/{destination}/{audience}/retry", responses=problems("not-found"))
async def retry_audience(
    destination: DestinationName, audience: AudienceName, body: AudienceRetryBody, use: Use, caller: Operating
) -> SyncedAudienceView:
    """Send a held audience, and changes that were refused, again. Workers begin within half a minute."""
    return await use.memberships.retry(caller, audience, destination, operator=body.operator, reason=body.reason)
