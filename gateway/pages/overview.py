"""The first page: is everything well, and if not, where to go."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from gateway.pages.held import REASONS
from gateway.pages.page import Page, shows


async def _show(page: Page) -> Response:
    return page.render("overview.html", seen=await page.use.overview.show(page.caller), reasons=REASONS)


ROUTES: Final = (shows("/", _show),)
