"""The pages of other systems: destinations, outgoing events and their subscriptions, audiences, and batch calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, get_args

from starlette.responses import Response

from activities.webhook.circuit_breaker import BreakerLimits
from activities.webhook.destinations.destinations import Destinations
from activities.webhook.destinations.reading import DestinationsFile
from gateway.api.problem import Problem
from gateway.pages.operations import LABELS, operation_link, value_words
from gateway.pages.page import (
    Form,
    Page,
    begin_operation,
    check_sure,
    does,
    existing,
    field,
    go_to,
    reason_in,
    seconds,
    shows,
)
from gateway.pages.rendering import link
from gateway.pages.scenarios import ChartGroup
from scenario.words import ItemOutcome, Operation, OutgoingOperation
from service.batches import SyncedAudienceView
from service.destinations import PendingDelivery
from service.errors import NotFound
from service.index import JourneyFilter
from service.operations.request import RetryPolicyChange
from service.outgoing import OperatorRecord
from service.stats import SendingCount

_HOURS: Final = 25  # a day, and the current hour


async def _list_destinations(page: Page) -> Response:
    page.caller.check_all()
    book = _book(page)
    known = await page.use.destinations.states(page.caller, book)
    return page.render("destinations.html", known=known, others=book, breaker=breaker)


async def _show_destination(page: Page) -> Response:
    page.caller.check_all()
    name, book = page.request.path_params["name"], _book(page)
    seen = await page.use.destinations.show(page.caller, name, book)
    if seen is None:
        raise Problem("not-found", "nothing was sent to a destination of this name, and none is configured")
    limits = seen.state.named or book or Destinations()
    retry = {label.partition(",")[0]: value_words(of, getattr(seen.retry, of)) for of, label in LABELS.items()}
    hours = [seen.record.since + number * timedelta(hours=1) for number in range(_HOURS)]
    return page.render(
        "destination.html",
        name=name,
        seen=seen,
        state=seen.state,
        record=seen.record,
        attempts=ChartGroup.draw("Attempts at {} by hour", SendingCount, {name: {**seen.record.traffic.hours}}, hours),
        retry=retry,
        limits=limits,
        breaker=breaker(limits.limits.breaker),
        is_known=book is not None,
        operation_link=operation_link,
        which=JourneyFilter(destination=name),
    )


def _book(page: Page) -> Destinations | None:
    """Return the destinations of the file, or None if this process has none."""
    file: DestinationsFile | None = page.request.app.state.destinations
    return file.book if file is not None and file.configured else None


def breaker(limits: BreakerLimits | None) -> str:
    """Describe when a destination is paused."""
    if limits is None:
        return "no circuit breaker"
    return f"paused when {limits.failures:.0%} of at least {limits.minimum} fail"


SHOWN: Final = 10  # deliveries in progress that are shown
_DURATION: Final = "the {} is a duration: write 30s, 15m, 2h or 3d"
_READ: Final[Mapping[str, tuple[Callable[[str], Any], str]]] = {
    "initial_interval": (seconds, _DURATION.format("pause before the second attempt")),
    "backoff_coefficient": (float, "the factor for further pauses is a number"),
    "maximum_interval": (seconds, _DURATION.format("longest pause")),
    "maximum_attempts": (int, "the maximum number of attempts is a whole number"),
    "deadline": (seconds, _DURATION.format("time for all attempts")),
}


async def _look(page: Page) -> Response:
    destination = _destination(page, page.given)
    candidates = await page.use.destinations.in_progress(page.caller, destination, limit=SHOWN + 1)
    known = await page.use.destinations.states(page.caller, None)
    state = next((one for one in known.destinations if one.name == destination), None)
    return page.render(
        "retune.html",
        destination=destination,
        flights=candidates.found[:SHOWN],
        more=len(candidates.found) > SHOWN,
        waiting=state.now.waiting if state and state.now else 0,
        labels=LABELS,
        in_force=in_force(candidates.found),
    )


async def _retune(page: Page, form: Form) -> Response:
    destination = _destination(page, form)
    changed: dict[str, Any] = {name: field(form, name, read, wanted) for name, (read, wanted) in _READ.items()}
    change = RetryPolicyChange(**changed)
    which = JourneyFilter(destination=destination)
    return await begin_operation(page, form, Operation.RETUNE, which, more={"retry": change.given()})


def in_force(found: Sequence[PendingDelivery]) -> Mapping[str, str]:
    """Return the values that these deliveries use now, in words. They differ by scenario, and by jitter."""
    policies = [one.pending.retry for one in found if one.pending.retry is not None]
    used = {name: sorted({getattr(policy, name) for policy in policies}) for name in LABELS}
    return {
        name: "now " + " to ".join(dict.fromkeys((value_words(name, values[0]), value_words(name, values[-1]))))
        for name, values in used.items()
        if values
    }


def _destination(page: Page, given: Mapping[str, Any]) -> str:
    page.caller.check_all()
    name = str(given.get("destination", "")).strip()
    if not name or len(name) > 300:
        raise Problem("invalid", "no destination is selected: open this page from the page of destinations")
    return name


async def _list_subscriptions(page: Page) -> Response:
    return page.render("outgoing.html", subscriptions=await page.use.outgoing.subscriptions(page.caller))


async def _show_subscription(page: Page) -> Response:
    found = await page.use.outgoing.show(page.caller, page.request.path_params["name"])
    return page.render("subscription.html", found=found, at=f"/outgoing/{found.name}")


async def _confirm_on_subscription(page: Page) -> Response:
    operation = _subscription_operation(page)
    found = await page.use.outgoing.show(page.caller, page.request.path_params["name"])
    ids = {*(page.request.query_params if page.form is None else page.form).getlist("event")}
    return page.render(
        "subscription_operation.html",
        found=found,
        at=f"/outgoing/{found.name}",
        operation=operation.value,
        events=[one for one in found.events if one.state == "held" and (not ids or one.id in ids)],
        all=not ids,
    )


async def _operate_subscription(page: Page, form: Form) -> Response:
    operation = _subscription_operation(page)
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


def _subscription_operation(page: Page) -> OutgoingOperation:
    try:
        return OutgoingOperation(page.request.path_params["operation"])
    except ValueError:
        raise Problem("not-found", "there is no such operation on a subscription") from None


async def _list_audiences(page: Page) -> Response:
    return page.render("audiences.html", audiences=await page.use.memberships.find(page.caller), to=_to_audience)


def _to_audience(audience: SyncedAudienceView) -> str:
    return link("/audiences/one", destination=audience.destination, audience=audience.audience)


async def _show_audience(page: Page) -> Response:
    name, destination = page.asked("audience"), page.asked("destination")
    try:
        audience = (await page.use.memberships.find(page.caller, name or "", destination or ""))[0]
    except NotFound:
        raise Problem("not-found", "no contact was ever added to this audience here") from None
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


_OUTCOMES: Final[tuple[ItemOutcome, ...]] = get_args(ItemOutcome)


async def _list_batches(page: Page) -> Response:
    found = await page.use.batches.list(page.caller, page.range)
    return page.render("batches.html", batches=found.items, older=page.following(found.next))


async def _show_batch(page: Page) -> Response:
    outcome = page.choice("outcome", _OUTCOMES)
    batch = await existing(page.use.batches.show(page.caller, page.request.path_params["batch"]), "batch call")
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
    shows("/destinations", _list_destinations),
    shows("/destinations/retune", _look),
    does("/destinations/retune", _retune, form_page=_look),
    shows("/destinations/{name:path}", _show_destination),
    shows("/batches", _list_batches),
    shows("/batches/{batch}", _show_batch),
    shows("/audiences", _list_audiences),
    shows("/audiences/one", _show_audience),
    does("/audiences/one", _retry_audience, form_page=_show_audience),
    shows("/outgoing", _list_subscriptions),
    shows("/outgoing/{name}", _show_subscription),
    shows("/outgoing/{name}/{operation}", _confirm_on_subscription),
    does("/outgoing/{name}/{operation}", _operate_subscription, form_page=_confirm_on_subscription),
)
