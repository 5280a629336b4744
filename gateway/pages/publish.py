"""The page that checks a scenario, compares it with the newest version, and publishes it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import PurePosixPath
from typing import Final

from markupsafe import Markup
from starlette.datastructures import UploadFile
from starlette.responses import Response

from gateway.api.problem import VERSIONED, Problem, problem_of
from gateway.errors import Refusal
from gateway.map.map import ScenarioMap
from gateway.map.outline import Overlay
from gateway.map.outline import since as changed_since
from gateway.pages.page import Form, Page, at_field, does, go_to, refused, shows
from gateway.pages.rendering import to_scenario
from gateway.publishing import Journeys
from gateway.service.authoring import AuthoringService, NextVersion
from scenario.model.scenario import Scenario
from scenario.plan.compile import compile_plan

AT: Final = "/scenarios/-/publish"  # the address. No scenario is called so
LARGER: Final[Mapping[str, int]] = {AT: 4 * 1024 * 1024}  # maximum bytes of the form
_FILES: Final = 20
_REFERENCE: Final = re.compile(r"""\bfile:\s*["']?([^\s"'}]+)""")


async def _show(page: Page) -> Response:
    """Show the form; with a published version in the address, its text, compared with the newest version."""
    version = page.asked("version")
    if version is None or not page.may("publish"):
        return await _render(page, "", {})
    if not re.fullmatch(VERSIONED, version):
        raise Problem("not-found", "this version is not published")
    author: AuthoringService = page.request.app.state.authoring
    source = await author.source(page.caller, version)
    return await _render(page, source, {}, await author.next_version(page.caller, source, {}), stored=version)


async def _answer(page: Page, form: Form) -> Response:
    source, files = "", _kept(form)
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
    """Return the uploaded scenario, or else the text in the form."""
    async for _, text in _uploaded(page, "file"):
        return text
    if not form.get("source", "").strip():
        raise at_field("source", "choose a scenario file, or paste one")
    return form["source"].replace("\r\n", "\n")  # browsers send texts with these line ends


def _kept(form: Form) -> dict[str, str]:
    """Return the texts in the form that the scenario may refer to, by path."""
    paths = ((number, form.get(f"path-{number}", "").strip()) for number in range(_FILES))
    return {path: form.get(f"text-{number}", "") for number, path in paths if path}


async def _chosen(page: Page, source: str, most: int) -> dict[str, str]:
    """Return the uploaded texts, by the paths by which the scenario refers to their names.

    Browsers send names without folders.
    """
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


ROUTES: Final = (shows(AT, _show), does(AT, _answer, "publish", "waiting", files=_FILES))
