"""The first page: the list of scenarios."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final, cast

from starlette.responses import Response
from temporalio.service import RPCError

from gateway.client import ScenarioClient
from gateway.coalescing_cache import CoalescingCache
from gateway.pages.held import FRESH, held_of
from gateway.pages.page import Page, shows
from gateway.service.caller import TERMINAL
from gateway.service.scenarios import VersionView

_Versions = CoalescingCache[None, list[VersionView]]


def remembered(client: ScenarioClient) -> _Versions:
    """Return a cache of the number of running journeys."""

    async def find(_: None) -> list[VersionView]:
        return await client.services.scenarios.versions(TERMINAL)

    return CoalescingCache(find, FRESH)


async def _show(page: Page) -> Response:
    listed = await cast("_Versions", page.request.app.state.versions).get(None)
    mine = [item for item in listed if page.caller.may_use(item.scenario)]
    newest = [item for item in mine if item.newest]
    under_way = Counter[str]()
    for item in mine:
        under_way[item.scenario] += item.under_way
    named = [(item.scenario, item.version) for item in newest]
    triggers = {scenario: await page.shelf.trigger(scenario, version) for scenario, version in named}
    held, others = await _held(page)
    return page.render(
        "scenarios.html", scenarios=newest, under_way=under_way, held=held, others=others, triggers=triggers
    )


async def _held(page: Page) -> tuple[Mapping[str, int] | None, int]:
    """Return the number of held journeys of each scenario and of all others, or None if not known."""
    try:
        found = await held_of(page)
    except RPCError:
        return None, 0
    counts = Counter[str]()
    for group in found.groups:
        counts[group.at.scenario] += group.count
    return counts, found.others


ROUTES: Final = (shows("/", _show),)
