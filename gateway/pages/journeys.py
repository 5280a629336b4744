"""The pages of journeys and the search, of deliveries, of a contact, and of erasures, which need the scope erase."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote

from starlette.responses import Response

from authoring.errors import BadInput
from gateway.api.problem import Problem
from gateway.pages.page import (
    Form,
    Page,
    at_field,
    check_sure,
    does,
    go_to,
    listed,
    moment_in,
    reason_in,
    refused,
    shows,
    version_in,
)
from gateway.pages.rendering import as_shown, link, to_contact, to_journey
from scenario.steps.registry import is_delivery
from scenario.time import zone_of
from scenario.words import ENDED, AttemptOutcome, Operation
from service.authoring import ContentService
from service.errors import NotFound
from service.index import JourneyFilter
from service.journeys.view import JourneyView
from service.listing import JourneySort, JourneySummary
from service.suppressions import suppressions_of
from service.view import PageRequest, PageView
from service.why.story import EntryStory
from service.why.why import Question, WhyView

_SEARCHED: Final = ("waiting", "retrying", "held", "paused")  # states that Temporal's search has, with a short lag
_RUNNING: Final = "in progress"
STATES: Final = (_RUNNING, *_SEARCHED, *ENDED)  # states in the form
_FILTERS: Final = ("scenario", "version", "state", "step", "contact", "since", "until", "sort")
_SORTS: Final[Mapping[JourneySort, str]] = {  # orders in the form
    "-started": "Start, newest first",
    "started": "Start, oldest first",
    "-ended": "End, newest first",
    "ended": "End, oldest first",
}


async def _list_journeys(page: Page) -> Response:
    names = await page.use.scenarios.names(page.caller)
    asked = {name: page.asked(name) for name in _FILTERS}
    if page.caller.scenarios is not None and names:
        asked["scenario"] = asked["scenario"] or names[0]
    found = PageView[JourneySummary](items=[], next=None)
    if asked["scenario"] is not None or page.caller.scenarios is None:
        page, found = await listed(page, lambda: _find_journeys(page, asked))
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


async def _find_journeys(page: Page, asked: dict[str, str | None]) -> PageView[JourneySummary]:
    scenario, state = asked["scenario"], asked["state"]
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
        sort=page.choice("sort", _SORTS) or "-started",
    )


async def _search(page: Page) -> Response:
    wanted = page.asked("id")
    if wanted is None:
        return go_to("/")
    is_journey = await page.use.journeys.has(page.caller, wanted)
    return go_to(to_journey(wanted) if is_journey else to_contact(wanted))


_DONE: Final = {  # operations of this page, with the message after one was accepted
    "retry": "The step is retried.",
    "send_now": "The message is sent now.",
    "skip": "The step is skipped.",
    "leave": "The journey has ended.",
    "pause": "The journey is paused: it starts no further step.",
    "resume": "The journey continues.",
}


async def _show_journey(page: Page) -> Response:
    journey = page.request.path_params["journey"]
    seen = await page.use.journeys.show(page.caller, journey, page.asked("run"))
    view = JourneyView.of(seen)
    namespace: str | None = page.request.app.state.namespace_ui
    in_temporal = f"{namespace}/workflows/{quote(view.id, safe='')}/{quote(view.run_id, safe='')}/history"
    return page.render(
        "journey.html",
        journey=view,
        zone=zone_of((seen.progress or {}).get("zone"), seen.plan.zone if seen.plan else None),
        operations=_operations(view) if view.status == "running" else (),
        temporal=None if namespace is None or view.status in ("forgotten", "inline") else in_temporal,
        done=_DONE.get(page.asked("done") or ""),
    )


async def _operate_journey(page: Page, form: Form) -> Response:
    journey = page.request.path_params["journey"]
    name, reason = form.get("operation", ""), reason_in(form)
    if name not in _DONE:
        raise Problem("invalid", "this page has no such operation")
    operation = Operation.RETRY if name == "send_now" else Operation(name)
    if operation is Operation.LEAVE:
        check_sure(form, "the journey is to end: this cannot be undone")
    now = name == "send_now" or (operation is Operation.RETRY and form.get("now") == "yes")
    anew = operation is Operation.RETRY and form.get("anew") == "yes"
    step = form.get("step") if operation in (Operation.RETRY, Operation.SKIP) else None
    await page.use.operations.operate(
        page.caller,
        journey,
        operation,
        operator=page.caller.name,
        reason=reason,
        step=step or None,
        more={name: True for name, given in (("now", now), ("anew", anew)) if given},
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


LOOKED_BACK: Final = timedelta(days=7)  # the period searched by default, if no filter has an index
_DELIVERY_FILTERS: Final = ("journey", "contact", "scenario", "version", "step", "destination", "outcome", "since")
_INDEXED: Final = ("journey", "contact", "destination", "outcome")


async def _list_deliveries(page: Page) -> Response:
    given = page.request.query_params
    asked = {name: page.asked(name) for name in _DELIVERY_FILTERS}
    is_bounded = asked["since"] is None and not any(asked[name] for name in _INDEXED)
    page, found = await listed(
        page,
        lambda: page.use.journeys.deliveries(
            page.caller,
            page.range,
            workflow_id=asked["journey"],
            contact_id=asked["contact"],
            scenario=asked["scenario"],
            version=version_in(given),
            step=asked["step"],
            destination=asked["destination"],
            outcome=page.choice("outcome", AttemptOutcome),
            since=datetime.now(UTC) - LOOKED_BACK if is_bounded else moment_in(given, "since"),
        ),
    )
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


ENTRIES: Final = 20  # entries per page
RANGES: Final = ("7d", "30d", "90d", "365d", "all")  # time ranges in the form
RANGE: Final = "30d"  # the range at first


async def _show_contact(page: Page) -> Response:
    contact, asked = page.request.path_params.get("contact") or page.given.get("id", ""), page.asked("why")
    scenario, _, step = (asked or "").partition("/")
    period = page.asked("since") or RANGE
    try:
        start = None if period == "all" else moment_in({"since": period}, "since")
    except Problem as error:
        page, period = refused(page, error), RANGE
        start = moment_in({"since": period}, "since")
    cursor = page.asked("after")
    found, wrong = None, None
    try:
        question = Question(step, scenario) if step else None
        found = await _find_entries(page, contact, cursor, start, question)
    except BadInput as error:  # the question cannot be answered, but the rest can be shown
        wrong = str(error)
        found = await _find_entries(page, contact, cursor, start, None)
    entries = found.entries if found else []
    happened = [(one, story) for story in entries for one in reversed(story.happenings)]
    happened.sort(key=lambda one: one[0].at.replace(microsecond=0), reverse=True)
    steps = _steps(entries)
    others = [name for name in await page.use.scenarios.names(page.caller) if name not in steps]
    if scenario in others:
        wrong = f"contact {contact} has no entries in {scenario} among those below"
    client = page.client
    suppressions = await suppressions_of(client.temporal, client.store, page.request.app.state.hashes, entries)
    return page.render(
        "contact.html",
        suppressions=suppressions,
        contact=contact,
        stories=entries,
        happened=happened,
        steps=steps,
        others=others,
        asked=asked,
        answer=found and found.answer,
        wrong=wrong,
        period=period,
        ranges=RANGES if period in RANGES else (period, *RANGES),
        caps=found and found.caps,
        zone=found and found.zone,
        is_live=cursor is None and any(story.now for story in entries),
        older=link(to_contact(contact), since=page.asked("since"), after=found.next) if found and found.next else None,
    )


async def _find_entries(
    page: Page, contact: str, cursor: str | None, start: datetime | None, question: Question | None
) -> WhyView | None:
    """Return the contact's entries, or None if there are earlier ones only."""
    service, request = page.use.journeys, PageRequest(ENTRIES, cursor)
    try:
        return await service.contact(page.caller, contact, request, since=start, question=question)
    except NotFound:
        if start is None:
            raise
        await service.contact(page.caller, contact, PageRequest(1))
        return None


def _steps(stories: Iterable[EntryStory]) -> dict[str, list[str]]:
    found: dict[str, dict[str, None]] = {}
    for story in stories:
        steps = story.plan.steps if story.plan else {}
        found.setdefault(story.scenario.partition("@")[0], {}).update(dict.fromkeys(steps))
    return {name: list(steps) for name, steps in sorted(found.items())}


async def _ask_to_erase(page: Page) -> Response:
    page.caller.require("erase")
    contact = page.asked("contact")
    if contact is None:
        raise Problem("invalid", "name the contact: its page leads here")
    forecast = await page.use.erasures.erase(page.caller, contact, operator=page.caller.name, reason="", dry_run=True)
    return page.render("erase.html", contact=contact, forecast=forecast)


async def _erase_contact(page: Page, form: Form) -> Response:
    contact = form.get("contact", "").strip()
    if not contact or form.get("again", "").strip() not in (contact, as_shown(contact)):
        raise at_field("again", "type the contact's id exactly as it is shown above")
    begun = await page.use.erasures.erase(page.caller, contact, operator=page.caller.name, reason=reason_in(form))
    return go_to(link(f"/erasures/{begun.id}"))


async def _list_erasures(page: Page) -> Response:
    page.caller.require("erase")
    found = await page.use.erasures.list(page.caller, page.range)
    return page.render("erasures.html", erasures=found.items, older=page.following(found.next))


async def _show_erasure(page: Page) -> Response:
    page.caller.require("erase")
    found = await page.use.erasures.show(page.caller, page.request.path_params["erasure"])
    return page.render("erasure.html", erasure=found)


ROUTES: Final = (
    shows("/deliveries", _list_deliveries),
    shows("/deliveries/{delivery}", _show_delivery),
    shows("/journeys", _list_journeys),
    shows("/find", _search),
    shows("/journeys/{journey:path}", _show_journey),
    does("/journeys/{journey:path}", _operate_journey, form_page=_show_journey),
    shows("/contacts/{contact:path}", _show_contact),
    shows("/contacts", _show_contact),  # of an id that cannot be in a path: see `to_contact`
    shows("/erase", _ask_to_erase),
    does("/erase", _erase_contact, "erase", form_page=_ask_to_erase),
    shows("/erasures", _list_erasures),
    shows("/erasures/{erasure}", _show_erasure),
)
