"""The list of journeys, and the search form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from starlette.responses import Response

from gateway.api.problem import Problem, problem_of
from gateway.errors import BadInput
from gateway.pages.page import Page, at_field, go_to, moment_in, refused, shows, version_in
from gateway.pages.rendering import to_contact, to_journey
from gateway.service.index import JourneyFilter
from gateway.service.listing import JourneySort, JourneySummary
from gateway.service.view import PageView
from scenario.words import ENDED

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


ROUTES: Final = (
    shows("/journeys", _list),
    shows("/find", _search),
)
