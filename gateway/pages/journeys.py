"""The list of journeys."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Final

from starlette.responses import Response
from typing_extensions import TypedDict

from gateway.api.problem import Problem
from gateway.pages.links import link
from gateway.pages.page import Page, shows
from gateway.service.index import JourneyFilter
from gateway.service.listing import ListedJourney
from gateway.service.paging import decode_cursor, encode_cursor
from scenario.words import ENDED

_EACH: Final = 50
_SEARCHED: Final = ("waiting", "held", "paused")
"""States that Temporal's search knows, some moments behind."""
_RUNNING: Final = "under way"
STATES: Final = (_RUNNING, *_SEARCHED, *ENDED)
"""What one can ask for."""


_Found = tuple[list[ListedJourney], str | None]
"""Journeys, and where the list goes on."""


class _Place(TypedDict, total=False):
    journey: str
    run: str
    token: str


async def _show(page: Page) -> Response:
    names = [one.scenario for one in await page.client.store.scenarios() if page.caller.may_use(one.scenario)]
    asked = {name: page.asked(name) for name in ("scenario", "version", "state", "step", "contact")}
    scenario, state = asked["scenario"], asked["state"]
    if scenario is not None:
        page.caller.check(scenario)
    elif page.caller.scenarios is not None and names:  # of all it may see some only
        scenario = asked["scenario"] = names[0]
    place = decode_cursor(cursor, _Place) if (cursor := page.asked("after")) else _Place()
    found, following = _Found(([], None))
    if page.caller.scenarios is None or names:
        version = _number(asked["version"])
        known = JourneyFilter(scenario=scenario, version=version, contact=asked["contact"], step=asked["step"])
        search = _searched if state in _SEARCHED or asked["step"] else _on_record
        found, following = await search(page, known, state, place)
    older = link("/journeys", **asked, after=following) if following else None
    return page.render("journeys.html", journeys=found, names=names, states=STATES, asked=asked, older=older)


async def _on_record(page: Page, known: JourneyFilter, state: str | None, place: _Place) -> _Found:
    """Journeys as the store has them, the newest first."""
    last = await page.client.store.entry(place["journey"], place.get("run")) if "journey" in place else None
    ended, running = state if state in ENDED else None, True if state == _RUNNING else None
    found = await page.client.lists.newest(known, state=ended, running=running, after=last, limit=_EACH + 1)
    shown = found[:_EACH]
    following = {"journey": shown[-1].id, "run": shown[-1].run_id} if len(found) > _EACH else None
    return shown, encode_cursor(following) if following else None


async def _searched(page: Page, known: JourneyFilter, state: str | None, place: _Place) -> _Found:
    """Journeys under way in a state, or at a step."""
    state = state if state in _SEARCHED else None
    found, following = await page.client.lists.running_page(known, state=state, size=_EACH, after=_token(place))
    return found, encode_cursor({"token": b64encode(following).decode()}) if following else None


def _token(place: _Place) -> bytes | None:
    try:
        return b64decode(place["token"]) if "token" in place else None
    except ValueError:
        raise Problem("invalid", "'after' is no place in this list: leave it out") from None


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else None


ROUTES: Final = (shows("/journeys", _show),)
