"""Commands that show journeys and deliveries: show, list, deliveries."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from gateway.cli import session
from gateway.cli.destinations import DestinationsOption
from gateway.cli.options import (
    CAUSES,
    ContactOption,
    Format,
    FormatOption,
    JourneyArgument,
    LimitOption,
    OfVersionOption,
    ScenarioOption,
    SinceOption,
    cause,
)
from gateway.terminal import console, dump, note
from scenario.words import LISTED, AttemptOutcome, SkipReason

if TYPE_CHECKING:
    from gateway.service.journey_view import AttemptView

_OUTCOMES: Final = tuple(AttemptOutcome)
_SKIPPED: Final = tuple(SkipReason)


def _outcome(text: str) -> str:
    if text not in _OUTCOMES:
        raise typer.BadParameter(f"no attempt ends as '{text}': it is one of {', '.join(_OUTCOMES)}")
    return text


def _skipped(text: str) -> str:
    if text not in _SKIPPED:
        raise typer.BadParameter(f"nothing is skipped for '{text}': it is one of {', '.join(_SKIPPED)}")
    return text


def _state(text: str) -> str:
    if text not in LISTED:
        raise typer.BadParameter(f"no journey is '{text}': it is one of {', '.join(LISTED)}")
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
StepOption = Annotated[str | None, typer.Option("--step", metavar="STEP", help="only those that stand at this step")]
StateOption = Annotated[
    str | None,
    typer.Option("--state", metavar="WORD", parser=_state, help=f"only those in this state: {', '.join(LISTED)}"),
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
SkippedOption = Annotated[
    str | None,
    typer.Option(
        "--skipped", metavar="WORD", parser=_skipped, help=f"only those skipped for this: {', '.join(_SKIPPED)}"
    ),
]
DeliveryOption = Annotated[
    str | None, typer.Option("--delivery", metavar="ID", help="only those of this delivery (msg_…)")
]
RenderedOption = Annotated[
    str | None, typer.Option("--rendered", metavar="STEP", help="what this step has sent, rendered again")
]
OneJourneyArgument = Annotated[str | None, typer.Argument(metavar="[JOURNEY]", help="only this journey's")]


def show(
    journey: JourneyArgument,
    rendered: RenderedOption = None,
    destinations: DestinationsOption = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Show one journey: its current step and why it waits, its steps, deliveries and attempts.

    With --rendered, show what a step sent, for each time that the journey reached it: rendered again from the journey's
    data, with secrets masked.

    JSON: see "JSON of commands" in the reference.
    """
    if rendered is not None:
        from gateway.cli.show_rendered import show_rendered

        show_rendered(journey, rendered, form, destinations)
        return
    from gateway.cli.show_journey import portray
    from gateway.service.journey_view import JourneyView

    seen = session.ask(lambda client: client.show(journey))
    view = JourneyView.of(seen)
    if form is Format.JSON:
        dump(view)
    else:
        portray(console(), view, seen.plan.zone if seen.plan else "UTC")


def listing(
    held: HeldOption = False,
    scenario: ScenarioOption = None,
    version: OfVersionOption = None,
    contact: ContactOption = None,
    state: StateOption = None,
    step: StepOption = None,
    destination: HeldAtOption = None,
    reason: HeldForOption = None,
    since: SinceOption = None,
    limit: LimitOption = 50,
    form: FormatOption = Format.TEXT,
) -> None:
    """List journeys, newest first; with --held those that wait for an operator.

    --since: admitted since then; with --held, held since then. JSON: see "JSON of commands" in the reference.
    """
    from gateway.cli import tables

    wanted: dict[str, Any] = {"scenario": scenario, "version": version, "contact": contact, "step": step}
    wanted |= {"since": since, "limit": limit}
    only_held: dict[str, Any] = {"destination": destination, "reason": reason}
    if not held and any(only_held.values()):
        named = next(name for name, value in only_held.items() if value)
        raise typer.BadParameter(f"--{named} goes with --held")
    if held and state:
        raise typer.BadParameter("--state does not go with --held, which is a state itself")
    if version and not scenario:
        raise typer.BadParameter("--version goes with --scenario")
    if held:
        found = session.ask(lambda client: client.held(**wanted, **only_held))
    else:
        found = session.ask(lambda client: client.journeys(**wanted, state=state))
    if form is Format.JSON:
        dump(found)
    elif found:
        (tables.held if held else tables.journeys)(found)
    else:
        fits = " that fits" if any({**wanted, **only_held, "state": state, "limit": None}.values()) else ""
        note(f"no journey is held{fits}" if held else f"no journey{fits}" if fits else "no journeys")
    if not found:
        raise typer.Exit(1)


def deliveries(
    journey: OneJourneyArgument = None,
    destination: DestinationOption = None,
    outcome: OutcomeOption = None,
    skipped: SkippedOption = None,
    contact: ContactOption = None,
    delivery: DeliveryOption = None,
    since: SinceOption = None,
    limit: LimitOption = 50,
    form: FormatOption = Format.TEXT,
) -> None:
    """List recorded delivery attempts, newest last.

    JSON: see "JSON of commands" in the reference.
    """
    from gateway.cli import tables

    if skipped and outcome not in (None, "skipped"):
        raise typer.BadParameter(f"--skipped does not go with --outcome {outcome}: leave one of them out")
    found = asyncio.run(
        _deliveries(
            journey,
            destination=destination,
            outcome="skipped" if skipped else outcome,
            error=skipped,
            contact_id=contact,
            delivery_id=delivery,
            since=since,
            limit=limit,
        )
    )
    if form is Format.JSON:
        dump(found)
    elif found:
        tables.attempts(found, named=journey is None)
    else:
        note("no deliveries on record")


async def _deliveries(journey: str | None, *, since: datetime | None, **wanted: Any) -> list[AttemptView]:
    from gateway.service.journey_view import AttemptView
    from gateway.service.reads import with_next_tries

    async with session.stored() as store:
        found = await store.deliveries(journey, since=since, **wanted)
        return [AttemptView.model_validate(one) for one in await with_next_tries(store, found)]
