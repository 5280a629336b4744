"""The page that moves running journeys to another version of their scenario."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from starlette.responses import Response

from activities.content import LoadedVersion
from gateway.pages.page import Form, Page, begin_operation, does, shows, version_in
from gateway.service.index import JourneyFilter
from gateway.service.operation_views import StepPopulationView
from gateway.service.stats import VersionStats
from scenario.plan.difference import VersionDifference, difference
from scenario.plan.migration import fate
from scenario.words import Operation

_MAPPED: Final = "map-"  # the beginning of the names of fields that map a step, whose id follows


@dataclass(frozen=True)
class EarlierJourneys:
    """The running journeys of another version."""

    version: int
    journeys: int
    changes: VersionDifference
    standing: list[StepPopulationView] | None
    """The others, or None if search fails."""
    between: int
    """Those between steps, each of which decides for itself."""
    mappable: Mapping[str, list[str]]
    """Steps that those which do not fit may be mapped to: those of the same kind."""

    @property
    def fitting(self) -> int:
        """The number of journeys that can be moved, as far as the plans show."""
        return self.between + sum(one.journeys for one in self.standing or () if one.fits)


async def _show(page: Page) -> Response:
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


async def _begin(page: Page, form: Form) -> Response:
    name: str = page.request.path_params["name"]
    names = {key.removeprefix(_MAPPED): step for key, step in form.items() if key.startswith(_MAPPED) and step}
    which = JourneyFilter(scenario=name, version=version_in(form))
    more = {"version": version_in(form, "to") or "newest", "waits": form.get("waits", "keep")}
    return await begin_operation(
        page, form, Operation.MIGRATE, which, more={**more, **({"map": names} if names else {})}
    )


_AT: Final = "/scenarios/{name}/move"
ROUTES: Final = (shows(_AT, _show), does(_AT, _begin, form_page=_show))
