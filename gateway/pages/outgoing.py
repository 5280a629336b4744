"""The pages of subscriptions to outgoing events: the list, one with its events that wait, and operations on it."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from gateway.api.problem import Problem
from gateway.pages.page import Form, Page, check_sure, does, go_to, reason_in, shows
from gateway.service.outgoing import OperatorRecord, SubscriptionEventsView
from scenario.words import OutgoingOperation


async def _list(page: Page) -> Response:
    return page.render("outgoing.html", subscriptions=await page.use.outgoing.subscriptions(page.caller))


async def _show(page: Page) -> Response:
    found = await _subscription(page)
    return page.render("subscription.html", found=found, at=_at(found))


async def _confirm(page: Page) -> Response:
    operation, found = _operation(page), await _subscription(page)
    ids = {*(page.request.query_params if page.form is None else page.form).getlist("event")}
    return page.render(
        "subscription_operation.html",
        found=found,
        at=_at(found),
        operation=operation.value,
        events=[one for one in found.events if one.state == "held" and (not ids or one.id in ids)],
        all=not ids,
    )


async def _operate(page: Page, form: Form) -> Response:
    operation = _operation(page)
    record = OperatorRecord(reason=reason_in(form))
    if operation in (OutgoingOperation.SKIP, OutgoingOperation.FORGET):
        check_sure(form, "this is meant: it cannot be undone")
    done = await page.use.outgoing.operate(
        page.caller,
        page.request.path_params["name"],
        operation,
        record,
        ids=form.getlist("event"),
        after=form["after"].strip() if "after" in form else None,
    )
    page.use.refresh()
    return go_to(f"/operations/{done.id}")


def _at(found: SubscriptionEventsView) -> str:
    return f"/outgoing/{found.name}"


def _operation(page: Page) -> OutgoingOperation:
    try:
        return OutgoingOperation(page.request.path_params["operation"])
    except ValueError:
        raise Problem("not-found", "there is no such operation on a subscription") from None


async def _subscription(page: Page) -> SubscriptionEventsView:
    return await page.use.outgoing.show(page.caller, page.request.path_params["name"])


ROUTES: Final = (
    shows("/outgoing", _list),
    shows("/outgoing/{name}", _show),
    shows("/outgoing/{name}/{operation}", _confirm),
    does("/outgoing/{name}/{operation}", _operate, form_page=_confirm),
)
