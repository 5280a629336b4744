"""The overview, the pages of held journeys and of operations on many journeys, and those that confirm and begin one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final, get_args

from starlette.responses import Response

from gateway.api.problem import Problem
from gateway.pages.page import (
    Form,
    Page,
    Show,
    at_field,
    begin_operation,
    check_sure,
    does,
    existing,
    field,
    go_to,
    listed,
    moment_in,
    natural,
    reason_in,
    shows,
)
from gateway.pages.rendering import link, operation
from scenario.time import format_duration
from scenario.words import CAUSES, Operation, OutgoingOperation
from service.held import HeldGroupKey
from service.index import JourneyFilter
from service.operations.uncertain import UNKNOWN
from service.operations.views import ItemOutcome, OperationView

SHOWN: Final = 10  # journeys shown before an operation is confirmed
OFFERED: Final = (Operation.RETRY, Operation.SKIP, Operation.LEAVE)  # operations on held journeys


async def _list_held(page: Page) -> Response:
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


async def _confirm_on_held(page: Page) -> Response:
    operation, which, most = _selected(page.given)
    count, samples = await page.use.held.matching(page.caller, which, min(SHOWN, most or SHOWN))
    uncertain = await page.use.operations.journeys.uncertain(which) if operation is Operation.RETRY else None
    # A group of nothing else needs the tick.
    left_out = uncertain.total if uncertain is not None and which.reason != UNKNOWN else 0
    goes_to = max(count - left_out, 0)
    return page.render(
        "held_operation.html",
        verb=operation,
        which=which,
        most=most,
        count=count,
        uncertain=uncertain,
        goes_to=goes_to if most is None else min(goes_to, most),
        samples=samples,
        reasons=CAUSES,
    )


async def _begin_on_held(page: Page, form: Form) -> Response:
    operation, which, most = _selected(form)
    if operation is Operation.LEAVE:
        check_sure(form, "these journeys are to end: this cannot be undone")
    newest = operation is Operation.RETRY and form.get("version") == "newest"
    more = {"version": "newest"} if newest else {}
    unknown = operation is Operation.RETRY and form.get("unknown") == "yes"
    if which.reason == UNKNOWN and operation is Operation.RETRY and not unknown:
        raise at_field("unknown", "confirm that messages that may have been delivered are retried too")
    return await begin_operation(page, form, operation, which, limit=most, more=more, unknown=unknown)


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


_NAMED: Final = 3  # events
_VERBS: Final = (*Operation, *OutgoingOperation)
_OUTCOMES: Final[tuple[ItemOutcome, ...]] = get_args(ItemOutcome)


async def _list_operations(page: Page) -> Response:
    asked = {name: page.asked(name) for name in ("operator", "operation", "scenario", "destination", "since")}
    page, found = await listed(
        page,
        lambda: page.use.operations.list(
            page.caller,
            page.range,
            scenario=asked["scenario"],
            operation=page.choice("operation", _VERBS),
            operator=asked["operator"],
            destination=asked["destination"],
            since=moment_in(page.given, "since"),
        ),
    )
    return page.render(
        "operations.html",
        operations=found.items,
        asked=asked,
        filtered=any(asked.values()),
        verbs={verb: operation(verb) for verb in _VERBS},
        names=await page.use.scenarios.names(page.caller),
        older=page.following(found.next),
        which=which,
        change=change,
    )


async def _show_operation(page: Page) -> Response:
    view = await _operation(page)
    outcome = page.choice("outcome", _OUTCOMES)
    found = await page.use.operations.items(page.caller, view.id, page.range, outcome)
    counts = {"accepted": view.accepted, "refused": view.refused, "unanswered": view.unanswered}
    counts["stopped" if view.over else "not_asked"] = view.left
    return page.render(
        "operation.html",
        operation=view,
        at=f"/operations/{view.id}",
        items=found.items,
        now=await page.use.operations.journeys_of(found.items),
        outcome=outcome,
        outcomes=[(name, count) for name, count in counts.items() if count],
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


LABELS: Final = {  # the values of a retry policy in words
    "initial_interval": "Pause before the second attempt",
    "backoff_coefficient": "Factor for further pauses",
    "maximum_interval": "Longest pause",
    "maximum_attempts": "Maximum attempts, 0 for no limit",
    "deadline": "Time for all attempts",
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
    return await existing(page.use.operations.show(page.caller, page.request.path_params["operation"]), "operation")


def _rest(view: OperationView) -> str | None:
    """Return the link from a trial to the same operation on the remaining journeys."""
    is_trial = view.over and view.limit is not None and view.operation in OFFERED
    if not is_trial or not view.which.keys() & {"step", "destination"}:
        return None
    return operation_link(JourneyFilter.model_validate(view.which), view.operation)


_STOP_FORM: Final = _confirms("operation_stop.html")
_RESUME_FORM: Final = _confirms("operation_resume.html")
ROUTES: Final = (
    shows("/", _show_overview),
    shows("/held", _list_held),
    shows("/held/operation", _confirm_on_held),
    does("/held/operation", _begin_on_held, form_page=_confirm_on_held),
    shows("/operations", _list_operations),
    shows("/operations/{operation}", _show_operation),
    shows("/operations/{operation}/stop", _STOP_FORM),
    does("/operations/{operation}/stop", _stop, form_page=_STOP_FORM),
    shows("/operations/{operation}/resume", _RESUME_FORM),
    does("/operations/{operation}/resume", _resume, form_page=_RESUME_FORM),
)
