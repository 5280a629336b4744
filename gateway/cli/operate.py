"""Commands for operators: retry, skip, leave, pause, resume. The journey itself accepts or refuses.

Without a JOURNEY an operation goes to all that fit what `--scenario` and the like say.
"""

from __future__ import annotations

from typing import Any

import typer

from gateway.cli import session
from gateway.cli.operate_many import OperationRequest, operate_many
from gateway.cli.options import (
    BatchOptions,
    HeldJourneys,
    LeavingJourneys,
    NowOption,
    OperatorOptions,
    PausedJourneys,
    RunningJourneys,
    VersionOption,
    grouped,
)
from gateway.terminal import dump, say


@grouped
def retry(
    *,
    record: OperatorOptions,
    version: VersionOption = None,
    now: NowOption = False,
    journeys: HeldJourneys,
    sending: BatchOptions,
) -> None:
    """Try a held step again, under the same delivery id: of one journey, or of all held ones that fit.

    Sends the same bytes; with --with-version those that the fixed template gives. --since: held since then.

    Quiet hours, windows and caps hold for it too. With --now it leaves whatever they say; so does, of one journey, a
    message that is not held but kept back by them. Suppressions and consent hold all the same.
    """
    more: dict[str, Any] = {} if version is None else {"version": version}
    if now:
        more["now"] = True
    _send(OperationRequest("retry_step", record, sending, more), journeys, "is tried again")


@grouped
def skip(record: OperatorOptions, journeys: HeldJourneys, sending: BatchOptions) -> None:
    """Give up the step at which a journey stands, and go on: of one journey, or of all held ones that fit.

    --since: held since then.
    """
    _send(OperationRequest("skip_step", record, sending), journeys, "is skipped")


@grouped
def leave(record: OperatorOptions, journeys: LeavingJourneys, sending: BatchOptions) -> None:
    """End a journey, or all held ones that fit; with --all, all under way that fit.

    --since: held since then; with --all, admitted since then. To admit nobody any more: 'scenario close'.
    """
    _send(OperationRequest("leave", record, sending), journeys)


@grouped
def pause(record: OperatorOptions, journeys: RunningJourneys, sending: BatchOptions) -> None:
    """Let a journey, or all that fit, start no further step; a delivery under way goes on.

    --since: admitted since then. Those who come in later are not paused: 'scenario close' admits nobody.
    """
    _send(OperationRequest("pause", record, sending), journeys)


@grouped
def resume(record: OperatorOptions, journeys: PausedJourneys, sending: BatchOptions) -> None:
    """Let a paused journey, or all that fit, go on.

    --since: admitted since then.
    """
    _send(OperationRequest("resume", record, sending), journeys)


def _send(request: OperationRequest, journeys: RunningJourneys, done: str = "") -> None:
    """Sends an operation to the journey that was named, or to all that fit."""
    which = {name: value for name, value in vars(journeys).items() if value not in (None, False)}
    journey: str | None = which.pop("journey", None)
    everybody: bool = which.pop("everybody", False)
    step = {"step": which.pop("step")} if "step" in which else {}
    if journey is None:
        if not which:
            raise typer.BadParameter("name a JOURNEY, or say which are meant: by --scenario, --destination or --since")
        if everybody and (step or "held_reason" in which):
            raise typer.BadParameter(f"--{'step' if step else 'held-reason'} is for held ones: leave it out, or --all")
        raise typer.Exit(operate_many(request, {**which, **step}, everybody=everybody))
    if everybody:
        raise typer.BadParameter("--all is for many journeys: leave it out, or leave out JOURNEY")
    if which:
        option = next(iter(which)).replace("_", "-")
        raise typer.BadParameter(f"--{option} says which journeys are meant: leave it out, or leave out JOURNEY")
    sending = request.sending
    if sending.dry_run or sending.limit is not None:
        many = "--dry-run" if sending.dry_run else "--limit"
        raise typer.BadParameter(f"{many} is for many journeys: leave it out, or see 'scenario show {journey}'")
    progress: dict[str, Any] = session.ask(
        lambda client: getattr(client, request.verb)(
            journey, operator=request.record.who, reason=request.record.reason, **request.more, **step
        )
    )
    if sending.json:
        dump(progress)
    else:
        at, state = progress.get("at"), progress.get("state")
        state = "held, and paused as well" if request.verb == "pause" and state == "held" else state
        say(f"{journey}: {f'step {at} {done}' if done else state}")
