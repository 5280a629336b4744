"""Commands about what is published: versions, close, open."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli import session
from gateway.cli.layout import Table
from gateway.cli.options import Format, FormatOption, login, operator_name, record
from gateway.terminal import console, dump, local, note, say, styled

if TYPE_CHECKING:
    from gateway.publications import ListedVersion

_ScenarioArgument = Annotated[str, typer.Argument(metavar="SCENARIO", help="the scenario's name")]
_OneArgument = Annotated[str | None, typer.Argument(metavar="[SCENARIO]", help="all versions of this one")]
_WhyOption = Annotated[
    str | None, typer.Option("--reason", metavar="TEXT", parser=record, help="why; those who ask to come in are told")
]
_WhoOption = Annotated[
    str | None, typer.Option("--operator", metavar="NAME", parser=operator_name, help="who; by default your login")
]


def versions(scenario: _OneArgument = None, form: FormatOption = Format.TEXT) -> None:
    """List what is published: of each scenario the newest version, and those that journeys still follow.

    JSON is a list of objects with scenario, version, newest, published_at, published_by, journeys, under_way,
    closed_at, closed_by and reason.
    """
    from gateway import publications

    async def look() -> list[ListedVersion]:
        async with session.stored() as store:
            return await publications.versions(store, scenario)

    found = asyncio.run(look())
    if form is Format.JSON:
        dump([_as_json(item) for item in found])
    elif found:
        _show(found)
    else:
        note("nothing is published")


def close(scenario: _ScenarioArgument, reason: _WhyOption = None, operator: _WhoOption = None) -> None:
    """Let nobody into a scenario any more, at once. Journeys under way go on.

    Entries are refused with a sentence that says so, by whatever way they come. 'scenario open' ends it.
    """
    from gateway import publications

    async def do() -> bool:
        async with session.stored(writes=True) as store:
            who = operator or login()
            return await publications.close(store, scenario, operator=who, reason=reason or "")

    done = asyncio.run(do())
    say(f"{scenario} {'is closed' if done else 'was closed already'}: nobody is admitted, and journeys under way go on")


def reopen(scenario: _ScenarioArgument) -> None:
    """Let contacts into a closed scenario again."""
    from gateway import publications

    async def do() -> bool:
        async with session.stored(writes=True) as store:
            return await publications.reopen(store, scenario)

    say(f"{scenario} {'is open again' if asyncio.run(do()) else 'was not closed'}: contacts are admitted")


def _show(found: list[ListedVersion]) -> None:
    columns = ("version", "published (local)", "by", "journeys", "under way", "")
    rows = Table(*columns, right=("under way",), prose=("",))
    for item in found:
        told = item.published
        state = styled("", "" if item.newest else "older")
        if item.newest and (closure := item.closure):
            why = f": {closure.reason}" if closure.reason else ""
            state = styled("refused", f"closed since {local(closure.closed_at)} by {closure.closed_by}{why}")
        name = f"{told.scenario}@{told.version}"
        rows.add(name, local(told.published_at), told.published_by, told.journeys, item.under_way, state)
    rows.show(console())


def _as_json(item: ListedVersion) -> dict[str, object]:
    told, closure = item.published, item.closure
    return {
        "scenario": told.scenario,
        "version": told.version,
        "newest": item.newest,
        "published_at": told.published_at.isoformat(),
        "published_by": told.published_by,
        "journeys": told.journeys,
        "under_way": item.under_way,
        "closed_at": closure and closure.closed_at.isoformat(),
        "closed_by": closure and closure.closed_by,
        "reason": closure and closure.reason,
    }
