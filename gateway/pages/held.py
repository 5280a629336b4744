"""The page of held journeys, and the pages that confirm and begin an operation on a group of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from starlette.responses import Response
from starlette.routing import BaseRoute

from gateway.api.problem import Problem
from gateway.client import ScenarioClient
from gateway.coalescing_cache import CoalescingCache
from gateway.operations.request import RequestedOperation
from gateway.pages.fields import most_in, rate_in
from gateway.pages.links import link
from gateway.pages.page import Form, Page, does, go_to, reason_in, shows
from gateway.service.held import HeldGroupKey, HeldGroups, held_groups
from scenario.words import HeldCause, Operation

FRESH: Final = 5.0
"""Seconds for which held journeys are cached. Temporal's search lags anyway."""
TRIAL: Final = 3
"""Journeys of a trial."""
SHOWN: Final = 10
"""Journeys shown before an operation is confirmed."""

OFFERED: Final = (Operation.RETRY, Operation.SKIP, Operation.LEAVE)
"""Operations on held journeys."""
REASONS: Final[Mapping[HeldCause, str]] = {
    HeldCause.PERMANENT: "the receiver refused it permanently",
    HeldCause.EXHAUSTED: "attempts or time ran out",
    HeldCause.UNKNOWN: "it may or may not have arrived",
    HeldCause.UNCONFIGURED: "something is not configured",
    HeldCause.TEMPLATE: "it could not be rendered",
    HeldCause.CAPPED: "a cap is full",
}
"""Causes as parts of a sentence."""

Held = CoalescingCache[frozenset[str] | None, HeldGroups]


def remembered(client: ScenarioClient) -> Held:
    """Return a cache of held journeys, by the scenarios that a caller may see."""

    async def find(scenarios: frozenset[str] | None) -> HeldGroups:
        return await held_groups(client.lists.index, scenarios)

    return CoalescingCache(find, FRESH)


async def held_of(page: Page, scenario: str | None = None) -> HeldGroups:
    """Return the held journeys of one scenario, or of all that the caller may see.

    Raises:
        Forbidden: The caller may not use the scenario.
    """
    held = cast("Held", page.request.app.state.held)
    names = page.caller.scenarios
    if scenario is not None:
        page.caller.check(scenario)
        names = [scenario]
    return await held.get(None if names is None else frozenset(names))


async def _show(page: Page) -> Response:
    asked = {name: page.asked(name) for name in ("scenario", "step", "destination")}
    found = await held_of(page, asked["scenario"])
    wanted = {name: value for name, value in asked.items() if value is not None}
    shown = [one for one in found.groups if all(getattr(one.at, name) == value for name, value in wanted.items())]
    return page.render(
        "held.html",
        groups=shown,
        total=sum(one.count for one in shown) if wanted else found.total,
        others=found.others,
        wanted=wanted,
        reasons=REASONS,
        operation_link=operation_link,
        trial=TRIAL,
    )


def operation_link(at: HeldGroupKey, operation: str, most: int | None = None) -> str:
    """Return the address of the page that confirms an operation on a group."""
    return link("/held/operation", operation=operation, most=most, **at._asdict())


async def _confirm(page: Page) -> Response:
    given = page.request.query_params
    operation, at, most = _operation_in(given), _group_in(page, given), most_in(given)
    index = page.client.lists.index
    count = await index.count(at.query)
    samples = await index.find(at.query, limit=min(SHOWN, most or SHOWN)) if count else []
    return page.render(
        "held_operation.html",
        verb=operation,
        at=at,
        most=most,
        count=count,
        goes_to=count if most is None else min(count, most),
        samples=samples,
        reasons=REASONS,
    )


async def _begin(page: Page, form: Form) -> Response:
    operation, at, most = _operation_in(form), _group_in(page, form), most_in(form)
    if operation is Operation.LEAVE and form.get("sure") != "yes":
        raise Problem("invalid", "confirm that these journeys are to end: this cannot be undone")
    newest = operation is Operation.RETRY and form.get("version") == "newest"
    request = RequestedOperation(
        operation=operation,
        which=at.filter,
        operator=page.caller.name,
        reason=reason_in(form),
        rate=rate_in(form),
        limit=most,
        more={"version": "newest"} if newest else {},
    )
    begun = await page.use.operations.begin(page.caller, request)
    cast("Held", page.request.app.state.held).clear()
    return go_to(f"/operations/{begun.id}")


def _operation_in(given: Mapping[str, Any]) -> Operation:
    name = given.get("operation", "")
    if name not in OFFERED:
        raise Problem("not-found", "there is no such operation on held journeys")
    return Operation(name)


def _group_in(page: Page, given: Mapping[str, Any]) -> HeldGroupKey:
    scenario, step = given.get("scenario", ""), given.get("step", "")
    if not scenario or not step:
        raise Problem("invalid", "no held journeys are selected: open this page from the page of held journeys")
    page.caller.check(scenario)
    return HeldGroupKey(scenario, step, given.get("destination") or None, given.get("cause") or None)


ROUTES: Final[tuple[BaseRoute, ...]] = (
    shows("/held", _show),
    shows("/held/operation", _confirm),
    does("/held/operation", _begin),
)
