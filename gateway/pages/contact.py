"""The page of a contact: one timeline over all its journeys. And where the form in the header leads."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import chain
from typing import Any, Final

from starlette.responses import Response

from gateway.errors import UnknownContact
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
    limited = page.caller.scenarios
    if limited is None:
        found = await page.client.why(contact, scenario, limit=limit)
        stories, caps, zone = found.entries, found.caps, found.zone
    else:
        stories = await _stories_in(page, contact, [name for name in limited if scenario in (None, name)], limit)
        caps, zone = None, stories[0].zone
    happened = [(one, story) for story in stories for one in reversed(story.happenings)]
    happened.sort(key=_when, reverse=True)
    return page.render(
        "contact.html",
        contact=contact,
        stories=stories,
        happened=happened,
        scenario=scenario,
        caps=caps,
        zone=zone,
        more=_more(contact, scenario, limit) if len(stories) == limit < _MOST else None,
    )


async def _stories_in(page: Page, contact: str, scenarios: Sequence[str], limit: int) -> Sequence[EntryStory]:
    """What a contact asked for in some scenarios.

    Each is asked for by itself: what is on record elsewhere takes no place of theirs, and is not told to be there.
    """

    async def of(scenario: str) -> Sequence[EntryStory]:
        try:
            return (await page.client.why(contact, scenario, limit=limit)).entries
        except UnknownContact:
            return ()

    found = list(chain.from_iterable(await asyncio.gather(*map(of, scenarios))))
    if not found:
        raise UnknownContact(f"nothing is on record of a contact '{contact}' in the scenarios of your key")
    return sorted(found, key=lambda story: story.asked_at, reverse=True)[:limit]


def _when(one: tuple[Happening, EntryStory]) -> Any:
    return one[0].at.replace(microsecond=0)


def _more(contact: str, scenario: str | None, limit: int) -> str:
    return link(to_contact(contact), scenario=scenario, limit=min(limit * 4, _MOST))


async def _find(page: Page) -> Response:
    wanted = page.asked("id")
    if wanted is None:
        return go_to("/")
    if (entry := await page.client.store.entry(wanted)) is not None and page.caller.may_use(entry.scenario):
        return go_to(to_journey(wanted))
    return go_to(to_contact(wanted))


ROUTES: Final = (shows("/contacts/{contact:path}", _show), shows("/find", _find))
