"""The list of journeys, the page of a contact with one timeline over all its journeys, and the search form."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from starlette.responses import Response

from gateway.api.problem import Problem, problem_of
from gateway.errors import BadInput
from gateway.pages.page import NO_TIME, Page, at_field, field, go_to, natural, refused, shows, since
from gateway.pages.rendering import link, to_contact, to_journey
from gateway.service.index import JourneyFilter
from gateway.service.listing import JourneySort, JourneySummary
from gateway.service.paging import PageRequest
from gateway.service.view import PageView
from gateway.why.story import EntryStory, Happening
from scenario.words import ENDED

_SEARCHED: Final = ("waiting", "held", "paused")
"""States that Temporal's search has, with a short lag."""
_RUNNING: Final = "in progress"
STATES: Final = (_RUNNING, *_SEARCHED, *ENDED)
"""States in the form."""
_FILTERS: Final = ("scenario", "version", "state", "step", "contact", "since", "until", "sort")
_SORTS: Final[Mapping[JourneySort, str]] = {
    "-started": "Start, newest first",
    "started": "Start, oldest first",
    "-ended": "End, newest first",
    "ended": "End, oldest first",
}
"""Orders in the form."""
_SORTS_BY_WORD: Final[Mapping[str, JourneySort]] = {word: word for word in _SORTS}
LISTED: Final = 50
"""Journeys per page."""
ENTRIES: Final = 20
"""Entries of a contact that are shown at first."""
_MOST_ENTRIES: Final = 200


async def _list(page: Page) -> Response:
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
        older=link("/journeys", **asked, after=found.next) if found.next else None,
    )


async def _find(page: Page, asked: dict[str, str | None]) -> PageView[JourneySummary]:
    scenario, state, step = asked["scenario"], asked["state"], asked["step"]
    sort = _SORTS_BY_WORD.get(asked["sort"] or "-started")
    if sort is None:
        raise at_field("sort", "journeys are not sorted so: choose one of the list")
    wanted = JourneyFilter(
        scenario=scenario,
        version=field(page.given, "version", natural, "the version is a number, such as 3"),
        contact=asked["contact"],
        step=step,
        since=field(page.given, "since", since, NO_TIME.format("since")),
    )
    return await page.use.journeys.list(
        page.caller,
        wanted,
        state if state in _SEARCHED or (state in ENDED and step is None) else None,
        PageRequest(LISTED, page.asked("after")),
        running=True if state == _RUNNING else None,
        until=field(page.given, "until", since, NO_TIME.format("until")),
        sort=sort,
    )


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else None


async def _show_contact(page: Page) -> Response:
    contact, scenario = page.request.path_params["contact"], page.asked("scenario")
    asked = _number(page.asked("limit"))
    limit = ENTRIES if asked is None else min(max(asked, 1), _MOST_ENTRIES)
    found = await page.use.journeys.contact(page.caller, contact, scenario, limit)
    happened = [(one, story) for story in found.entries for one in reversed(story.happenings)]
    happened.sort(key=_second, reverse=True)
    more = link(to_contact(contact), scenario=scenario, limit=min(limit * 4, _MOST_ENTRIES))
    return page.render(
        "contact.html",
        contact=contact,
        stories=found.entries,
        happened=happened,
        scenario=scenario,
        caps=found.caps,
        zone=found.zone,
        more=more if len(found.entries) == limit < _MOST_ENTRIES else None,
    )


def _second(one: tuple[Happening, EntryStory]) -> datetime:
    return one[0].at.replace(microsecond=0)


async def _search(page: Page) -> Response:
    wanted = page.asked("id")
    if wanted is None:
        return go_to("/")
    is_journey = await page.use.journeys.has(page.caller, wanted)
    return go_to(to_journey(wanted) if is_journey else to_contact(wanted))


ROUTES: Final = (
    shows("/journeys", _list),
    shows("/contacts/{contact:path}", _show_contact),
    shows("/find", _search),
)
