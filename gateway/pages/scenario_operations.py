"""The pages that close and open a scenario, and that pause, resume, end or migrate all of its journeys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from starlette.responses import Response

from activities.content import LoadedVersion
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
from gateway.service.operation_views import StepPopulationView
from gateway.service.stats import VersionStats
from scenario.plan.difference import VersionDifference, difference
from scenario.plan.migration import fate
from scenario.words import Operation

_OF_JOURNEYS: Final[Mapping[str, Operation]] = {
    "pause": Operation.PAUSE,
    "resume": Operation.RESUME,
    "leave": Operation.LEAVE,
}


def _confirms(change: str) -> Show:
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


_MAPPED: Final = "map-"  # the beginning of the names of fields that map a step, whose id follows


@dataclass(frozen=True)
class EarlierJourneys:
    """The running journeys of another version."""

    version: int
    journeys: int
    changes: VersionDifference
    standing: list[StepPopulationView] | None  # the others, or None if search fails
    between: int  # those between steps, each of which decides for itself
    mappable: Mapping[str, list[str]]  # steps that those which do not fit may be mapped to: those of the same kind

    @property
    def fitting(self) -> int:
        """The number of journeys that can be moved, as far as the plans show."""
        return self.between + sum(one.journeys for one in self.standing or () if one.fits)


async def _show_migration(page: Page) -> Response:
    name: str = page.request.path_params["name"]
    versions = await page.use.scenarios.versions(page.caller, name)
    to = version_in(page.given, "to") or versions[0].version
    target = await page.use.scenarios.opened(page.caller, name, to)
    counted = await page.use.journeys.stats(page.caller, name)
    others = [one for one in counted.versions if one.under_way and one.version != to]
    earlier = [await _earlier(page, name, one, target) for one in others]
    return page.render(
        "migration.html",
        name=name,
        to=to,
        versions=versions,
        earlier=earlier,
        mappable={step: names for one in earlier for step, names in one.mappable.items()},
        trouble=counted.trouble,
        mapped=_MAPPED,
    )


async def _earlier(page: Page, name: str, counted: VersionStats, target: LoadedVersion) -> EarlierJourneys:
    opened = await page.use.scenarios.opened(page.caller, name, counted.version)
    standing = None if counted.now is None else list(_standing(counted, opened, target))
    unfit = {one.step for one in standing or () if not one.fits}
    kinds = {step: row.kind for step, row in target.table.steps.items()}
    return EarlierJourneys(
        version=counted.version,
        journeys=counted.under_way,
        changes=difference(opened.scenario, target.scenario),
        standing=standing,
        between=max(counted.under_way - sum(one.journeys for one in standing or ()), 0),
        mappable={
            step.id: [name for name, kind in kinds.items() if kind == step.kind]
            for step in counted.steps
            if step.id in unfit
        },
    )


def _standing(counted: VersionStats, opened: LoadedVersion, target: LoadedVersion) -> Iterator[StepPopulationView]:
    for step in counted.steps:
        fits, becomes = fate(opened.table, target.table, step.id, {})
        for state, journeys in step.now or ():
            if journeys:
                yield StepPopulationView(
                    version=counted.version, step=step.id, state=state, journeys=journeys, fits=fits, becomes=becomes
                )


async def _begin_migration(page: Page, form: Form) -> Response:
    name: str = page.request.path_params["name"]
    names = {key.removeprefix(_MAPPED): step for key, step in form.items() if key.startswith(_MAPPED) and step}
    which = JourneyFilter(scenario=name, version=version_in(form))
    more = {"version": version_in(form, "to") or "newest", "waits": form.get("waits", "keep")}
    return await begin_operation(
        page, form, Operation.MIGRATE, which, more={**more, **({"map": names} if names else {})}
    )


_AT: Final = "/scenarios/{name}/"
ROUTES: Final = (
    *(shows(_AT + change, _confirms(change)) for change in ("close", "open", *_OF_JOURNEYS)),
    *(does(_AT + change, _changes_entry(change), form_page=_confirms(change)) for change in ("close", "open")),
    *(does(_AT + change, _begins(change), form_page=_confirms(change)) for change in _OF_JOURNEYS),
    shows(f"{_AT}move", _show_migration),
    does(f"{_AT}move", _begin_migration, form_page=_show_migration),
)
