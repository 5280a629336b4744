"""The page of held journeys, and the pages that confirm and begin an operation on a group of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response

from gateway.api.problem import Problem
from gateway.operations.request import RequestedOperation
from gateway.operations.run import RATE
from gateway.pages.page import Form, Page, at_field, does, field, go_to, natural, reason_in, shows
from gateway.pages.rendering import link
from gateway.service.held import HeldGroupKey
from scenario.words import HeldCause, Operation

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
    HeldCause.TEMPLATE: "a template, condition or date could not be evaluated",
    HeldCause.CAPPED: "a cap is full",
}
"""Causes as parts of a sentence."""


async def _show(page: Page) -> Response:
    asked = {name: page.asked(name) for name in HeldGroupKey._fields}
    wanted = {name: value for name, value in asked.items() if value is not None}
    found = await page.use.held.groups(page.caller, asked["scenario"])
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
    """Return the URL of the page that confirms an operation on a group."""
    return link("/held/operation", operation=operation, most=most, **at._asdict())


async def _confirm(page: Page) -> Response:
    operation, at, most = _selected(page.given)
    found = await page.use.held.group(page.caller, at, min(SHOWN, most or SHOWN))
    return page.render(
        "held_operation.html",
        verb=operation,
        at=at,
        most=most,
        count=found.count,
        goes_to=found.count if most is None else min(found.count, most),
        samples=found.samples,
        reasons=REASONS,
    )


async def _begin(page: Page, form: Form) -> Response:
    operation, at, most = _selected(form)
    if operation is Operation.LEAVE and form.get("sure") != "yes":
        raise at_field("sure", "confirm that these journeys are to end: this cannot be undone")
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
    page.use.refresh()
    return go_to(f"/operations/{begun.id}")


def _selected(given: Mapping[str, Any]) -> tuple[Operation, HeldGroupKey, int | None]:
    """Return the operation, the group, and the maximum number of journeys."""
    operation, scenario, step = (given.get(name, "") for name in ("operation", "scenario", "step"))
    if operation not in OFFERED:
        raise Problem("not-found", "there is no such operation on held journeys")
    if not scenario or not step:
        raise Problem("invalid", "no held journeys are selected: open this page from the page of held journeys")
    at = HeldGroupKey(scenario, step, given.get("destination") or None, given.get("cause") or None)
    return Operation(operation), at, field(given, "most", natural, "the maximum number of journeys must be at least 1")


def rate_in(form: Form) -> float:
    """Return the maximum rate of an operation, in journeys a second."""
    rate = field(form, "rate", float, "the rate is a number of journeys a second")
    return RATE if rate is None else rate


ROUTES: Final = (
    shows("/held", _show),
    shows("/held/operation", _confirm),
    does("/held/operation", _begin, form_page=_confirm),
)
