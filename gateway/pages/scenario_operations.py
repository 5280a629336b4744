"""The pages that publish, close and open a scenario, and that pause, resume, end or migrate all of its journeys."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

from markupsafe import Markup
from starlette.datastructures import UploadFile
from starlette.responses import Response

from activities.content import LoadedVersion
from authoring.errors import Refusal
from authoring.map.map import ScenarioMap
from authoring.map.outline import Overlay
from authoring.map.outline import since as changed_since
from authoring.publishing import Journeys
from gateway.api.problem import VERSIONED, Problem, problem_of
from gateway.pages.page import (
    Do,
    Form,
    Page,
    Show,
    at_field,
    begin_operation,
    check_sure,
    does,
    go_to,
    reason_in,
    refused,
    shows,
    version_in,
)
from gateway.pages.rendering import to_scenario
from scenario.model.scenario import Scenario
from scenario.plan.compile import compile_plan
from scenario.plan.migration import VersionDifference, difference, fate
from scenario.words import Operation
from service.authoring import AuthoringService, NextVersion
from service.index import JourneyFilter
from service.operations.migration import StepPopulation
from service.stats import VersionStats

AT: Final = "/scenarios/-/publish"  # the address. No scenario is called so
LARGER: Final[Mapping[str, int]] = {AT: 4 * 1024 * 1024}  # maximum bytes of the form
_FILES: Final = 20
_REFERENCE: Final = re.compile(r"""\bfile:\s*["']?([^\s"'}]+)""")


async def _show_draft(page: Page) -> Response:
    """Show the form; with a published version in the address, its text, compared with the newest version."""
    version = page.asked("version")
    if version is None or not page.may("publish"):
        return await _render(page, "", {})
    if not re.fullmatch(VERSIONED, version):
        raise Problem("not-found", "this version is not published")
    author: AuthoringService = page.request.app.state.authoring
    source = await author.source(page.caller, version)
    return await _render(page, source, {}, await author.next_version(page.caller, source, {}), stored=version)


async def _answer_draft(page: Page, form: Form) -> Response:
    paths = ((number, form.get(f"path-{number}", "").strip()) for number in range(_FILES))
    # The texts in the form that the scenario may refer to, by path.
    source, files = "", {path: form.get(f"text-{number}", "") for number, path in paths if path}
    try:
        source = await _source(page, form)
        files |= await _chosen(page, source, _FILES - len(files))
        return await _check(page, form, source, files)
    except (Problem, Refusal) as error:
        source = source or form.get("source", "")
        return await _render(refused(page, problem_of(error), form), source, files)


async def _check(page: Page, form: Form, source: str, files: Mapping[str, str]) -> Response:
    author: AuthoringService = page.request.app.state.authoring
    made = await author.next_version(page.caller, source, files)
    if made.scenario is None or form.get("do") != "publish":
        return await _render(page, source, files, made, status=200 if made.scenario else 422)
    if form.get("identity") != made.identity:
        text = "the text was changed after the check, or another version was published: look at the differences below"
        return await _render(refused(page, Problem("conflict", text), form), source, files, made)
    journeys: Journeys = "follow" if form.get("journeys") == "follow" else "pin"
    published = await author.publish_next(page.caller, made, journeys)
    return go_to(to_scenario(published.scenario, done="publish"))


async def _render(
    page: Page,
    source: str,
    files: Mapping[str, str],
    made: NextVersion | None = None,
    *,
    stored: str | None = None,
    status: int = 200,
) -> Response:
    drawn = await asyncio.to_thread(_map, made, made.scenario) if made and made.scenario else None
    return page.render(
        "publish.html",
        status=status,
        at=AT,
        source=source,
        lines=source.split("\n"),
        files=files,
        made=made,
        stored=stored,
        map=drawn,
    )


def _map(made: NextVersion, scenario: Scenario) -> Markup:
    overlay = changed_since(made.difference) if made.difference else Overlay()
    name = f"{scenario.scenario}@{(made.newest or 0) + 1}"
    drawn = ScenarioMap(compile_plan(scenario), name, scenario.trigger, overlay)
    return Markup(drawn.svg())  # noqa: S704 - it escapes its values


async def _source(page: Page, form: Form) -> str:
    async for _, text in _uploaded(page, "file"):
        return text
    if not form.get("source", "").strip():
        raise at_field("source", "choose a scenario file, or paste one")
    return form["source"].replace("\r\n", "\n")  # browsers send texts with these line ends


async def _chosen(page: Page, source: str, most: int) -> dict[str, str]:
    """Return the uploaded texts, by the paths by which the scenario refers to their names: browsers send no folders."""
    paths = {PurePosixPath(path).name: path for path in _REFERENCE.findall(source)}
    found = {paths.get(name, name): text async for name, text in _uploaded(page, "files")}
    if len(found) > most:
        raise at_field("files", f"this page takes {_FILES} files at most: use the command or the API")
    return found


async def _uploaded(page: Page, field: str) -> AsyncIterator[tuple[str, str]]:
    for file in (await page.request.form()).getlist(field):
        if isinstance(file, UploadFile) and file.filename:
            name = PurePosixPath(file.filename).name
            try:
                yield name, (await file.read()).decode("utf-8-sig")
            except UnicodeDecodeError:
                raise at_field(field, f"the file '{name}' is not UTF-8: save it as UTF-8") from None


_OF_JOURNEYS: Final = (Operation.PAUSE, Operation.RESUME, Operation.LEAVE)


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

    def changing(version: VersionStats) -> int | None:
        if change == "leave":
            return version.under_way
        if version.now is None:
            return None
        return version.now.paused if change == "resume" else version.under_way - version.now.paused

    return {one.version: changing(one) for one in found.versions if one.under_way}


def _changes_entry(change: str) -> Do:
    async def take(page: Page, form: Form) -> Response:
        name: str = page.request.path_params["name"]
        if change == "close":
            await page.use.scenarios.close(page.caller, name, operator=page.caller.name, reason=reason_in(form))
        else:
            await page.use.scenarios.open(page.caller, name)
        return go_to(to_scenario(name, done=change))

    return take


def _begins(operation: Operation) -> Do:
    async def begin(page: Page, form: Form) -> Response:
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
    standing: list[StepPopulation] | None  # the others, or None if search fails
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


def _standing(counted: VersionStats, opened: LoadedVersion, target: LoadedVersion) -> Iterator[StepPopulation]:
    for step in counted.steps:
        fits, becomes = fate(opened.table, target.table, step.id, {})
        for state, journeys in step.now or ():
            if journeys:
                yield StepPopulation(
                    version=counted.version, step=step.id, state=state, journeys=journeys, fits=fits, becomes=becomes
                )


async def _begin_migration(page: Page, form: Form) -> Response:
    name: str = page.request.path_params["name"]
    names = {key.removeprefix(_MAPPED): step for key, step in form.items() if key.startswith(_MAPPED) and step}
    which = JourneyFilter(scenario=name, version=version_in(form))
    more: dict[str, Any] = {"version": version_in(form, "to") or "newest", "waits": form.get("waits", "keep")}
    return await begin_operation(page, form, Operation.MIGRATE, which, more=more | ({"map": names} if names else {}))


_AT: Final = "/scenarios/{name}/"
ROUTES: Final = (
    shows(AT, _show_draft),
    does(AT, _answer_draft, "publish", "waiting", files=_FILES),
    *(shows(_AT + change, _confirms(change)) for change in ("close", "open", *_OF_JOURNEYS)),
    *(does(_AT + change, _changes_entry(change), form_page=_confirms(change)) for change in ("close", "open")),
    *(does(_AT + change, _begins(change), form_page=_confirms(change)) for change in _OF_JOURNEYS),
    shows(f"{_AT}move", _show_migration),
    does(f"{_AT}move", _begin_migration, form_page=_show_migration),
)
