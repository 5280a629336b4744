"""An operation that a command sends to many journeys: confirmed, rate-limited, with progress and a summary."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import typer

from gateway.cli import session
from gateway.cli.options import BatchOptions, OperatorOptions
from gateway.cli.output import count, progress
from gateway.terminal import dump, note, say
from scenario.words import Operation

if TYPE_CHECKING:
    from gateway.client import ScenarioClient
    from gateway.operations.retry_policy import PendingDelivery, RetryPolicyChange, RetuneCandidates
    from gateway.operations.run import JourneyTarget, Tally
    from gateway.service.listing import JourneySummary
    from gateway.service.view import View

_SHOWN: Final = 20  # refusals shown one by one


@dataclass(frozen=True)
class OperationCommand:
    """An operation as a command line asks for it."""

    operation: Operation
    record: OperatorOptions
    sending: BatchOptions
    more: dict[str, Any] = field(default_factory=dict[str, Any])


def operate_many(command: OperationCommand, which: dict[str, Any], *, everybody: bool = False) -> int:
    """Send an operation to all matching journeys, and return the exit status.

    Raise NotAnswered if journeys must be queried, but no worker answers.

    Args:
        which: The filters, by the names of the options.
        everybody: True for all running journeys instead of held ones.
    """
    from gateway.cli import journey_text
    from gateway.operations.request import NOT_HELD
    from gateway.service.index import EVERY, JourneyFilter

    sending, operation = command.sending, command.operation
    wanted = JourneyFilter(reason=which.pop("held_reason", None), **which)
    more = {"everybody": True} if everybody else {}
    found = session.ask(
        lambda client: client.select(operation, wanted, ask=sending.dry_run, limit=sending.limit or EVERY, **more)
    )
    table = journey_text.journeys if everybody or operation in NOT_HELD else journey_text.held
    return _carry_out(command, found, lambda: table(found), found, anywhere=everybody)


def retune_many(command: OperationCommand, destination: str, change: RetryPolicyChange) -> int:
    """Change the retry policy of all deliveries to a destination in progress, and return the exit status."""
    from gateway.cli import journey_text
    from gateway.operations.retry_policy import DeliveryInProgress, RetuneCandidates
    from gateway.service.index import EVERY

    async def look(client: ScenarioClient) -> RetuneCandidates:
        limit = command.sending.limit or EVERY
        if command.sending.dry_run:
            return await client.retune_candidates(destination, limit=limit)
        return RetuneCandidates(await client.in_flight(destination, limit=limit), unseen=0)

    candidates = session.ask(look)
    found = candidates.found
    # The journey's name for the destination, which may differ.
    command.more.update(destination=found[0].goes_to if found else destination, retry=change.given())
    status = _carry_out(
        command, found, lambda: journey_text.flights(found), [DeliveryInProgress.of(item) for item in found]
    )
    if candidates.unseen:
        more = count(candidates.unseen, "more journey")
        note(f"scenario: {more} may have a delivery without an attempt so far: the operation checks each of them")
    return status


def _carry_out(
    command: OperationCommand,
    found: list[JourneySummary] | list[PendingDelivery],
    show: Callable[[], None],
    listed: Sequence[View],
    *,
    anywhere: bool = False,
) -> int:
    from gateway.client import JourneyTarget, Tally, targets
    from gateway.service.operation_views import TallyView

    operation, sending = command.operation, command.sending
    kind = ("delivery", "deliveries") if operation is Operation.RETUNE else ("journey", "journeys")
    if sending.dry_run:
        if sending.json:
            dump(listed)
        elif found:
            show()
        note(f"scenario: {operation} would be sent to {count(len(found), *kind)}: nothing was done")
    elif not found:
        if sending.json:
            dump(TallyView.of(operation, Tally()))
        note(f"scenario: nothing to {operation}: no {kind[0]} matches")
    elif not sending.yes and not confirmed(command, count(len(found), *kind)):
        note("scenario: nothing was done")
        return 1
    else:
        # A journey must end also if it has reached its next step meanwhile.
        goals = [JourneyTarget(target.id) if anywhere else target for target in targets(found)]
        tally = session.ask(lambda client: send(client, command, goals))
        return 0 if tally.complete else 1
    return 0 if found else 1


def confirmed(command: OperationCommand, targets: str) -> bool:
    """Ask for confirmation at a terminal. Return True without asking if there is no terminal."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return True
    question = f"{command.operation} {targets}, {command.sending.rate:g} a second?"
    try:
        return typer.confirm(question, err=True)
    except typer.Abort:  # the end of input
        return False


async def send(client: ScenarioClient, command: OperationCommand, goals: Sequence[JourneyTarget]) -> Tally:
    """Send an operation to journeys at a rate, with progress and a summary."""
    with progress(command.operation, len(goals)) as advance:
        batch = client.batch(
            command.operation,
            operator=command.record.who,
            reason=command.record.reason,
            rate=command.sending.rate,
            done=lambda _: advance(),
            **command.more,
        )
        try:
            await batch.run(goals)
        finally:
            _summarise(command, batch.tally)  # also if it is interrupted
    return batch.tally


def _summarise(command: OperationCommand, tally: Tally) -> None:
    from gateway.service.operation_views import TallyView

    for refused in tally.refused[:_SHOWN]:
        note(f"scenario: {refused.id}: {refused.why}")
    if len(tally.refused) > _SHOWN:
        note(f"scenario: … and {len(tally.refused) - _SHOWN} more")
    if tally.left:
        cause = "no worker answers: check that one is running, and " if tally.unanswered else ""
        note(f"scenario: {cause}run the command again for the remaining journeys")
    if command.sending.json:
        dump(TallyView.of(command.operation, tally))
    else:
        say(str(tally))
