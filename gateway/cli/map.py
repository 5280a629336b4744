"""The command that draws a scenario: map."""

from __future__ import annotations

import asyncio
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.configuration import DestinationsOption, book_in
from gateway.cli.options import Format

if TYPE_CHECKING:
    from gateway.map.map import ScenarioMap
    from gateway.map.outline import Overlay
    from runtime.store import Store, StoredVersion
    from scenario.model.scenario import Scenario
    from scenario.plan.plan import Plan


class MapFormat(StrEnum):
    """The output format of a map."""

    SVG = "svg"
    MERMAID = "mermaid"


_WhatArgument = Annotated[
    str, typer.Argument(metavar="FILE|NAME[@VERSION]", help="a scenario file, or one that is published")
]
_FormatOption = Annotated[MapFormat, typer.Option("--format", help="svg: a drawing; mermaid: text for documents")]
_OutputOption = Annotated[
    Path | None, typer.Option("--output", metavar="FILE", help="where to write it", show_default="standard output")
]
_SinceOption = Annotated[
    int | None, typer.Option("--since", metavar="VERSION", min=1, help="mark differences from this version")
]


def draw(
    what: _WhatArgument,
    form: _FormatOption = MapFormat.SVG,
    output: _OutputOption = None,
    since: _SinceOption = None,
    destinations: DestinationsOption = None,
) -> None:
    """Draw a map of a scenario: its steps, and the ways between them.

    A name without a version means the newest published version. With --since, steps added or changed since a published
    version are marked, and removed steps are listed. GitHub draws a Mermaid map that is in a code block named mermaid.
    """
    from gateway.cli.entry_files import write

    path = Path(what)
    made = _of_file(path, since, destinations) if _is_file(path) else asyncio.run(_of_name(what, since))
    text = made.svg(standalone=True) if form is MapFormat.SVG else made.mermaid()
    if output is not None:
        write(output, text)
    else:
        sys.stdout.write(text)


def _is_file(path: Path) -> bool:
    return path.suffix in (".yaml", ".yml") or len(path.parts) > 1 or path.exists()


def _of_file(path: Path, since: int | None, destinations: Path | None) -> ScenarioMap:
    from gateway.cli import session
    from gateway.cli.preview import draft_of
    from gateway.map.map import ScenarioMap
    from gateway.map.outline import Overlay

    made = draft_of(path, book_in(destinations), Format.TEXT)
    name = made.scenario.scenario

    async def compare(number: int) -> Overlay:
        async with session.stored() as store:
            return _overlay(await _published(store, name, number), made.scenario)

    overlay = Overlay() if since is None else asyncio.run(compare(since))
    return ScenarioMap(made.plan, name, made.scenario.trigger, overlay)


async def _of_name(what: str, since: int | None) -> ScenarioMap:
    from gateway.cli import session
    from gateway.errors import BadInput
    from gateway.map.map import ScenarioMap
    from gateway.map.outline import Overlay

    name, at, number = what.partition("@")
    if at and not (number.isascii() and number.isdecimal()):
        raise BadInput(f"'{what}' is neither a file nor a version: write post-purchase.yaml or post-purchase@3")
    async with session.stored() as store:
        later = await _published(store, name, int(number) if at else None)
        earlier = None if since is None else await _published(store, name, since)
    overlay = Overlay() if earlier is None else _overlay(earlier, _scenario_of(later))
    title, trigger = f"{name}@{later.version}", later.document.get("trigger")
    return ScenarioMap(_plan_of(later), title, trigger if isinstance(trigger, str) else "", overlay)


def _overlay(earlier: StoredVersion, later: Scenario) -> Overlay:
    from gateway.map.outline import since
    from scenario.plan.difference import difference

    return since(difference(_scenario_of(earlier), later))


async def _published(store: Store, name: str, number: int | None) -> StoredVersion:
    from gateway.errors import BadInput
    from gateway.service.scenarios import require

    newest = await require(store, name)
    if (found := await store.version(name, number)) is None:
        raise BadInput(f"{name} has no version {number}: the newest is {newest}")
    return found


def _scenario_of(published: StoredVersion) -> Scenario:
    from scenario.model.document import load

    return load(published.document)


def _plan_of(published: StoredVersion) -> Plan:
    from pydantic import ValidationError

    from gateway.errors import BadInput
    from scenario.plan.plan import load_plan

    try:
        return load_plan(published.plan)
    except ValidationError:
        name = f"{published.scenario}@{published.version}"
        raise BadInput(f"{name} is not for this version of the program: update it") from None
