"""The pages of a contact: its timeline over all journeys with the question why it did not get a message; its erasure.

Erasures need the scope erase: the form with what would be erased, and the report.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from starlette.responses import Response

from gateway.api.problem import Problem
from gateway.errors import BadInput, NotFound
from gateway.pages.page import Form, Page, at_field, does, go_to, moment_in, reason_in, refused, shows
from gateway.pages.rendering import as_shown, link, to_contact
from gateway.service.suppressions import suppressions_of
from gateway.service.view import PageRequest
from gateway.why.story import EntryStory, Happening
from gateway.why.why import Question, WhyView

ENTRIES: Final = 20  # entries per page
RANGES: Final = ("7d", "30d", "90d", "365d", "all")  # time ranges in the form
RANGE: Final = "30d"  # the range at first


async def _show(page: Page) -> Response:
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
        found = await _find(page, contact, cursor, start, question)
    except BadInput as error:  # the question cannot be answered, but the rest can be shown
        wrong = str(error)
        found = await _find(page, contact, cursor, start, None)
    entries = found.entries if found else []
    happened = [(one, story) for story in entries for one in reversed(story.happenings)]
    happened.sort(key=_second, reverse=True)
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


async def _find(
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
    """Return the steps of the scenarios of entries, by scenario, for the form."""
    found: dict[str, dict[str, None]] = {}
    for story in stories:
        steps = story.plan.steps if story.plan else {}
        found.setdefault(story.scenario.partition("@")[0], {}).update(dict.fromkeys(steps))
    return {name: list(steps) for name, steps in sorted(found.items())}


def _second(one: tuple[Happening, EntryStory]) -> datetime:
    return one[0].at.replace(microsecond=0)


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


async def _erasures(page: Page) -> Response:
    page.caller.require("erase")
    found = await page.use.erasures.list(page.caller, page.range)
    return page.render("erasures.html", erasures=found.items, older=page.following(found.next))


async def _erasure(page: Page) -> Response:
    page.caller.require("erase")
    found = await page.use.erasures.show(page.caller, page.request.path_params["erasure"])
    return page.render("erasure.html", erasure=found)


ROUTES: Final = (
    shows("/contacts/{contact:path}", _show),
    shows("/contacts", _show),  # of an id that cannot be in a path: see `to_contact`
    shows("/erase", _ask),
    does("/erase", _erase, "erase", form_page=_ask),
    shows("/erasures", _erasures),
    shows("/erasures/{erasure}", _erasure),
)
