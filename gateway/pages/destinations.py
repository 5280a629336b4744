"""The pages of destinations, of one with its state, policy and attempts, and of changes to its retry policy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from starlette.responses import Response

from activities.webhook.circuit_breaker import BreakerLimits
from activities.webhook.destinations.destinations import Destinations
from activities.webhook.destinations.reading import DestinationsFile
from gateway.api.problem import Problem
from gateway.operations.retry_policy import PendingDelivery, RetryPolicyChange
from gateway.pages.chart import ChartGroup
from gateway.pages.held import operation_link
from gateway.pages.page import Form, Page, begin_operation, does, field, seconds, shows
from gateway.service.index import JourneyFilter
from gateway.service.stats import SendingCount
from scenario.time.duration import format_duration
from scenario.words import Operation

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


SHOWN: Final = 10  # deliveries in progress that are shown
_DURATION: Final = "the {} is a duration: write 30s, 15m, 2h or 3d"
_READ: Final[Mapping[str, tuple[Callable[[str], Any], str]]] = {
    "initial_interval": (seconds, _DURATION.format("pause before the second attempt")),
    "backoff_coefficient": (float, "the factor for further pauses is a number"),
    "maximum_interval": (seconds, _DURATION.format("longest pause")),
    "maximum_attempts": (int, "the maximum number of attempts is a whole number"),
    "deadline": (seconds, _DURATION.format("time for all attempts")),
}
LABELS: Final = {
    "initial_interval": "Pause before the second attempt",
    "backoff_coefficient": "Factor for further pauses",
    "maximum_interval": "Longest pause",
    "maximum_attempts": "Maximum attempts, 0 for no limit",
    "deadline": "Time for all attempts",
}
"""The values of a retry policy in words."""


async def _look(page: Page) -> Response:
    destination = _destination(page, page.given)
    candidates = await page.use.destinations.in_progress(page.caller, destination, limit=SHOWN + 1)
    known = await page.use.destinations.states(page.caller, None)
    state = next((one for one in known.destinations if one.name == destination), None)
    return page.render(
        "retune.html",
        destination=destination,
        flights=candidates.found[:SHOWN],
        more=len(candidates.found) > SHOWN,
        waiting=state.now.waiting if state and state.now else 0,
        labels=LABELS,
        in_force=in_force(candidates.found),
    )


async def _retune(page: Page, form: Form) -> Response:
    destination = _destination(page, form)
    change = RetryPolicyChange(**{name: _changed(form, name) for name in _READ})
    which = JourneyFilter(destination=destination)
    return await begin_operation(page, form, Operation.RETUNE, which, more={"retry": change.given()})


def _changed(form: Form, name: str) -> Any:
    read, wanted = _READ[name]
    return field(form, name, read, wanted)


def in_force(found: Sequence[PendingDelivery]) -> Mapping[str, str]:
    """Return the values that these deliveries use now, in words. They differ by scenario, and by jitter."""
    policies = [one.pending.retry for one in found if one.pending.retry is not None]
    used = {name: sorted({getattr(policy, name) for policy in policies}) for name in LABELS}
    return {
        name: "now " + " to ".join(dict.fromkeys((value_words(name, values[0]), value_words(name, values[-1]))))
        for name, values in used.items()
        if values
    }


def value_words(name: str, value: object) -> str:
    """Return a value of a retry policy as people write it."""
    if not isinstance(value, int | float):
        return str(value)
    if name == "maximum_attempts":
        return f"{value:g}" if value else "no limit"
    return f"{value:g}" if name == "backoff_coefficient" else format_duration(timedelta(seconds=round(value, 1)))


def changes(retry: Mapping[str, object]) -> str:
    """Describe the changes of an operation: ``longest pause 2s``."""
    return ", ".join(
        f"{LABELS.get(name, name).partition(',')[0].lower()}: {value_words(name, value)}"
        for name, value in retry.items()
    )


def _destination(page: Page, given: Mapping[str, Any]) -> str:
    page.caller.check_all()
    name = str(given.get("destination", "")).strip()
    if not name or len(name) > 300:
        raise Problem("invalid", "no destination is selected: open this page from the page of destinations")
    return name


ROUTES: Final = (
    shows("/destinations", _list),
    shows("/destinations/retune", _look),
    does("/destinations/retune", _retune, form_page=_look),
    shows("/destinations/{name:path}", _show),
)
