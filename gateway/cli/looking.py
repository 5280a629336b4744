"""Commands that look: show, list, deliveries."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.options import Format, FormatOption, JourneyArgument
from gateway.cli.screen import console, dump, local, note, styled, table, text

if TYPE_CHECKING:
    from gateway.listing import Listed
    from runtime.store import Attempt

HeldOption = Annotated[bool, typer.Option("--held", help="only those that wait for an operator, and why")]
ScenarioOption = Annotated[
    str | None, typer.Option("--scenario", metavar="NAME", help="only those of this scenario", show_default=False)
]
ContactOption = Annotated[
    str | None, typer.Option("--contact", metavar="CONTACT", help="only this contact's", show_default=False)
]
DestinationOption = Annotated[
    str | None,
    typer.Option("--destination", metavar="NAME", help="only those to this host or provider", show_default=False),
]
LimitOption = Annotated[int, typer.Option("--limit", metavar="N", min=1, max=10_000, help="so many at most")]
OneJourneyArgument = Annotated[
    str | None, typer.Argument(metavar="[JOURNEY]", help="only this journey's", show_default=False)
]


def show(journey: JourneyArgument, form: FormatOption = Format.TEXT) -> None:
    """Show one journey: where it is and why it waits, its steps, its deliveries and their attempts.

    JSON has the keys id, run_id, scenario, contact, key, status, state, reason, entered_at, ended_at, at, since,
    waiting, answered, steps, pending, deliveries, events and operations.
    """
    report, zone = asyncio.run(_show(journey))
    if form is Format.JSON:
        dump(report)
        return
    from gateway.cli.portrait import portray

    portray(console(), report, zone)


async def _show(journey: str) -> tuple[dict[str, Any], str]:
    from gateway import report
    from gateway.cli import session

    async with session.connected() as client:
        view = await client.show(journey)
        return report.journey(view), view.plan.zone if view.plan else "UTC"


def listing(
    held: HeldOption = False,
    scenario: ScenarioOption = None,
    contact: ContactOption = None,
    limit: LimitOption = 50,
    form: FormatOption = Format.TEXT,
) -> None:
    """List journeys, the newest first.

    JSON is a list of objects with id, run_id, scenario, contact, key, state, step, reason, entered_at and ended_at.
    """
    from gateway import report

    found = asyncio.run(_list(held=held, scenario=scenario, contact=contact, limit=limit))
    if form is Format.JSON:
        dump([report.listed(item) for item in found])
    elif found:
        _print_journeys(found)
    else:
        note("no journey is held" if held else "no journeys")
    if not found:
        raise typer.Exit(1)


async def _list(**wanted: Any) -> list[Listed]:
    from gateway.cli import session

    async with session.connected() as client:
        return await client.journeys(**wanted)


def _print_journeys(found: list[Listed]) -> None:
    rows = table("journey", "scenario", "state", "step", "entered (local)", "why")
    for item in found:
        rows.add_row(
            text(item.id),
            text(item.scenario),
            styled(item.state),
            text(item.step),
            text(local(item.entered_at)),
            text(item.reason),
        )
    console().print(rows)


def deliveries(
    journey: OneJourneyArgument = None,
    destination: DestinationOption = None,
    limit: LimitOption = 50,
    form: FormatOption = Format.TEXT,
) -> None:
    """List the attempts of deliveries that are on record, the newest last.

    JSON is a list of objects with delivery_id, attempt, workflow_id, run_id, scenario, version, step, channel,
    destination, contact_id, started_at, milliseconds, outcome, status, error, next_try_at, response and trace_id.
    """
    from gateway import report

    found = asyncio.run(_deliveries(journey, destination, limit))
    if form is Format.JSON:
        dump([report.attempt(item) for item in found])
    elif found:
        _print_attempts(found, named=journey is None)
    else:
        note("no deliveries on record")


async def _deliveries(journey: str | None, destination: str | None, limit: int) -> list[Attempt]:
    from gateway.cli import session

    async with session.stored(migrate=False) as store:
        return await store.deliveries(journey, destination=destination, limit=limit)


def _print_attempts(found: list[Attempt], *, named: bool) -> None:
    columns = ["when (local)", *(["journey"] if named else []), "step", "to", "try", "outcome", "status", "ms"]
    rows = table(*columns, "error", "next try", right=("try", "status", "ms"))
    for item in found:
        rows.add_row(
            text(local(item.started_at)),
            *([text(item.workflow_id)] if named else []),
            text(item.step),
            text(f"{item.channel} → {item.destination}"),
            text(item.attempt),
            styled(item.outcome),
            text(item.status),
            text(item.milliseconds),
            text(item.error),
            text(local(item.next_try_at)),
        )
    console().print(rows)
