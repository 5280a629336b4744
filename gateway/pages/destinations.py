"""The page of destinations: their limits, state and waiting deliveries; and the form that retunes deliveries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from starlette.responses import Response
from starlette.routing import BaseRoute

from activities.webhook.destinations.reading import DestinationsFile
from activities.webhook.throttle.limits import BreakerLimits
from gateway.api.problem import Problem
from gateway.client import ScenarioClient
from gateway.coalescing_cache import CoalescingCache
from gateway.operations.request import RequestedOperation
from gateway.operations.retry_policy import Change
from gateway.pages.fields import number_in, rate_in, seconds_in
from gateway.pages.page import Form, Page, does, go_to, reason_in, shows
from gateway.service.caller import TERMINAL
from gateway.service.destinations import DestinationStates
from gateway.service.index import JourneyFilter
from scenario.words import Operation

FRESH: Final = 10.0
"""Seconds for which the state of destinations is cached."""
SHOWN: Final = 10
"""Deliveries in progress shown before a change of their retry policy."""
_ALL: Final = "destinations are of all scenarios, and your key is for some only"

Known = CoalescingCache[None, DestinationStates]


def remembered(client: ScenarioClient, file: DestinationsFile | None) -> Known:
    """Return a cache of the state of destinations."""

    async def find(_: None) -> DestinationStates:
        book = file.book if file is not None and file.configured else None
        return await client.services.destinations.states(TERMINAL, book)

    return CoalescingCache(find, FRESH)


async def _show(page: Page) -> Response:
    if page.caller.scenarios is not None:
        raise Problem("forbidden", _ALL)
    file = cast("DestinationsFile | None", page.request.app.state.destinations)
    known = await cast("Known", page.request.app.state.standings).get(None)
    others = file.book if file is not None and file.configured else None
    return page.render("destinations.html", known=known, others=others, breaker=breaker)


def breaker(limits: BreakerLimits | None) -> str:
    """Describe when a destination is paused."""
    if limits is None:
        return "never left alone"
    return f"left alone when {limits.failures:.0%} of at least {limits.minimum} fail"


async def _look(page: Page) -> Response:
    destination = _destination(page, page.request.query_params)
    candidates = await page.client.retune_candidates(destination, limit=SHOWN + 1)
    known = await cast("Known", page.request.app.state.standings).get(None)
    standing = next((one for one in known.destinations if one.name == destination), None)
    return page.render(
        "retune.html",
        destination=destination,
        flights=candidates.found[:SHOWN],
        more=len(candidates.found) > SHOWN,
        waiting=standing.now.waiting if standing and standing.now else 0,
    )


async def _retune(page: Page, form: Form) -> Response:
    destination = _destination(page, form)
    attempts = number_in(form, "maximum_attempts")
    change = Change(
        initial_interval=seconds_in(form, "initial_interval"),
        backoff_coefficient=number_in(form, "backoff_coefficient"),
        maximum_interval=seconds_in(form, "maximum_interval"),
        maximum_attempts=None if attempts is None else int(attempts),
        deadline=seconds_in(form, "deadline"),
    )
    request = RequestedOperation(
        operation=Operation.RETUNE,
        which=JourneyFilter(destination=destination),
        operator=page.caller.name,
        reason=reason_in(form),
        rate=rate_in(form),
        more={"retry": change.given()},
    )
    begun = await page.use.operations.begin(page.caller, request)
    cast("Known", page.request.app.state.standings).clear()
    return go_to(f"/operations/{begun.id}")


def _destination(page: Page, given: Mapping[str, Any]) -> str:
    if page.caller.scenarios is not None:
        raise Problem("forbidden", _ALL)
    name = str(given.get("destination", "")).strip()
    if not name or len(name) > 300:
        raise Problem("invalid", "say which destination is meant: go to it from the page of destinations")
    return name


ROUTES: Final[tuple[BaseRoute, ...]] = (
    shows("/destinations", _show),
    shows("/destinations/retune", _look),
    does("/destinations/retune", _retune),
)
