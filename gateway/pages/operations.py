"""The pages of operations on many journeys: the list, one operation with its journeys, stop and resume."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from gateway.api.problem import Problem
from gateway.errors import Forbidden, UnknownOperation
from gateway.operations.request import RequestedOperation
from gateway.pages.held import OFFERED, operation_link
from gateway.pages.page import Form, Page, Show, does, go_to, reason_in, shows
from gateway.pages.rendering import link
from gateway.service.held import HeldGroupKey
from gateway.service.index import JourneyFilter
from gateway.service.operation_views import OperationView
from gateway.service.paging import PageRequest
from scenario.words import Operation

LISTED: Final = 50
"""Operations, or journeys of one, per page."""
_OUTCOMES: Final = ("accepted", "refused", "unanswered", "not_asked", "stopped")


async def _list(page: Page) -> Response:
    found = await page.use.operations.list(page.caller, PageRequest(LISTED, page.asked("after")))
    older = link("/operations", after=found.next) if found.next else None
    return page.render("operations.html", operations=found.items, older=older, which=which)


async def _show(page: Page) -> Response:
    view = await _operation(page)
    outcome = page.asked("outcome")
    if outcome not in (None, *_OUTCOMES):
        raise Problem("invalid", f"there is no outcome '{outcome}': it is one of {', '.join(_OUTCOMES)}")
    request = PageRequest(LISTED, page.asked("after"))
    found = await page.use.operations.items(page.caller, view.id, request, outcome)
    at = f"/operations/{view.id}"
    return page.render(
        "operation.html",
        operation=view,
        at=at,
        items=found.items,
        now=await page.use.operations.journeys_of(found.items),
        outcome=outcome,
        outcomes=[(name, count) for name, count in _counts(view).items() if count],
        older=link(at, outcome=outcome, after=found.next) if found.next else None,
        rest=_rest(view),
        which=which,
    )


def _confirms(template: str) -> Show:
    """Return the page that asks for confirmation of a change to an operation."""

    async def show(page: Page) -> Response:
        view = await _operation(page)
        return page.render(template, operation=view, at=f"/operations/{view.id}")

    return show


async def _stop(page: Page, form: Form) -> Response:
    view = await _operation(page)
    await page.use.operations.stop(page.caller, view.id, operator=page.caller.name, reason=reason_in(form))
    return go_to(f"/operations/{view.id}")


async def _resume(page: Page, form: Form) -> Response:
    view = await _operation(page)
    paused = JourneyFilter(scenario=view.which.get("scenario"), operation=view.id)
    request = RequestedOperation(
        operation=Operation.RESUME, which=paused, operator=page.caller.name, reason=reason_in(form)
    )
    begun = await page.use.operations.begin(page.caller, request)
    return go_to(f"/operations/{begun.id}")


def which(view: OperationView) -> str:
    """Return the filters of an operation, on one line."""
    names = {"reason": "held for", "operation": "paused by operation"}
    return ", ".join(f"{names.get(name, name)} {value}" for name, value in view.which.items())


async def _operation(page: Page) -> OperationView:
    try:
        return await page.use.operations.show(page.caller, page.request.path_params["operation"])
    except (UnknownOperation, Forbidden):
        raise Problem("not-found", "there is no such operation") from None


def _counts(view: OperationView) -> dict[str, int]:
    return {
        "accepted": view.accepted,
        "refused": view.refused,
        "unanswered": view.unanswered,
        "not_asked" if not view.over else "stopped": view.left,
    }


def _rest(view: OperationView) -> str | None:
    """Return the link from a trial to the same operation on the remaining journeys."""
    filters = view.which
    if not view.over or view.limit is None or view.operation not in OFFERED or "step" not in filters:
        return None
    at = HeldGroupKey(filters["scenario"], filters["step"], filters.get("destination"), filters.get("reason"))
    return operation_link(at, view.operation)


ROUTES: Final = (
    shows("/operations", _list),
    shows("/operations/{operation}", _show),
    shows("/operations/{operation}/stop", _confirms("operation_stop.html")),
    does("/operations/{operation}/stop", _stop),
    shows("/operations/{operation}/resume", _confirms("operation_resume.html")),
    does("/operations/{operation}/resume", _resume),
)
