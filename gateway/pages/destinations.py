"""The page of destinations, and the page of one: its state, its attempts of a day, its policy, and what waits."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from starlette.responses import Response

from activities.webhook.circuit_breaker import BreakerLimits
from activities.webhook.destinations.destinations import Destinations
from activities.webhook.destinations.reading import DestinationsFile
from gateway.api.problem import Problem
from gateway.pages.chart import ChartGroup
from gateway.pages.held import operation_link
from gateway.pages.page import Page, shows
from gateway.pages.retune import LABELS, value_words
from gateway.service.index import JourneyFilter
from gateway.service.stats import SendingCount

_HOURS: Final = 25  # a day, and the current hour


async def _list(page: Page) -> Response:
    page.caller.check_all()
    book = _book(page)
    known = await page.use.destinations.states(page.caller, book)
    return page.render("destinations.html", known=known, others=book, breaker=breaker)


async def _show(page: Page) -> Response:
    page.caller.check_all()
    name, book = page.request.path_params["name"], _book(page)
    seen = await page.use.destinations.show(page.caller, name, book)
    if seen is None:
        raise Problem("not-found", "nothing was sent to a destination of this name, and none is configured")
    limits = seen.state.named or book or Destinations()
    retry = {label.partition(",")[0]: value_words(of, getattr(seen.retry, of)) for of, label in LABELS.items()}
    hours = [seen.record.since + number * timedelta(hours=1) for number in range(_HOURS)]
    return page.render(
        "destination.html",
        name=name,
        seen=seen,
        state=seen.state,
        record=seen.record,
        attempts=ChartGroup.draw("Attempts at {} by hour", SendingCount, {name: {**seen.record.traffic.hours}}, hours),
        retry=retry,
        limits=limits,
        breaker=breaker(limits.limits.breaker),
        is_known=book is not None,
        operation_link=operation_link,
        which=JourneyFilter(destination=name),
    )


def _book(page: Page) -> Destinations | None:
    """Return the destinations of the file, or None if this process has none."""
    file: DestinationsFile | None = page.request.app.state.destinations
    return file.book if file is not None and file.configured else None


def breaker(limits: BreakerLimits | None) -> str:
    """Describe when a destination is paused."""
    if limits is None:
        return "no circuit breaker"
    return f"paused when {limits.failures:.0%} of at least {limits.minimum} fail"


ROUTES: Final = (shows("/destinations", _list), shows("/destinations/{name:path}", _show))
