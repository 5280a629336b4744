"""The pages that close and open a scenario, and that pause, resume or end all of its journeys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from starlette.responses import Response

from gateway.pages.page import (
    Do,
    Form,
    Page,
    Show,
    begin_operation,
    check_sure,
    does,
    go_to,
    reason_in,
    shows,
    version_in,
)
from gateway.pages.rendering import to_scenario
from gateway.service.index import JourneyFilter
from gateway.service.stats import VersionStats
from scenario.words import Operation

_OF_JOURNEYS: Final[Mapping[str, Operation]] = {
    "pause": Operation.PAUSE,
    "resume": Operation.RESUME,
    "leave": Operation.LEAVE,
}


def _confirms(change: str) -> Show:
    """Return the page that asks for confirmation."""

    async def show(page: Page) -> Response:
        name: str = page.request.path_params["name"]
        newest = (await page.use.scenarios.versions(page.caller, name))[0]
        counts = await _counts(page, name, change) if change in _OF_JOURNEYS else dict[int, int | None]()
        return page.render("scenario_operation.html", name=name, change=change, closure=newest.closed, counts=counts)

    return show


async def _counts(page: Page, name: str, change: str) -> dict[int, int | None]:
    """Return the number of journeys that would change, by version; None where it is not known."""
    found = await page.use.journeys.stats(page.caller, name)
    return {one.version: _changing(one, change) for one in found.versions if one.under_way}


def _changing(version: VersionStats, change: str) -> int | None:
    if change == "leave":
        return version.under_way
    if version.now is None:
        return None
    return version.now.paused if change == "resume" else version.under_way - version.now.paused


def _changes_entry(change: str) -> Do:
    """Return the answer to the form that closes or opens a scenario."""

    async def take(page: Page, form: Form) -> Response:
        name: str = page.request.path_params["name"]
        if change == "close":
            await page.use.scenarios.close(page.caller, name, operator=page.caller.name, reason=reason_in(form))
        else:
            await page.use.scenarios.open(page.caller, name)
        return go_to(to_scenario(name, done=change))

    return take


def _begins(change: str) -> Do:
    """Return the answer to the form that begins an operation on all journeys."""

    async def begin(page: Page, form: Form) -> Response:
        operation = _OF_JOURNEYS[change]
        is_end = operation is Operation.LEAVE
        if is_end:
            check_sure(form, "these journeys are to end: this cannot be undone")
        which = JourneyFilter(scenario=page.request.path_params["name"], version=version_in(form))
        return await begin_operation(page, form, operation, which, everybody=is_end)

    return begin


_AT: Final = "/scenarios/{name}/"
ROUTES: Final = (
    *(shows(_AT + change, _confirms(change)) for change in ("close", "open", *_OF_JOURNEYS)),
    *(does(_AT + change, _changes_entry(change), form_page=_confirms(change)) for change in ("close", "open")),
    *(does(_AT + change, _begins(change), form_page=_confirms(change)) for change in _OF_JOURNEYS),
)
