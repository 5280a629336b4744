"""The pages of journeys (the list, the search, one with its operations) and of deliveries (the list, and one)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote

from starlette.responses import Response

from gateway.api.problem import Problem, problem_of
from gateway.errors import BadInput, NotFound
from gateway.pages.page import (
    Form,
    Page,
    at_field,
    check_sure,
    does,
    go_to,
    moment_in,
    reason_in,
    refused,
    shows,
    version_in,
)
from gateway.pages.rendering import link, to_contact, to_journey
from gateway.service.content import ContentService
from gateway.service.index import JourneyFilter
from gateway.service.journey_view import AttemptView, JourneyView
from gateway.service.listing import JourneySort, JourneySummary
from gateway.service.view import PageView
from scenario.steps.registry import is_delivery
from scenario.time.timing import zone_of
from scenario.words import ENDED, AttemptOutcome, Operation

_SEARCHED: Final = ("waiting", "retrying", "held", "paused")  # states that Temporal's search has, with a short lag
_RUNNING: Final = "in progress"
STATES: Final = (_RUNNING, *_SEARCHED, *ENDED)  # states in the form
_FILTERS: Final = ("scenario", "version", "state", "step", "contact", "since", "until", "sort")
_SORTS: Final[Mapping[JourneySort, str]] = {
    "-started": "Start, newest first",
    "started": "Start, oldest first",
    "-ended": "End, newest first",
    "ended": "End, oldest first",
}
"""Orders in the form."""
_SORTS_BY_WORD: Final[Mapping[str, JourneySort]] = {word: word for word in _SORTS}


async def _journeys(page: Page) -> Response:
    names = await page.use.scenarios.names(page.caller)
    asked = {name: page.asked(name) for name in _FILTERS}
    if page.caller.scenarios is not None and names:
        asked["scenario"] = asked["scenario"] or names[0]
    found = PageView[JourneySummary](items=[], next=None)
    if asked["scenario"] is not None or page.caller.scenarios is None:
        try:
            found = await _find(page, asked)
        except (Problem, BadInput) as error:
            page = refused(page, problem_of(error))
    return page.render(
        "journeys.html",
        journeys=found.items,
        ended=any(one.ended_at for one in found.items),
        names=names,
        states=STATES,
        sorts=_SORTS,
        asked=asked,
        filtered=any(asked.values()),
        older=page.following(found.next),
    )


async def _find(page: Page, asked: dict[str, str | None]) -> PageView[JourneySummary]:
    scenario, state = asked["scenario"], asked["state"]
    sort = _SORTS_BY_WORD.get(asked["sort"] or "-started")
    if sort is None:
        raise at_field("sort", "there is no such order: choose one of the list")
    wanted = JourneyFilter(
        scenario=scenario,
        version=version_in(page.given),
        contact=asked["contact"],
        step=asked["step"],
        since=moment_in(page.given, "since"),
    )
    return await page.use.journeys.list(
        page.caller,
        wanted,
        state if state in (*_SEARCHED, *ENDED) else None,
        page.range,
        running=True if state == _RUNNING else None,
        until=moment_in(page.given, "until"),
        sort=sort,
    )


async def _search(page: Page) -> Response:
    wanted = page.asked("id")
    if wanted is None:
        return go_to("/")
    is_journey = await page.use.journeys.has(page.caller, wanted)
    return go_to(to_journey(wanted) if is_journey else to_contact(wanted))


_DONE: Final = {
    "retry": "The step is retried.",
    "send_now": "The message is sent now.",
    "skip": "The step is skipped.",
    "leave": "The journey has ended.",
    "pause": "The journey is paused: it starts no further step.",
    "resume": "The journey continues.",
}
"""Operations of this page, with the message after one was accepted."""


async def _show(page: Page) -> Response:
    journey = page.request.path_params["journey"]
    seen = await page.use.journeys.show(page.caller, journey, page.asked("run"))
    view = JourneyView.of(seen)
    return page.render(
        "journey.html",
        journey=view,
        zone=zone_of((seen.progress or {}).get("zone"), seen.plan.zone if seen.plan else None),
        operations=_operations(view) if view.status == "running" else (),
        temporal=_in_temporal(page, view),
        done=_DONE.get(page.asked("done") or ""),
    )


async def _operate(page: Page, form: Form) -> Response:
    journey = page.request.path_params["journey"]
    name, reason = form.get("operation", ""), reason_in(form)
    if name not in _DONE:
        raise Problem("invalid", "this page has no such operation")
    operation = Operation.RETRY if name == "send_now" else Operation(name)
    if operation is Operation.LEAVE:
        check_sure(form, "the journey is to end: this cannot be undone")
    now = name == "send_now" or (operation is Operation.RETRY and form.get("now") == "yes")
    step = form.get("step") if operation in (Operation.RETRY, Operation.SKIP) else None
    await page.use.operations.operate(
        page.caller,
        journey,
        operation,
        operator=page.caller.name,
        reason=reason,
        step=step or None,
        more={"now": True} if now else {},
    )
    return go_to(link(to_journey(journey), done=name))


def _operations(view: JourneyView) -> list[str]:
    """Return the operations that make sense now. The journey itself decides."""
    state, waiting = view.state, view.waiting
    now = next((step for step in view.steps if step.state == "now"), None)
    found = ["retry"] if state == "held" else []
    if waiting and state != "held" and now is not None and is_delivery(now.kind):
        found.append("send_now")
    found += ["skip"] if now is not None else []
    return [*found, "resume" if view.paused else "pause", "leave"]


def _in_temporal(page: Page, view: JourneyView) -> str | None:
    """Return the journey's page in Temporal's UI, or None if it is unknown or no longer exists."""
    namespace: str | None = page.request.app.state.namespace_ui
    if namespace is None or view.status in ("forgotten", "inline"):
        return None
    return f"{namespace}/workflows/{quote(view.id, safe='')}/{quote(view.run_id, safe='')}/history"


LOOKED_BACK: Final = timedelta(days=7)  # the period searched by default, if no filter has an index
_DELIVERY_FILTERS: Final = ("journey", "contact", "scenario", "version", "step", "destination", "outcome", "since")
_INDEXED: Final = ("journey", "contact", "destination", "outcome")


async def _list_deliveries(page: Page) -> Response:
    given = page.request.query_params
    asked = {name: page.asked(name) for name in _DELIVERY_FILTERS}
    is_bounded = asked["since"] is None and not any(asked[name] for name in _INDEXED)
    found = PageView[AttemptView](items=[], next=None)
    try:
        start = moment_in(given, "since")
        found = await page.use.journeys.deliveries(
            page.caller,
            page.range,
            workflow_id=asked["journey"],
            contact_id=asked["contact"],
            scenario=asked["scenario"],
            version=version_in(given),
            step=asked["step"],
            destination=asked["destination"],
            outcome=page.choice("outcome", AttemptOutcome),
            since=datetime.now(UTC) - LOOKED_BACK if is_bounded else start,
        )
    except (Problem, BadInput) as error:
        page = refused(page, problem_of(error))
    return page.render(
        "deliveries.html",
        attempts=found.items,
        asked=asked,
        outcomes=tuple(AttemptOutcome),
        days=LOOKED_BACK.days if is_bounded else None,
        filtered=any(asked.values()),
        older=page.following(found.next),
    )


async def _show_delivery(page: Page) -> Response:
    """Show a delivery's attempts, and what they sent if the key may see it."""
    delivery = page.request.path_params["delivery"]
    attempts = await page.use.journeys.attempts(page.caller, delivery_id=delivery)
    if not attempts:
        raise NotFound(f"no attempt of a delivery '{delivery}' is recorded")
    contents: ContentService = page.request.app.state.contents
    content, missing = None, None
    try:
        content = await contents.show(page.caller, delivery) if page.may("content") else None
    except BadInput as error:
        missing = str(error)
    return page.render("delivery.html", attempts=attempts, content=content, missing=missing)


ROUTES: Final = (
    shows("/deliveries", _list_deliveries),
    shows("/deliveries/{delivery}", _show_delivery),
    shows("/journeys", _journeys),
    shows("/find", _search),
    shows("/journeys/{journey:path}", _show),
    does("/journeys/{journey:path}", _operate, form_page=_show),
)
