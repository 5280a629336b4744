"""The pages of campaigns: the list, one campaign with its lines, and forms that start and change one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import PurePath
from typing import Final
from zoneinfo import ZoneInfo

from starlette.datastructures import UploadFile
from starlette.responses import Response, StreamingResponse

from gateway.pages.page import Do, Form, Page, Show, at_field, does, existing, field, go_to, reason_in, shows
from scenario.words import LINE_OUTCOMES
from service.campaigns.views import CampaignLineView, CampaignOperation, CampaignRequest, CampaignView

UPLOAD: Final = "/campaigns/-/new"  # the form that uploads a file. No campaign is called so
_PART: Final = 256 * 1024  # bytes
_USUAL_RATE: Final = 100.0
_NO_TIME: Final = "the time is a date and a time: such as 2026-11-27T09:00"
_NO_RATE: Final = "the rate is a number of lines a second"
_CHANGES: Final[tuple[tuple[CampaignOperation, str], ...]] = (  # the operations on a campaign, and their effects
    ("start", "It starts at its rate, or at its time if that is later."),
    ("pause", "No further journey is started until the campaign is resumed. Journeys that were started continue."),
    ("resume", "The campaign continues at its rate."),
    ("retune", "The new rate applies at once."),
    ("stop", "The remaining lines are skipped. Journeys that were started continue, unless you end them, too."),
)


async def _list(page: Page) -> Response:
    found = await page.use.campaigns.list(page.caller, page.range)
    return page.render("campaigns.html", campaigns=found.items, older=page.following(found.next))


async def _show(page: Page) -> Response:
    view = await _campaign(page)
    outcome = page.choice("outcome", LINE_OUTCOMES)
    found = await page.use.campaigns.lines(page.caller, view.name, page.range, outcome)
    return page.render(
        "campaign.html",
        campaign=view,
        at=f"/campaigns/{view.name}",
        lines=found.items,
        outcome=outcome,
        older=page.following(found.next),
        takes=_span(view.estimate.seconds) if view.estimate else None,
        left=None if view.seconds_left is None else _span(view.seconds_left),
    )


def _span(seconds: float) -> timedelta:
    return timedelta(seconds=round(seconds) or 1)


async def _export(page: Page) -> Response:
    view = await _campaign(page)
    outcome = page.choice("outcome", LINE_OUTCOMES)

    async def text() -> AsyncIterator[str]:
        first = True
        async for lines in page.use.campaigns.all_lines(page.caller, view.name, outcome):
            yield CampaignLineView.as_csv(lines, header=first, for_spreadsheets=True)
            first = False

    name = f"{view.name}{f'-{outcome}' if outcome else ''}.csv"
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(text(), media_type="text/csv", headers=headers)


def _form(change: CampaignOperation, effect: str) -> Show:
    async def show(page: Page) -> Response:
        view = await _campaign(page)
        return page.render("campaign_change.html", campaign=view, change=change, effect=effect)

    return show


def _change(change: CampaignOperation) -> Do:
    async def take(page: Page, form: Form) -> Response:
        view = await _campaign(page)
        rate = field(form, "rate", float, _NO_RATE) if change == "retune" else None
        leave = "leave" in form
        await page.use.campaigns.change(
            page.caller, view.name, change, operator=page.caller.name, reason=reason_in(form), rate=rate, leave=leave
        )
        return go_to("/operations" if leave else f"/campaigns/{view.name}")

    return take


async def _begin_form(page: Page) -> Response:
    versions = await page.use.scenarios.latest(page.caller)
    return page.render("campaign_new.html", scenarios=[one.scenario for one in versions if one.newest], at=UPLOAD)


async def _begin(page: Page, form: Form) -> Response:
    file = (await page.request.form()).get("file")
    if not isinstance(file, UploadFile) or not file.filename:
        raise at_field("file", "choose the file of contacts")
    local, scenario = "local" in form, form.get("scenario", "")
    at = field(form, "at", datetime.fromisoformat, _NO_TIME)
    if at is not None and at.tzinfo is None and not local:
        at = at.replace(tzinfo=ZoneInfo(page.client.platform.zone))
    campaigns = page.use.campaigns
    audience = await campaigns.audiences.add(page.caller, PurePath(file.filename).name, _parts(file))
    request = CampaignRequest(
        name=form.get("name", "").strip() or scenario,
        scenario=scenario,
        audience=audience.name,
        operator=page.caller.name,
        rate=field(form, "rate", float, _NO_RATE) or _USUAL_RATE,
        starts_at=None if local else at,
        local_start=at if local else None,
        accept="accept" in form,
        ask=True,
    )
    view = await campaigns.begin(page.caller, request, audience)
    return go_to(f"/campaigns/{view.name}")


async def _parts(file: UploadFile) -> AsyncIterator[bytes]:
    while part := await file.read(_PART):
        yield part


async def _campaign(page: Page) -> CampaignView:
    return await existing(page.use.campaigns.show(page.caller, page.request.path_params["campaign"]), "campaign")


ROUTES: Final = (
    shows("/campaigns", _list),
    shows(UPLOAD, _begin_form),
    does(UPLOAD, _begin, work="waiting", files=1, form_page=_begin_form),
    shows("/campaigns/{campaign}", _show),
    shows("/campaigns/{campaign}/results.csv", _export),
    *(shows(f"/campaigns/{{campaign}}/{change}", _form(change, effect)) for change, effect in _CHANGES),
    *(
        does(f"/campaigns/{{campaign}}/{change}", _change(change), form_page=_form(change, effect))
        for change, effect in _CHANGES
    ),
)
