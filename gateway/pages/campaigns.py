"""The pages of campaigns: the list, one campaign with its lines, and forms that pause, resume, retune or stop it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from starlette.responses import Response

from gateway.api.problem import Problem
from gateway.errors import Forbidden, UnknownOperation
from gateway.pages.page import Do, Form, Page, Show, does, field, go_to, reason_in, shows
from gateway.pages.rendering import link
from gateway.service.campaign_views import CampaignOperation, CampaignView
from gateway.service.paging import PageRequest
from scenario.words import LINE_OUTCOMES, LineOutcome

LISTED: Final = 50
"""Campaigns, or lines of one, per page."""
_NO_RATE: Final = "the rate is a number of lines a second"
_OUTCOMES: Final[Mapping[str, LineOutcome]] = {word: word for word in LINE_OUTCOMES}
_CHANGES: Final[tuple[tuple[CampaignOperation, str], ...]] = (
    ("pause", "No further journey is started until the campaign is resumed. Journeys that were started continue."),
    ("resume", "The campaign continues at its rate."),
    ("retune", "The new rate applies at once."),
    ("stop", "The remaining lines are skipped."),
)
"""The operations on a campaign, and their effects."""


async def _list(page: Page) -> Response:
    found = await page.use.campaigns.list(page.caller, PageRequest(LISTED, page.asked("after")))
    older = link("/campaigns", after=found.next) if found.next else None
    return page.render("campaigns.html", campaigns=found.items, older=older)


async def _show(page: Page) -> Response:
    view = await _campaign(page)
    wanted = page.asked("outcome")
    outcome = _OUTCOMES.get(wanted) if wanted else None
    if wanted and outcome is None:
        raise Problem("invalid", f"there is no such outcome: it is one of {', '.join(_OUTCOMES)}")
    found = await page.use.campaigns.lines(page.caller, view.name, PageRequest(LISTED, page.asked("after")), outcome)
    at = f"/campaigns/{view.name}"
    older = link(at, outcome=outcome, after=found.next) if found.next else None
    return page.render("campaign.html", campaign=view, at=at, lines=found.items, outcome=outcome, older=older)


def _form(change: CampaignOperation, effect: str) -> Show:
    async def show(page: Page) -> Response:
        view = await _campaign(page)
        return page.render("campaign_change.html", campaign=view, change=change, effect=effect)

    return show


def _change(change: CampaignOperation) -> Do:
    async def take(page: Page, form: Form) -> Response:
        view = await _campaign(page)
        rate = field(form, "rate", float, _NO_RATE) if change == "retune" else None
        await page.use.campaigns.change(
            page.caller,
            view.name,
            change,
            operator=page.caller.name,
            reason=reason_in(form),
            rate=rate,
            leave="leave" in form,
        )
        return go_to(f"/campaigns/{view.name}")

    return take


async def _campaign(page: Page) -> CampaignView:
    try:
        return await page.use.campaigns.show(page.caller, page.request.path_params["campaign"])
    except (UnknownOperation, Forbidden):
        raise Problem("not-found", "there is no such campaign") from None


ROUTES: Final = (
    shows("/campaigns", _list),
    shows("/campaigns/{campaign}", _show),
    *(shows(f"/campaigns/{{campaign}}/{change}", _form(change, effect)) for change, effect in _CHANGES),
    *(does(f"/campaigns/{{campaign}}/{change}", _change(change)) for change, _ in _CHANGES),
)
