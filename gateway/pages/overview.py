"""The first page: is everything well, and if not, where to go."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from gateway.pages.page import Page, shows
from scenario.words import CAUSES


async def _show(page: Page) -> Response:
    return page.render("overview.html", seen=await page.use.overview.show(page.caller), reasons=CAUSES)


ROUTES: Final = (shows("/", _show),)
