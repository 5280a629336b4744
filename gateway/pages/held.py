"""The page of held journeys, and the way from there to an operation on many: looked at first, then done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from starlette.responses import Response
from starlette.routing import BaseRoute

from gateway.api.problem import Problem
from gateway.client import ScenarioClient
from gateway.coalescing_cache import CoalescingCache
from gateway.operations.verbs import VERBS, Verb
from gateway.pages.fields import most_in, rate_in
from gateway.pages.links import link
from gateway.pages.page import Form, Page, does, go_to, reason_in, shows
from gateway.service.held import HeldGroupKey, HeldGroups, held_groups

FRESH: Final = 5.0
"""Seconds for which held journeys are remembered: search is some moments behind anyway."""
TRIAL: Final = 3
"""How many journeys a trial goes to."""
SHOWN: Final = 10
"""Journeys that are shown of those that an operation would go to."""

OFFERED: Final[Mapping[str, Verb]] = {word: VERBS[word] for word in ("retry", "skip", "leave")}
"""What can be done with held journeys here, by the word for it in addresses and forms."""
REASONS: Final[Mapping[str | None, str]] = {
    "permanent": "the receiver refused it for good",
    "exhausted": "attempts or time ran out",
    "unknown": "nobody knows whether it arrived",
    "unconfigured": "something is not configured",
    "template": "it could not be rendered",
    "capped": "a cap kept it back",
}
"""The words for why journeys are held, as a sentence says them."""

Held = CoalescingCache[frozenset[str] | None, HeldGroups]


def remembered(client: ScenarioClient) -> Held:
    """What finds held journeys, and remembers them for some seconds; by the scenarios that somebody may see."""

    async def find(scenarios: frozenset[str] | None) -> HeldGroups:
        return await held_groups(client.lists.index, scenarios)

    return CoalescingCache(find, FRESH)


async def held_of(page: Page, scenario: str | None = None) -> HeldGroups:
    """The held journeys that somebody may see; of one scenario, where one is named.

    Raises:
        Problem: They may not see those of this scenario.
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
        operating=operating,
        trial=TRIAL,
    )


def operating(at: HeldGroupKey, verb: str, most: int | None = None) -> str:
    """Where an operation on a group is looked at before it is done."""
    return link("/held/operation", operation=verb, most=most, **at._asdict())


async def _look(page: Page) -> Response:
    given = page.request.query_params
    verb, at, most = _verb_in(given), _group_in(page, given), most_in(given)
    index = page.client.lists.index
    count = await index.count(at.query)
    samples = await index.find(at.query, limit=min(SHOWN, most or SHOWN)) if count else []
    return page.render(
        "held_operation.html",
        verb=verb,
        at=at,
        most=most,
        count=count,
        goes_to=count if most is None else min(count, most),
        samples=samples,
        reasons=REASONS,
    )


async def _operate(page: Page, form: Form) -> Response:
    verb, at, most = _verb_in(form), _group_in(page, form), most_in(form)
    if verb == "leave" and form.get("sure") != "yes":
        raise Problem("invalid", "tick that they are to end: that cannot be taken back")
    newest = verb == "retry" and form.get("version") == "newest"
    begun = await page.client.operate(
        OFFERED[verb],
        at.filter,
        operator=page.caller.name,
        reason=reason_in(form),
        rate=rate_in(form),
        limit=most,
        version="newest" if newest else None,
    )
    cast("Held", page.request.app.state.held).clear()
    return go_to(f"/operations/{begun.id}")


def _verb_in(given: Mapping[str, Any]) -> str:
    verb = given.get("operation", "")
    if verb not in OFFERED:
        raise Problem("not-found", "there is no such operation on held journeys")
    return verb


def _group_in(page: Page, given: Mapping[str, Any]) -> HeldGroupKey:
    scenario, step = given.get("scenario", ""), given.get("step", "")
    if not scenario or not step:
        raise Problem("invalid", "say which held journeys are meant: go to them from the page of held journeys")
    page.caller.check(scenario)
    return HeldGroupKey(scenario, step, given.get("destination") or None, given.get("cause") or None)


ROUTES: Final[tuple[BaseRoute, ...]] = (
    shows("/held", _show),
    shows("/held/operation", _look),
    does("/held/operation", _operate),
)
