"""The page of destinations: their limits, state and waiting deliveries; and the form that retunes deliveries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from starlette.responses import Response

from activities.webhook.circuit_breaker import BreakerLimits
from activities.webhook.destinations.destinations import Destinations
from activities.webhook.destinations.reading import DestinationsFile
from gateway.api.problem import Problem
from gateway.operations.request import RequestedOperation
from gateway.operations.retry_policy import RetryPolicyChange
from gateway.pages.held import rate_in
from gateway.pages.page import Form, Page, does, field, go_to, reason_in, seconds, shows
from gateway.service.index import JourneyFilter
from scenario.words import Operation

SHOWN: Final = 10
"""Deliveries in progress shown before a change of their retry policy."""
_DURATION: Final = "the {} is a duration: write 30s, 15m, 2h or 3d"
_CHANGES: Final[Mapping[str, tuple[Callable[[str], Any], str]]] = {
    "initial_interval": (seconds, _DURATION.format("initial interval")),
    "backoff_coefficient": (float, "the backoff coefficient is a number"),
    "maximum_interval": (seconds, _DURATION.format("maximum interval")),
    "maximum_attempts": (int, "the maximum number of attempts is a whole number"),
    "deadline": (seconds, _DURATION.format("deadline")),
}
"""The fields of a change of the retry policy."""


async def _show(page: Page) -> Response:
    page.caller.check_all()
    book = _book(page)
    known = await page.use.destinations.states(page.caller, book)
    return page.render("destinations.html", known=known, others=book, breaker=breaker)


def _changed(form: Form, name: str) -> Any:
    read, wanted = _CHANGES[name]
    return field(form, name, read, wanted)


def _book(page: Page) -> Destinations | None:
    """Return the destinations of the file, or None if this process has none."""
    file: DestinationsFile | None = page.request.app.state.destinations
    return file.book if file is not None and file.configured else None


def breaker(limits: BreakerLimits | None) -> str:
    """Describe when a destination is paused."""
    if limits is None:
        return "never left alone"
    return f"left alone when {limits.failures:.0%} of at least {limits.minimum} fail"


async def _look(page: Page) -> Response:
    destination = _destination(page, page.request.query_params)
    candidates = await page.use.destinations.in_progress(page.caller, destination, limit=SHOWN + 1)
    known = await page.use.destinations.states(page.caller, None)
    state = next((one for one in known.destinations if one.name == destination), None)
    return page.render(
        "retune.html",
        destination=destination,
        flights=candidates.found[:SHOWN],
        more=len(candidates.found) > SHOWN,
        waiting=state.now.waiting if state and state.now else 0,
    )


async def _retune(page: Page, form: Form) -> Response:
    destination = _destination(page, form)
    change = RetryPolicyChange(**{name: _changed(form, name) for name in _CHANGES})
    request = RequestedOperation(
        operation=Operation.RETUNE,
        which=JourneyFilter(destination=destination),
        operator=page.caller.name,
        reason=reason_in(form),
        rate=rate_in(form),
        more={"retry": change.given()},
    )
    begun = await page.use.operations.begin(page.caller, request)
    page.use.refresh()
    return go_to(f"/operations/{begun.id}")


def _destination(page: Page, given: Mapping[str, Any]) -> str:
    page.caller.check_all()
    name = str(given.get("destination", "")).strip()
    if not name or len(name) > 300:
        raise Problem("invalid", "no destination is selected: open this page from the page of destinations")
    return name


ROUTES: Final = (
    shows("/destinations", _show),
    shows("/destinations/retune", _look),
    does("/destinations/retune", _retune),
)
