"""Commands about published scenarios: versions, close, open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import session
from gateway.cli.options import Format, FormatOption, OperatorOption, login, record
from gateway.cli.output import Table
from gateway.service.caller import TERMINAL
from gateway.terminal import dump, local, note, say, styled

if TYPE_CHECKING:
    from gateway.service.scenarios import VersionView

_ScenarioArgument = Annotated[str, typer.Argument(metavar="SCENARIO", help="the scenario's name")]
_OneArgument = Annotated[str | None, typer.Argument(metavar="[SCENARIO]", help="list all versions of this scenario")]
_WhyOption = Annotated[str | None, typer.Option(metavar="TEXT", parser=record, help="reason, shown to refused entries")]


def versions(scenario: _OneArgument = None, form: FormatOption = Format.TEXT) -> None:
    """List published scenarios: the newest version of each, and older versions with running journeys.

    JSON is a list of objects with scenario, version, newest, published_at, published_by, journeys, under_way,
    closed_at, closed_by and reason.
    """
    from gateway.service.scenarios import ScenarioService

    found = session.ask_store(lambda store: ScenarioService(store).versions(TERMINAL, scenario))
    if form is Format.JSON:
        dump([_as_json(item) for item in found])
    elif found:
        _show(found)
    else:
        note("nothing is published")


def close(scenario: _ScenarioArgument, reason: _WhyOption = None, operator: OperatorOption = None) -> None:
    """Close a scenario to new entries immediately. Running journeys continue.

    All entries are refused with the reason. 'scenario open' opens it again.
    """
    from gateway.service.scenarios import ScenarioService

    who = {"operator": operator or login(), "reason": reason or ""}
    done = session.ask_store(lambda store: ScenarioService(store).close(TERMINAL, scenario, **who), writes=True)
    state = "is closed" if done.changed else "was closed already"
    say(f"{scenario} {state}: new entries are refused, and running journeys continue")


def reopen(scenario: _ScenarioArgument) -> None:
    """Open a closed scenario to new entries."""
    from gateway.service.scenarios import ScenarioService

    done = session.ask_store(lambda store: ScenarioService(store).open(TERMINAL, scenario), writes=True)
    say(f"{scenario} {'is open again' if done.changed else 'was not closed'}: contacts are admitted")


def _show(found: list[VersionView]) -> None:
    columns = ("version", "published (local)", "by", "journeys", "under way", "")
    rows = Table(*columns, right=("under way",), prose=("",))
    for item in found:
        state = styled("", "" if item.newest else "older")
        if item.newest and (closed := item.closed):
            why = f": {closed.reason}" if closed.reason else ""
            state = styled("refused", f"closed since {local(closed.at)} by {closed.by}{why}")
        name = f"{item.scenario}@{item.version}"
        rows.add(name, local(item.published_at), item.published_by, item.journeys, item.under_way, state)
    rows.show()


def _as_json(item: VersionView) -> dict[str, Any]:
    closed = item.closed
    return {
        **item.model_dump(exclude={"closed", "published_at"}),
        "published_at": item.published_at.isoformat(),
        "closed_at": closed and closed.at.isoformat(),
        "closed_by": closed and closed.by,
        "reason": closed and closed.reason,
    }
