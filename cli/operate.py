"""Commands for operators: retry, skip, leave, pause, resume, retune. The journey itself accepts or refuses."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cli import session
from cli.options import (
    BatchOptions,
    HeldJourneys,
    LeavingJourneys,
    OperatorOptions,
    PausedJourneys,
    RunningJourneys,
    StoppedJourneys,
    argument,
    flag,
    grouped,
    length,
    option,
    version,
)
from cli.output import count, output, progress
from cli.terminal import dump, note, say
from scenario.words import Operation

if TYPE_CHECKING:
    from service.client import ScenarioClient
    from service.destinations import PendingDelivery, RetuneCandidates
    from service.listing import JourneySummary
    from service.operations.request import JourneyTarget, Tally
    from service.operations.uncertain import UncertainView
    from service.view import View


@grouped
def retry(
    *,
    record: OperatorOptions,
    version: Annotated[
        int | None, option("N|newest", "render again, with this version's templates", "--with-version", parser=version)
    ] = None,
    now: Annotated[bool, flag("--now", "ignore quiet hours, windows and caps; also for delayed messages")] = False,
    anew: Annotated[bool, flag("--anew", "after a refused response: under a new delivery id")] = False,
    unknown: Annotated[bool, flag("--unknown", "of many: also those that may have been delivered")] = False,
    journeys: HeldJourneys,
    sending: BatchOptions,
) -> None:
    """Retry a held step with the same delivery id: of one journey, or of all held journeys that match.

    --anew sends a new message to a receiver that would answer the same one in the same way. It is for steps that are
    held because their response was refused (refused_answer).

    The same content is sent again. --with-version renders it again, with the templates of that version. --since: held
    since then.

    Quiet hours, windows and caps apply. --now ignores them. It also sends a message of one journey that is not held
    but waits for them. Suppressions and consent always apply.

    Of many, messages that may have been delivered (unknown) are left out: --unknown retries them too. What the log of
    attempts has as delivered is never sent again.
    """
    more: dict[str, Any] = {} if version is None else {"version": version}
    if now:
        more["now"] = True
    if anew:
        more["anew"] = True
    _run(OperationCommand(Operation.RETRY, record, sending, more, unknown=unknown), journeys, "is retried")


@grouped
def skip(record: OperatorOptions, journeys: StoppedJourneys, sending: BatchOptions) -> None:
    """Skip the current step of a journey, or of all held journeys that match; with --state retrying, of retrying ones.

    --since: held since then; with --state retrying, admitted since then.
    """
    _run(OperationCommand(Operation.SKIP, record, sending), journeys, "is skipped")


@grouped
def leave(record: OperatorOptions, journeys: LeavingJourneys, sending: BatchOptions) -> None:
    """End a journey, or all held journeys that match; with --state retrying, retrying ones; with --all, all that run.

    --since: held since then; with --state retrying or --all, admitted since then. To stop new entries, use 'scenario
    close'.
    """
    _run(OperationCommand(Operation.LEAVE, record, sending), journeys)


@grouped
def pause(record: OperatorOptions, journeys: RunningJourneys, sending: BatchOptions) -> None:
    """Pause a journey, or all that match, before the next step. A delivery in progress continues.

    --since: admitted since then. Later entries are not paused: use 'scenario close' to stop them.
    """
    _run(OperationCommand(Operation.PAUSE, record, sending), journeys)


@grouped
def resume(record: OperatorOptions, journeys: PausedJourneys, sending: BatchOptions) -> None:
    """Resume a paused journey, or all that match.

    --since: admitted since then.
    """
    _run(OperationCommand(Operation.RESUME, record, sending), journeys)


def _run(command: OperationCommand, journeys: RunningJourneys, done: str = "") -> None:
    which = {name: value for name, value in vars(journeys).items() if value not in (None, False)}
    journey: str | None = which.pop("journey", None)
    everybody: bool = which.pop("everybody", False)
    step = {"step": which.pop("step")} if "step" in which else {}
    if journey is None:
        if not which:
            raise typer.BadParameter("name a JOURNEY, or select journeys by --scenario, --destination or --since")
        if everybody and (step or which.keys() & {"held_reason", "state"}):
            option = "step" if step else "state" if "state" in which else "held-reason"
            raise typer.BadParameter(f"--{option} is for held journeys: leave it out, or --all")
        raise typer.Exit(_operate_many(command, {**which, **step}, everybody=everybody))
    if everybody:
        raise typer.BadParameter("--all is for many journeys: leave it out, or leave out JOURNEY")
    if which:
        option = next(iter(which)).replace("_", "-")
        raise typer.BadParameter(f"--{option} selects many journeys: leave it out, or leave out JOURNEY")
    sending = command.sending
    if sending.dry_run or sending.limit is not None or command.unknown:
        many = "--dry-run" if sending.dry_run else "--limit" if sending.limit is not None else "--unknown"
        raise typer.BadParameter(f"{many} is for many journeys: leave it out, or see 'scenario show {journey}'")

    def tell(progress: Mapping[str, Any]) -> None:
        state = progress.get("state")
        if command.operation is Operation.PAUSE and state == "held":
            state = "held, and paused as well"
        at = progress.get("at")
        say(f"{journey}: {f'step {at} {done}' if done else state}")

    operate_one(command, journey, tell, **step)


def operate_one(
    command: OperationCommand, journey: str, show: Callable[[Mapping[str, Any]], None], **step: str | None
) -> None:
    """Send an operation to a journey, and print its progress."""
    more: dict[str, Any] = {"operator": command.record.who, "reason": command.record.reason, **command.more, **step}
    progress = session.ask(lambda client: client.send(journey, command.operation, **more))
    output(progress, command.sending.form, show)


DestinationArgument = Annotated[
    str, argument("DESTINATION", "a destination's name or a host, as 'scenario deliveries' says; email, sms")
]


@dataclass(frozen=True, kw_only=True)
class _Policy:
    initial_interval: Annotated[
        float | None, option("DURATION", "the pause before the second attempt", parser=length)
    ] = None
    backoff_coefficient: Annotated[float | None, option("N", "by which each further pause is longer")] = None
    maximum_interval: Annotated[float | None, option("DURATION", "the longest pause", parser=length)] = None
    maximum_attempts: Annotated[int | None, option("N", "how many attempts at most; 0 means no limit")] = None
    deadline: Annotated[
        float | None, option("DURATION", "the time over all attempts, since the first was due", parser=length)
    ] = None


@grouped
def retune(destination: DestinationArgument, record: OperatorOptions, policy: _Policy, sending: BatchOptions) -> None:
    """Change the retry policy of the deliveries to a destination that are in progress.

    It applies immediately, also during a pause between attempts, and only to these deliveries, including those that
    have not been attempted yet.
    """
    from cli.journey_text import flights
    from service.destinations import DeliveryInProgress, RetuneCandidates
    from service.index import EVERY
    from service.operations.request import RetryPolicyChange

    async def look(client: ScenarioClient) -> RetuneCandidates:
        limit = sending.limit or EVERY
        if sending.dry_run:
            return await client.retune_candidates(destination, limit=limit)
        return RetuneCandidates(await client.in_flight(destination, limit=limit), unseen=0)

    change = RetryPolicyChange(**vars(policy))
    candidates = session.ask(look)
    found = candidates.found
    # The journey's name for the destination, which may differ.
    more = {"destination": found[0].goes_to if found else destination, "retry": change.given()}
    command = OperationCommand(Operation.RETUNE, record, sending, more)
    listed = [DeliveryInProgress.of(item) for item in found]
    status = _carry_out(command, found, lambda: flights(found), listed)
    if candidates.unseen:
        unseen = count(candidates.unseen, "more journey")
        note(f"scenario: {unseen} may have a delivery without an attempt so far: the operation checks each of them")
    raise typer.Exit(status)


_SHOWN: Final = 20  # refusals shown one by one


@dataclass(frozen=True)
class OperationCommand:
    """An operation as a command line asks for it."""

    operation: Operation
    record: OperatorOptions
    sending: BatchOptions
    more: dict[str, Any] = field(default_factory=dict[str, Any])
    unknown: bool = False  # True to retry also messages that may have been delivered


def _operate_many(command: OperationCommand, which: dict[str, Any], *, everybody: bool = False) -> int:
    """Send an operation to all journeys that match the filters, which have the names of the options.

    Return the exit status. Raise NotAnswered if journeys must be queried, but no worker answers.
    """
    from cli import journey_text
    from service.index import EVERY, JourneyFilter
    from service.operations.request import NOT_HELD

    sending, operation = command.sending, command.operation
    wanted = JourneyFilter(reason=which.pop("held_reason", None), **which)
    more = {"everybody": True} if everybody else {"unknown": True} if command.unknown else {}
    found = session.ask(
        lambda client: client.select(operation, wanted, ask=sending.dry_run, limit=sending.limit or EVERY, **more)
    )
    if operation is Operation.RETRY:
        _note_uncertain(session.ask(lambda client: client.uncertain(wanted)), command)
    table = journey_text.journeys if everybody or operation in NOT_HELD else journey_text.held
    return _carry_out(command, found, lambda: table(found), found, anywhere=everybody)


def _note_uncertain(uncertain: UncertainView, command: OperationCommand) -> None:
    if uncertain.total:
        may_have = f"{count(uncertain.total, 'message')} may have been delivered ({uncertain})"
        end = (
            "what the log has as delivered is not sent again"
            if command.unknown
            else "left out, unless --unknown is given"
        )
        note(f"scenario: {may_have}: {end}")


def _carry_out(
    command: OperationCommand,
    found: list[JourneySummary] | list[PendingDelivery],
    show: Callable[[], None],
    listed: Sequence[View],
    *,
    anywhere: bool = False,
) -> int:
    from service.operations.journey_operations import targets
    from service.operations.request import JourneyTarget, Tally
    from service.operations.views import TallyView

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
            dump(TallyView.from_record(Tally(), operation=operation))
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
    from service.operations.views import TallyView

    for refused in tally.refused[:_SHOWN]:
        note(f"scenario: {refused.id}: {refused.why}")
    if len(tally.refused) > _SHOWN:
        note(f"scenario: … and {len(tally.refused) - _SHOWN} more")
    if tally.left:
        cause = "no worker answers: check that one is running, and " if tally.unanswered else ""
        note(f"scenario: {cause}run the command again for the remaining journeys")
    if command.sending.json:
        dump(TallyView.from_record(tally, operation=command.operation))
    else:
        say(str(tally))
