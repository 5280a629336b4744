"""The command that draws a scenario: map."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gateway.cli import session
from gateway.cli.configuration import DestinationsOption, book_in
from gateway.cli.entry_files import STDIN, writing
from gateway.cli.options import Format
from gateway.cli.preview import draft_of
from gateway.errors import BadInput
from gateway.service.caller import TERMINAL

if TYPE_CHECKING:
    from activities.content import LoadedVersion
    from gateway.map.map import ScenarioMap
    from gateway.map.outline import Overlay
    from scenario.model.scenario import Scenario


def draw(
    what: Annotated[
        str, typer.Argument(metavar="FILE|NAME[@VERSION]", help="a scenario file, or one that is published")
    ],
    form: Annotated[
        Literal["svg", "mermaid"], typer.Option("--format", help="svg: a drawing; mermaid: text for documents")
    ] = "svg",
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="where to write it", show_default="standard output")
    ] = None,
    since: Annotated[
        int | None, typer.Option(metavar="VERSION", min=1, help="mark differences from this version")
    ] = None,
    destinations: DestinationsOption = None,
) -> None:
    """Draw a map of a scenario: its steps, and the ways between them.

    A name without a version means the newest published version. With --since, steps added or changed since a published
    version are marked, and removed steps are listed. GitHub draws a Mermaid map that is in a code block named mermaid.
    """
    path = Path(what)
    is_file = path.suffix in (".yaml", ".yml") or len(path.parts) > 1 or path.exists()
    made = _of_file(path, since, destinations) if is_file else _of_version(what, since)
    text = made.svg(standalone=True) if form == "svg" else made.mermaid()
    with writing(output or Path(STDIN)) as file:
        file.write(text)


def _of_file(path: Path, since: int | None, destinations: Path | None) -> ScenarioMap:
    from gateway.map.map import ScenarioMap

    made = draft_of(path, book_in(destinations), Format.TEXT)
    name = made.scenario.scenario
    return ScenarioMap(made.plan, name, made.scenario.trigger, _changes(name, made.scenario, since))


def _of_version(what: str, since: int | None) -> ScenarioMap:
    from gateway.map.map import ScenarioMap

    name, at, number = what.partition("@")
    if at and not (number.isascii() and number.isdecimal()):
        raise BadInput(f"'{what}' is neither a file nor a version: write post-purchase.yaml or post-purchase@3")
    made = _published(name, int(number) if at else None)
    title = f"{name}@{made.version}"
    return ScenarioMap(made.table, title, made.scenario.trigger, _changes(name, made.scenario, since))


def _changes(name: str, later: Scenario, since: int | None) -> Overlay:
    """Return the marks of the differences from an earlier version."""
    from gateway.map import outline
    from scenario.plan.difference import difference

    if since is None:
        return outline.Overlay()
    return outline.since(difference(_published(name, since).scenario, later))


def _published(name: str, number: int | None) -> LoadedVersion:
    from gateway.service.scenarios import ScenarioService

    return session.ask_store(lambda store: ScenarioService(store).opened(TERMINAL, name, number))
