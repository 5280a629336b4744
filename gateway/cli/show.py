"""Commands that show what there is: show, list, deliveries."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from gateway.cli import session
from gateway.cli.options import (
    CAUSES,
    ContactOption,
    Format,
    FormatOption,
    JourneyArgument,
    LimitOption,
    ScenarioOption,
    SinceOption,
    cause,
)
from gateway.cli.terminal import console, dump, note

if TYPE_CHECKING:
    from runtime.store import Attempt

_OUTCOMES: Final = ("delivered", "retry", "failed", "unknown", "skipped", "cancelled")


def _outcome(text: str) -> str:
    if text not in _OUTCOMES:
        raise typer.BadParameter(f"no attempt ends as '{text}': it is one of {', '.join(_OUTCOMES)}")
    return text


HeldOption = Annotated[bool, typer.Option("--held", help="only those that wait for an operator, and why")]
HeldAtOption = Annotated[
    str | None,
    typer.Option(
        "--destination",
        metavar="NAME",
        help="with --held: only those that could not deliver to this destination or host",
    ),
]
HeldForOption = Annotated[
    str | None,
    typer.Option(
        "--reason", metavar="WORD", parser=cause, help=f"with --held: only those held for this: {', '.join(CAUSES)}"
    ),
]
HeldStepOption = Annotated[
    str | None, typer.Option("--step", metavar="STEP", help="with --held: only those held at this step")
]
DestinationOption = Annotated[
    str | None, typer.Option("--destination", metavar="NAME", help="only those to this destination, host or provider")
]
OutcomeOption = Annotated[
    str | None,
    typer.Option(
        "--outcome", metavar="WORD", parser=_outcome, help=f"only those with this outcome: {', '.join(_OUTCOMES)}"
    ),
]
DeliveryOption = Annotated[
    str | None, typer.Option("--delivery", metavar="ID", help="only those of this delivery (msg_…)")
]
OneJourneyArgument = Annotated[str | None, typer.Argument(metavar="[JOURNEY]", help="only this journey's")]


def show(journey: JourneyArgument, form: FormatOption = Format.TEXT) -> None:
    """Show one journey: where it is and why it waits, its steps, its deliveries and their attempts.

    JSON has the keys id, run_id, scenario, contact, key, status, state, reason, entered_at, ended_at, at, since,
    waiting, paused, answered, steps, pending, deliveries, earlier_deliveries, events, operations and passed_over.
    """
    from gateway.cli.show_journey import portray
    from gateway.journeys import as_json

    view = session.ask(lambda client: client.show(journey))
    if form is Format.JSON:
        dump(as_json.journey(view))
    else:
        portray(console(), as_json.journey(view), view.plan.zone if view.plan else "UTC")


def listing(
    held: HeldOption = False,
    scenario: ScenarioOption = None,
    contact: ContactOption = None,
    destination: HeldAtOption = None,
    reason: HeldForOption = None,
    step: HeldStepOption = None,
    since: SinceOption = None,
    limit: LimitOption = 50,
    form: FormatOption = Format.TEXT,
) -> None:
    """List journeys, the newest first; with --held those that wait for an operator.

    --since counts from when they came in; with --held, from when they were held. JSON is a list of objects with id,
    run_id, scenario, contact, key, state, step, reason, entered_at, ended_at, destination, held_reason, since and
    status.
    """
    from gateway.cli import tables
    from gateway.journeys import as_json

    wanted: dict[str, Any] = {"scenario": scenario, "contact": contact, "since": since, "limit": limit}
    only_held: dict[str, Any] = {"destination": destination, "reason": reason, "step": step}
    if not held and any(only_held.values()):
        named = next(name for name, value in only_held.items() if value)
        raise typer.BadParameter(f"--{named} goes with --held")
    found = session.ask(lambda client: client.held(**wanted, **only_held) if held else client.journeys(**wanted))
    if form is Format.JSON:
        dump([as_json.listed(item) for item in found])
    elif found:
        (tables.held if held else tables.journeys)(found)
    elif held:
        note("no journey is held" + (" that fits" if any({**wanted, **only_held, "limit": None}.values()) else ""))
    else:
        note("no journeys")
    if not found:
        raise typer.Exit(1)


def deliveries(
    journey: OneJourneyArgument = None,
    destination: DestinationOption = None,
    outcome: OutcomeOption = None,
    contact: ContactOption = None,
    delivery: DeliveryOption = None,
    since: SinceOption = None,
    limit: LimitOption = 50,
    form: FormatOption = Format.TEXT,
) -> None:
    """List the attempts of deliveries that are on record, the newest last.

    JSON is a list of objects with delivery_id, attempt, workflow_id, run_id, scenario, version, step, channel,
    destination, contact_id, started_at, milliseconds, outcome, status, error, next_try_at, response and trace_id.
    """
    from gateway.cli import tables
    from gateway.journeys import as_json

    found = asyncio.run(
        _deliveries(
            journey,
            destination=destination,
            outcome=outcome,
            contact_id=contact,
            delivery_id=delivery,
            since=since,
            limit=limit,
        )
    )
    if form is Format.JSON:
        dump([as_json.attempt(item) for item in found])
    elif found:
        tables.attempts(found, named=journey is None)
    else:
        note("no deliveries on record")


async def _deliveries(journey: str | None, *, since: datetime | None, **wanted: Any) -> list[Attempt]:
    async with session.stored(migrate=False) as store:
        return await store.deliveries(journey, since=since, **wanted)
