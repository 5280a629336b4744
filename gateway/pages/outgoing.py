"""The pages of what goes to other systems: outgoing events and their subscriptions, audiences, and batch calls."""

from __future__ import annotations

from typing import Final, get_args

from starlette.responses import Response

from gateway.api.problem import Problem
from gateway.errors import Forbidden, NotFound
from gateway.pages.page import Form, Page, check_sure, does, go_to, reason_in, shows
from gateway.pages.rendering import link
from gateway.service.batches import SyncedAudienceView
from gateway.service.outgoing import OperatorRecord, SubscriptionEventsView
from scenario.words import ItemOutcome, OutgoingOperation


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


async def _list_audiences(page: Page) -> Response:
    return page.render("audiences.html", audiences=await page.use.memberships.find(page.caller), to=_to_audience)


def _to_audience(audience: SyncedAudienceView) -> str:
    return link("/audiences/one", destination=audience.destination, audience=audience.audience)


async def _show_audience(page: Page) -> Response:
    audience = await _audience(page)
    refused = page.asked("changes") == "refused"
    found = await page.use.memberships.changes(
        page.caller, audience.audience, audience.destination, page.range, refused=refused
    )
    return page.render(
        "audience.html",
        audience=audience,
        at=_to_audience(audience),
        changes=found.items,
        refused=refused,
        older=page.following(found.next),
        done=page.form is None and page.asked("done") == "retry",
    )


async def _retry_audience(page: Page, form: Form) -> Response:
    reason = reason_in(form)
    audience = await page.use.memberships.retry(
        page.caller, form.get("audience", ""), form.get("destination", ""), operator=None, reason=reason
    )
    return go_to(f"{_to_audience(audience)}&done=retry")


async def _audience(page: Page) -> SyncedAudienceView:
    name, destination = page.asked("audience"), page.asked("destination")
    try:
        found = await page.use.memberships.find(page.caller, name or "", destination or "")
    except NotFound:
        raise Problem("not-found", "no contact was ever added to this audience here") from None
    return found[0]


_OUTCOMES: Final[tuple[ItemOutcome, ...]] = get_args(ItemOutcome)


async def _list_batches(page: Page) -> Response:
    found = await page.use.batches.list(page.caller, page.range)
    return page.render("batches.html", batches=found.items, older=page.following(found.next))


async def _show_batch(page: Page) -> Response:
    outcome = page.choice("outcome", _OUTCOMES)
    try:
        batch = await page.use.batches.show(page.caller, page.request.path_params["batch"])
    except (NotFound, Forbidden):
        raise Problem("not-found", "there is no such batch call") from None
    found = await page.use.batches.items(page.caller, batch.id, page.range, outcome)
    return page.render(
        "batch.html",
        batch=batch,
        at=f"/batches/{batch.id}",
        items=found.items,
        outcome=outcome,
        outcomes=_OUTCOMES,
        older=page.following(found.next),
    )


ROUTES: Final = (
    shows("/batches", _list_batches),
    shows("/batches/{batch}", _show_batch),
    shows("/audiences", _list_audiences),
    shows("/audiences/one", _show_audience),
    does("/audiences/one", _retry_audience, form_page=_show_audience),
    shows("/outgoing", _list),
    shows("/outgoing/{name}", _show),
    shows("/outgoing/{name}/{operation}", _confirm),
    does("/outgoing/{name}/{operation}", _operate, form_page=_confirm),
)
