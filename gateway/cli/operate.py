"""Commands for operators: retry, skip, leave, pause, resume, retune. The journey itself accepts or refuses.

Without a JOURNEY, the operation applies to all journeys that match `--scenario` and the other filters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from gateway.cli import session
from gateway.cli.operate_many import OperationCommand, operate_many, retune_many
from gateway.cli.options import (
    BatchOptions,
    HeldJourneys,
    LeavingJourneys,
    NowOption,
    OperatorOptions,
    PausedJourneys,
    RunningJourneys,
    StoppedJourneys,
    VersionOption,
    grouped,
    length,
)
from gateway.terminal import dump, say
from scenario.words import Operation


@grouped
def retry(
    *,
    record: OperatorOptions,
    version: VersionOption = None,
    now: NowOption = False,
    journeys: HeldJourneys,
    sending: BatchOptions,
) -> None:
    """Retry a held step with the same delivery id: of one journey, or of all held journeys that match.

    The same content is sent again. --with-version renders it again, with the templates of that version. --since: held
    since then.

    Quiet hours, windows and caps apply. --now ignores them. It also sends a message of one journey that is not held
    but waits for them. Suppressions and consent always apply.
    """
    more: dict[str, Any] = {} if version is None else {"version": version}
    if now:
        more["now"] = True
    _run(OperationCommand(Operation.RETRY, record, sending, more), journeys, "is retried")


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
        raise typer.Exit(operate_many(command, {**which, **step}, everybody=everybody))
    if everybody:
        raise typer.BadParameter("--all is for many journeys: leave it out, or leave out JOURNEY")
    if which:
        option = next(iter(which)).replace("_", "-")
        raise typer.BadParameter(f"--{option} selects many journeys: leave it out, or leave out JOURNEY")
    sending = command.sending
    if sending.dry_run or sending.limit is not None:
        many = "--dry-run" if sending.dry_run else "--limit"
        raise typer.BadParameter(f"{many} is for many journeys: leave it out, or see 'scenario show {journey}'")
    _operate(command, journey, step, done)


def _operate(command: OperationCommand, journey: str, step: dict[str, str], done: str) -> None:
    operator, reason = command.record.who, command.record.reason
    progress = session.ask(
        lambda client: client.send(journey, command.operation, operator=operator, reason=reason, **command.more, **step)
    )
    if command.sending.json:
        dump(progress)
        return
    at, state = progress.get("at"), progress.get("state")
    if command.operation is Operation.PAUSE and state == "held":
        state = "held, and paused as well"
    say(f"{journey}: {f'step {at} {done}' if done else state}")


DestinationArgument = Annotated[
    str,
    typer.Argument(
        metavar="DESTINATION", help="a destination's name or a host, as 'scenario deliveries' says; email, sms"
    ),
]


def _length(name: str, what: str) -> Any:
    return typer.Option(name, metavar="DURATION", parser=length, help=what)


def _number(name: str, what: str) -> Any:
    return typer.Option(name, metavar="N", help=what)


@dataclass(frozen=True, kw_only=True)
class _Policy:
    initial_interval: Annotated[float | None, _length("--initial-interval", "the pause before the second attempt")] = (
        None
    )
    backoff_coefficient: Annotated[
        float | None, _number("--backoff-coefficient", "by which each further pause is longer")
    ] = None
    maximum_interval: Annotated[float | None, _length("--maximum-interval", "the longest pause")] = None
    maximum_attempts: Annotated[
        int | None, _number("--maximum-attempts", "how many attempts at most; 0 means no limit")
    ] = None
    deadline: Annotated[float | None, _length("--deadline", "the time over all attempts, since the first was due")] = (
        None
    )


@grouped
def retune(destination: DestinationArgument, record: OperatorOptions, policy: _Policy, sending: BatchOptions) -> None:
    """Change the retry policy of the deliveries to a destination that are in progress.

    It applies immediately, also during a pause between attempts, and only to these deliveries, including those that
    have not been attempted yet.
    """
    from gateway.operations.retry_policy import RetryPolicyChange

    change = RetryPolicyChange(**vars(policy))
    raise typer.Exit(retune_many(OperationCommand(Operation.RETUNE, record, sending), destination, change))
