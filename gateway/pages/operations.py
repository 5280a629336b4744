"""The pages of operations on many journeys: which there are, how one goes, and the button that stops it."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response
from starlette.routing import BaseRoute

from gateway.api.problem import Problem
from gateway.errors import UnknownOperation
from gateway.operations.progress import OperationView
from gateway.pages.held import operating
from gateway.pages.links import link
from gateway.pages.page import Form, Page, does, go_to, reason_in, shows
from gateway.service.held import HeldGroupKey
from gateway.service.index import JourneyFilter

LISTED: Final = 50
"""Operations, and journeys of one, that a page has."""
_OUTCOMES: Final = ("accepted", "refused", "unanswered", "not_asked", "stopped")


async def _list(page: Page) -> Response:
    found = await page.client.operations(limit=LISTED, after=page.asked("after"))
    older = link("/operations", after=found[-1].id) if len(found) == LISTED else None
    mine = [one for one in found if page.caller.may_use(one.which.get("scenario"))]
    return page.render("operations.html", operations=mine, older=older, which=which)


async def _show(page: Page) -> Response:
    view = await _operation(page)
    outcome = page.asked("outcome")
    if outcome not in (None, *_OUTCOMES):
        raise Problem("invalid", f"no journey of an operation is '{outcome}': it is one of {', '.join(_OUTCOMES)}")
    items = await page.client.operation_items(view.id, outcome=outcome, after=_place(page), limit=LISTED)
    now = await page.client.lists.index.states([item.workflow_id for item in items])
    at = f"/operations/{view.id}"
    older = None
    if len(items) == LISTED:
        older = link(at, outcome=outcome, after=items[-1].workflow_id, number=items[-1].number)
    return page.render(
        "operation.html",
        operation=view,
        at=at,
        items=items,
        now=now,
        outcome=outcome,
        outcomes=[(name, of) for name, of in _counts(view).items() if of],
        older=older,
        rest=_rest(view),
        which=which,
    )


async def _ask_to_stop(page: Page) -> Response:
    view = await _operation(page)
    return page.render("operation_stop.html", operation=view, at=f"/operations/{view.id}")


async def _stop(page: Page, form: Form) -> Response:
    view = await _operation(page)
    await page.client.stop_operation(view.id, operator=page.caller.name, reason=reason_in(form))
    return go_to(f"/operations/{view.id}")


async def _ask_to_resume(page: Page) -> Response:
    view = await _operation(page)
    return page.render("operation_resume.html", operation=view, at=f"/operations/{view.id}")


async def _resume(page: Page, form: Form) -> Response:
    view = await _operation(page)
    meant = JourneyFilter(scenario=view.which.get("scenario"), operation=view.id)
    begun = await page.client.operate("resume", meant, operator=page.caller.name, reason=reason_in(form))
    return go_to(f"/operations/{begun.id}")


def which(view: OperationView) -> str:
    """Which journeys an operation is about, in a line."""
    names = {"reason": "held for", "operation": "paused by operation"}
    return ", ".join(f"{names.get(name, name)} {value}" for name, value in view.which.items())


async def _operation(page: Page) -> OperationView:
    unknown = Problem("not-found", "there is no such operation")
    try:
        view = await page.client.operation(page.request.path_params["operation"])
    except UnknownOperation:
        raise unknown from None
    if not page.caller.may_use(view.which.get("scenario")):
        raise unknown
    return view


def _place(page: Page) -> tuple[int, str] | None:
    after, number = page.asked("after"), page.asked("number") or ""
    if after is None:
        return None
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        raise Problem("invalid", "the page asked for is not of this list: go to its first page")
    return int(number), after


def _counts(view: OperationView) -> dict[str, int]:
    return {
        "accepted": view.accepted,
        "refused": view.refused,
        "unanswered": view.unanswered,
        "not_asked" if not view.over else "stopped": view.left,
    }


def _rest(view: OperationView) -> str | None:
    """Where a trial leads to: the same for all that are left."""
    verb, given = view.word, view.which
    if not view.over or view.limit is None or verb not in ("retry", "skip", "leave") or "step" not in given:
        return None
    return operating(
        HeldGroupKey(given["scenario"], given["step"], given.get("destination"), given.get("reason")), verb
    )


ROUTES: Final[tuple[BaseRoute, ...]] = (
    shows("/operations", _list),
    shows("/operations/{operation}", _show),
    shows("/operations/{operation}/stop", _ask_to_stop),
    does("/operations/{operation}/stop", _stop),
    shows("/operations/{operation}/resume", _ask_to_resume),
    does("/operations/{operation}/resume", _resume),
)
