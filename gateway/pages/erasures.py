"""The pages that erase a contact: the form with what would be erased, and the report. They need the scope erase."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from gateway.api.problem import Problem
from gateway.pages.page import Form, Page, at_field, does, go_to, reason_in, shows
from gateway.pages.rendering import as_shown, link


async def _ask(page: Page) -> Response:
    page.caller.require("erase")
    contact = page.asked("contact")
    if contact is None:
        raise Problem("invalid", "name the contact: its page leads here")
    forecast = await page.use.erasures.erase(page.caller, contact, operator=page.caller.name, reason="", dry_run=True)
    return page.render("erase.html", contact=contact, forecast=forecast)


async def _erase(page: Page, form: Form) -> Response:
    contact = form.get("contact", "").strip()
    if not contact or form.get("again", "").strip() not in (contact, as_shown(contact)):
        raise at_field("again", "type the contact's id exactly as it is shown above")
    begun = await page.use.erasures.erase(page.caller, contact, operator=page.caller.name, reason=reason_in(form))
    return go_to(link(f"/erasures/{begun.id}"))


async def _list(page: Page) -> Response:
    page.caller.require("erase")
    found = await page.use.erasures.list(page.caller, page.range)
    return page.render("erasures.html", erasures=found.items, older=page.following(found.next))


async def _show(page: Page) -> Response:
    page.caller.require("erase")
    found = await page.use.erasures.show(page.caller, page.request.path_params["erasure"])
    return page.render("erasure.html", erasure=found)


ROUTES: Final = (
    shows("/erase", _ask),
    does("/erase", _erase, "erase", form_page=_ask),
    shows("/erasures", _list),
    shows("/erasures/{erasure}", _show),
)
