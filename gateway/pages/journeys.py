"""The list of journeys."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from gateway.pages.links import link
from gateway.pages.page import Page, shows
from gateway.service.index import JourneyFilter
from gateway.service.listing import JourneySummary
from gateway.service.paging import PageRequest
from gateway.service.view import PageView
from scenario.words import ENDED

_EACH: Final = 50
_SEARCHED: Final = ("waiting", "held", "paused")
"""States that Temporal's search has, with a short lag."""
_RUNNING: Final = "under way"
STATES: Final = (_RUNNING, *_SEARCHED, *ENDED)
"""States in the form."""


async def _show(page: Page) -> Response:
    names = await page.client.reads.scenarios(page.caller)
    asked = {name: page.asked(name) for name in ("scenario", "version", "state", "step", "contact")}
    if page.caller.scenarios is not None and names:
        asked["scenario"] = asked["scenario"] or names[0]
    if asked["scenario"] is None and page.caller.scenarios is not None:
        found = PageView[JourneySummary](items=[], next=None)
    else:
        found = await _list(page, asked)
    older = link("/journeys", **asked, after=found.next) if found.next else None
    return page.render("journeys.html", journeys=found.items, names=names, states=STATES, asked=asked, older=older)


async def _list(page: Page, asked: dict[str, str | None]) -> PageView[JourneySummary]:
    scenario, state, step = asked["scenario"], asked["state"], asked["step"]
    wanted = JourneyFilter(scenario=scenario, version=_number(asked["version"]), contact=asked["contact"], step=step)
    known = state if state in _SEARCHED or (state in ENDED and step is None) else None
    running = True if state == _RUNNING else None
    request = PageRequest(_EACH, page.asked("after"))
    return await page.client.reads.journeys(page.caller, wanted, known, request, running=running)


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else None


ROUTES: Final = (shows("/journeys", _show),)
