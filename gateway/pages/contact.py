"""The page of a contact: one timeline over all its journeys. Also handles the search form in the header."""

from __future__ import annotations

from typing import Any, Final

from starlette.responses import Response

from gateway.pages.links import link, to_contact, to_journey
from gateway.pages.page import Page, go_to, shows
from gateway.why.story import EntryStory, Happening

_EACH: Final = 20
_MOST: Final = 200


async def _show(page: Page) -> Response:
    contact = page.request.path_params["contact"]
    asked = page.asked("limit") or ""
    limit = min(max(int(asked), 1), _MOST) if asked.isascii() and asked.isdigit() and len(asked) < 6 else _EACH
    scenario = page.asked("scenario")
    found = await page.client.reads.contact(page.caller, contact, scenario, limit)
    stories = found.entries
    happened = [(one, story) for story in stories for one in reversed(story.happenings)]
    happened.sort(key=_when, reverse=True)
    return page.render(
        "contact.html",
        contact=contact,
        stories=stories,
        happened=happened,
        scenario=scenario,
        caps=found.caps,
        zone=found.zone,
        more=_more(contact, scenario, limit) if len(stories) == limit < _MOST else None,
    )


def _when(one: tuple[Happening, EntryStory]) -> Any:
    return one[0].at.replace(microsecond=0)


def _more(contact: str, scenario: str | None, limit: int) -> str:
    return link(to_contact(contact), scenario=scenario, limit=min(limit * 4, _MOST))


async def _find(page: Page) -> Response:
    wanted = page.asked("id")
    if wanted is None:
        return go_to("/")
    if await page.client.reads.has(page.caller, wanted):
        return go_to(to_journey(wanted))
    return go_to(to_contact(wanted))


ROUTES: Final = (shows("/contacts/{contact:path}", _show), shows("/find", _find))
