"""The first page: the scenarios there are."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from gateway.pages.page import Page, shows
from gateway.publications import versions


async def _show(page: Page) -> Response:
    listed = await versions(page.client.store)
    mine = [item for item in listed if page.caller.may_use(item.published.scenario)]
    under_way: dict[str, int] = {}
    for item in mine:
        under_way[item.published.scenario] = under_way.get(item.published.scenario, 0) + item.under_way
    return page.render("scenarios.html", scenarios=[item for item in mine if item.newest], under_way=under_way)


ROUTES: Final = (shows("/", _show),)
