"""The page of destinations: their limits, state and waiting deliveries."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from activities.webhook.circuit_breaker import BreakerLimits
from activities.webhook.destinations.reading import DestinationsFile
from gateway.pages.page import Page, shows


async def _show(page: Page) -> Response:
    page.caller.check_all()
    file: DestinationsFile | None = page.request.app.state.destinations
    book = file.book if file is not None and file.configured else None
    known = await page.use.destinations.states(page.caller, book)
    return page.render("destinations.html", known=known, others=book, breaker=breaker)


def breaker(limits: BreakerLimits | None) -> str:
    """Describe when a destination is paused."""
    if limits is None:
        return "no circuit breaker"
    return f"paused when {limits.failures:.0%} of at least {limits.minimum} fail"


ROUTES: Final = (shows("/destinations", _show),)
