"""The pages of audiences at other systems: the list, and one audience with its changes and a retry."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from gateway.api.problem import Problem
from gateway.errors import NotFound
from gateway.pages.page import Form, Page, does, go_to, reason_in, shows
from gateway.pages.rendering import link
from gateway.service.memberships import SyncedAudienceView


async def _list(page: Page) -> Response:
    return page.render("audiences.html", audiences=await page.use.memberships.find(page.caller), to=_to)


def _to(audience: SyncedAudienceView) -> str:
    return link("/audiences/one", destination=audience.destination, audience=audience.audience)


async def _show(page: Page) -> Response:
    audience = await _audience(page)
    refused = page.asked("changes") == "refused"
    found = await page.use.memberships.changes(
        page.caller, audience.audience, audience.destination, page.range, refused=refused
    )
    return page.render(
        "audience.html",
        audience=audience,
        at=_to(audience),
        changes=found.items,
        refused=refused,
        older=page.following(found.next),
        done=page.form is None and page.asked("done") == "retry",
    )


async def _retry(page: Page, form: Form) -> Response:
    reason = reason_in(form)
    audience = await page.use.memberships.retry(
        page.caller, form.get("audience", ""), form.get("destination", ""), operator=None, reason=reason
    )
    return go_to(f"{_to(audience)}&done=retry")


async def _audience(page: Page) -> SyncedAudienceView:
    name, destination = page.asked("audience"), page.asked("destination")
    try:
        found = await page.use.memberships.find(page.caller, name or "", destination or "")
    except NotFound:
        raise Problem("not-found", "no contact was ever added to this audience here") from None
    return found[0]


ROUTES: Final = (
    shows("/audiences", _list),
    shows("/audiences/one", _show),
    does("/audiences/one", _retry, form_page=_show),
)
