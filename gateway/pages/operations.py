"""The pages of operations on many journeys: the list, one operation with its journeys, stop and resume."""

from __future__ import annotations

from typing import Final, get_args

from starlette.responses import Response

from gateway.api.problem import Problem, problem_of
from gateway.errors import BadInput, Forbidden, NotFound
from gateway.pages.destinations import changes
from gateway.pages.held import OFFERED, operation_link
from gateway.pages.page import (
    Form,
    Page,
    Show,
    begin_operation,
    does,
    field,
    go_to,
    moment_in,
    reason_in,
    refused,
    shows,
)
from gateway.pages.rendering import operation
from gateway.service.index import JourneyFilter
from gateway.service.operation_views import ItemOutcome, OperationView
from gateway.service.view import PageView
from scenario.words import CAUSES, Operation, OutgoingOperation

_NAMED: Final = 3  # events
_OUTCOMES: Final[tuple[ItemOutcome, ...]] = get_args(ItemOutcome)


def _verb(word: str) -> Operation | OutgoingOperation:
    try:
        return Operation(word)
    except ValueError:
        return OutgoingOperation(word)


async def _list(page: Page) -> Response:
    asked = {name: page.asked(name) for name in ("operator", "operation", "scenario", "destination", "since")}
    found = PageView[OperationView](items=[], next=None)
    try:
        found = await page.use.operations.list(
            page.caller,
            page.range,
            scenario=asked["scenario"],
            operation=field(page.given, "operation", _verb, "there is no such operation: choose one of the list"),
            operator=asked["operator"],
            destination=asked["destination"],
            since=moment_in(page.given, "since"),
        )
    except (Problem, BadInput) as error:
        page = refused(page, problem_of(error))
    return page.render(
        "operations.html",
        operations=found.items,
        asked=asked,
        filtered=any(asked.values()),
        verbs={verb: operation(verb) for verb in (*Operation, *OutgoingOperation)},
        names=await page.use.scenarios.names(page.caller),
        older=page.following(found.next),
        which=which,
        change=change,
    )


async def _show(page: Page) -> Response:
    view = await _operation(page)
    outcome = page.choice("outcome", _OUTCOMES)
    found = await page.use.operations.items(page.caller, view.id, page.range, outcome)
    return page.render(
        "operation.html",
        operation=view,
        at=f"/operations/{view.id}",
        items=found.items,
        now=await page.use.operations.journeys_of(found.items),
        outcome=outcome,
        outcomes=[(name, count) for name, count in _counts(view).items() if count],
        older=page.following(found.next),
        rest=_rest(view),
        which=which,
        change=change,
    )


def _confirms(template: str) -> Show:
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
    return await begin_operation(page, form, Operation.RESUME, paused)


def which(view: OperationView) -> str:
    """Return the filters of an operation, on one line."""
    names = {"reason": "held because", "operation": "paused by operation"}
    return ", ".join(f"{names.get(name, name)} {CAUSES.get(value, value)}" for name, value in view.which.items())


def change(view: OperationView) -> str:
    """Return an operation's further arguments, on one line: what a change of retries changes, a version."""
    more = {name: value for name, value in view.more.items() if view.which.get(name) != value}
    retry, version, waits = (more.pop(name, None) for name in ("retry", "version", "waits"))
    parts = [changes(retry)] if retry else []
    if version is not None:
        named = "the newest version" if version == "newest" else f"version {version}"
        parts.append(f"{'to' if view.operation == Operation.MIGRATE else 'with the templates of'} {named}")
    if more.pop("now", False):
        parts.append("in spite of quiet hours, windows and caps")
    if waits is not None:
        parts.append("waits start again" if waits == "restart" else "waits keep their start")
    if ids := more.pop("ids", ()):
        parts.append(f"events {', '.join(ids[:_NAMED])}{' and others' if len(ids) > _NAMED else ''}")
    return "; ".join((*parts, *(f"{name}: {value}" for name, value in more.items())))


async def _operation(page: Page) -> OperationView:
    try:
        return await page.use.operations.show(page.caller, page.request.path_params["operation"])
    except (NotFound, Forbidden):
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
    if (
        not view.over
        or view.limit is None
        or view.operation not in OFFERED
        or not filters.keys() & {"step", "destination"}
    ):
        return None
    return operation_link(JourneyFilter.model_validate(filters), view.operation)


_STOP_FORM: Final = _confirms("operation_stop.html")
_RESUME_FORM: Final = _confirms("operation_resume.html")
ROUTES: Final = (
    shows("/operations", _list),
    shows("/operations/{operation}", _show),
    shows("/operations/{operation}/stop", _STOP_FORM),
    does("/operations/{operation}/stop", _stop, form_page=_STOP_FORM),
    shows("/operations/{operation}/resume", _RESUME_FORM),
    does("/operations/{operation}/resume", _resume, form_page=_RESUME_FORM),
)
