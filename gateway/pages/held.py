"""The first page, the page of held journeys, and the pages that confirm and begin an operation on a group of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response

from gateway.api.problem import Problem
from gateway.pages.page import Form, Page, begin_operation, check_sure, does, field, natural, shows
from gateway.pages.rendering import link
from gateway.service.held import HeldGroupKey
from gateway.service.index import JourneyFilter
from scenario.words import CAUSES, Operation

SHOWN: Final = 10  # journeys shown before an operation is confirmed
OFFERED: Final = (Operation.RETRY, Operation.SKIP, Operation.LEAVE)  # operations on held journeys


async def _show(page: Page) -> Response:
    asked = {name: page.asked(name) for name in HeldGroupKey._fields}
    wanted = {name: value for name, value in asked.items() if value is not None}
    found = await page.use.held.groups(page.caller, asked["scenario"])
    shown = [one for one in found.groups if all(getattr(one.at, name) == value for name, value in wanted.items())]
    at_one = Counter(one.at.destination for one in shown if one.at.destination)
    return page.render(
        "held.html",
        groups=shown,
        # Of a destination with several groups, all journeys are operated together.
        destinations=[
            (JourneyFilter(destination=name), sum(one.count for one in shown if one.at.destination == name))
            for name, groups in at_one.items()
            if groups > 1 and page.caller.scenarios is None and wanted.keys() <= {"destination"}
        ],
        total=sum(one.count for one in shown) if wanted else found.total,
        others=found.others,
        wanted=wanted,
        reasons=CAUSES,
        operation_link=operation_link,
    )


def operation_link(which: JourneyFilter, operation: str, most: int | None = None) -> str:
    """Return the URL of the page that confirms an operation on held journeys."""
    place = {"scenario": which.scenario, "step": which.step, "destination": which.destination, "cause": which.reason}
    return link("/held/operation", operation=operation, most=most, **place)


async def _confirm(page: Page) -> Response:
    operation, which, most = _selected(page.given)
    count, samples = await page.use.held.matching(page.caller, which, min(SHOWN, most or SHOWN))
    return page.render(
        "held_operation.html",
        verb=operation,
        which=which,
        most=most,
        count=count,
        goes_to=count if most is None else min(count, most),
        samples=samples,
        reasons=CAUSES,
    )


async def _begin(page: Page, form: Form) -> Response:
    operation, which, most = _selected(form)
    if operation is Operation.LEAVE:
        check_sure(form, "these journeys are to end: this cannot be undone")
    newest = operation is Operation.RETRY and form.get("version") == "newest"
    more = {"version": "newest"} if newest else {}
    return await begin_operation(page, form, operation, which, limit=most, more=more)


def _selected(given: Mapping[str, Any]) -> tuple[Operation, JourneyFilter, int | None]:
    """Return the operation, its journeys (of a group, or of a destination), and their maximum number."""
    operation, most = given.get("operation", ""), "the maximum number of journeys must be at least 1"
    if operation not in OFFERED:
        raise Problem("not-found", "there is no such operation on held journeys")
    scenario, step, destination, cause = (given.get(name) or None for name in HeldGroupKey._fields)
    if not destination and not (scenario and step):
        raise Problem("invalid", "no held journeys are selected: open this page from the page of held journeys")
    which = JourneyFilter(scenario=scenario, step=step, destination=destination, reason=cause)
    return Operation(operation), which, field(given, "most", natural, most)


async def _show_overview(page: Page) -> Response:
    return page.render("overview.html", seen=await page.use.overview.show(page.caller), reasons=CAUSES)


ROUTES: Final = (
    shows("/", _show_overview),
    shows("/held", _show),
    shows("/held/operation", _confirm),
    does("/held/operation", _begin, form_page=_confirm),
)
