"""Commands for operators: retry, skip, leave, pause, resume. The journey itself accepts or refuses.

Without a JOURNEY an operation goes to all that fit what `--scenario` and the like say.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Any

import typer

from gateway.cli.choices import (
    DryRunOption,
    HeldAtOption,
    HeldForOption,
    JourneyOrMany,
    RateOption,
    SendingToOption,
    SomeOption,
    StepOption,
    VersionOption,
    YesOption,
)
from gateway.cli.options import Format, FormatOption, OperatorOption, ReasonOption, ScenarioOption, SinceOption, login
from gateway.cli.terminal import dump, say

if TYPE_CHECKING:
    from gateway.cli.operate_many import OperationRequest
    from gateway.operations.one import Verb


def retry(
    reason: ReasonOption,
    journey: JourneyOrMany = None,
    operator: OperatorOption = None,
    version: VersionOption = None,
    scenario: ScenarioOption = None,
    destination: HeldAtOption = None,
    since: SinceOption = None,
    held_reason: HeldForOption = None,
    step: StepOption = None,
    pace: RateOption = "10/s",  # pyright: ignore[reportArgumentType] - its parser makes it a number
    limit: SomeOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    form: FormatOption = Format.TEXT,
) -> None:
    """Try a held step again, under the same delivery id: of one journey, or of all held ones that fit.

    Sends the same bytes; with --with-version those that the mended template gives. --since: held since then.
    """
    request = requested("retry_step", reason, operator, pace, limit, dry_run, yes, form, version=version)
    which = _which(scenario, destination, since, held_reason, step)
    _send(request, journey, which, step, "is tried again")


def skip(
    reason: ReasonOption,
    journey: JourneyOrMany = None,
    operator: OperatorOption = None,
    scenario: ScenarioOption = None,
    destination: HeldAtOption = None,
    since: SinceOption = None,
    held_reason: HeldForOption = None,
    step: StepOption = None,
    pace: RateOption = "10/s",  # pyright: ignore[reportArgumentType] - its parser makes it a number
    limit: SomeOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    form: FormatOption = Format.TEXT,
) -> None:
    """Give up the step at which a journey stands, and go on: of one journey, or of all held ones that fit.

    --since: held since then.
    """
    request = requested("skip_step", reason, operator, pace, limit, dry_run, yes, form)
    which = _which(scenario, destination, since, held_reason, step)
    _send(request, journey, which, step, "is skipped")


def leave(
    reason: ReasonOption,
    journey: JourneyOrMany = None,
    operator: OperatorOption = None,
    scenario: ScenarioOption = None,
    destination: HeldAtOption = None,
    since: SinceOption = None,
    held_reason: HeldForOption = None,
    step: StepOption = None,
    pace: RateOption = "10/s",  # pyright: ignore[reportArgumentType] - its parser makes it a number
    limit: SomeOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    form: FormatOption = Format.TEXT,
) -> None:
    """End a journey, or all held ones that fit.

    --since: held since then.
    """
    request = requested("leave", reason, operator, pace, limit, dry_run, yes, form)
    which = _which(scenario, destination, since, held_reason, step)
    _send(request, journey, which, step)


def pause(
    reason: ReasonOption,
    journey: JourneyOrMany = None,
    operator: OperatorOption = None,
    scenario: ScenarioOption = None,
    destination: SendingToOption = None,
    since: SinceOption = None,
    pace: RateOption = "10/s",  # pyright: ignore[reportArgumentType] - its parser makes it a number
    limit: SomeOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    form: FormatOption = Format.TEXT,
) -> None:
    """Let a journey, or all that fit, start no further step; a delivery under way goes on.

    --since: let in since then.
    """
    request = requested("pause", reason, operator, pace, limit, dry_run, yes, form)
    _send(request, journey, _which(scenario, destination, since))


def resume(
    reason: ReasonOption,
    journey: JourneyOrMany = None,
    operator: OperatorOption = None,
    scenario: ScenarioOption = None,
    destination: SendingToOption = None,
    since: SinceOption = None,
    pace: RateOption = "10/s",  # pyright: ignore[reportArgumentType] - its parser makes it a number
    limit: SomeOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    form: FormatOption = Format.TEXT,
) -> None:
    """Let a paused journey, or all that fit, go on.

    --since: let in since then.
    """
    request = requested("resume", reason, operator, pace, limit, dry_run, yes, form)
    _send(request, journey, _which(scenario, destination, since))


def requested(
    verb: Verb,
    reason: str,
    operator: str | None,
    pace: float,
    limit: int | None,
    dry_run: bool,
    yes: bool,
    form: Format,
    **more: Any,
) -> OperationRequest:
    """What a command's options order."""
    from gateway.cli.operate_many import OperationRequest

    return OperationRequest(
        verb=verb,
        operator=operator or login(),
        reason=reason,
        rate=pace,
        limit=limit,
        dry_run=dry_run,
        yes=yes,
        json=form is Format.JSON,
        more={name: value for name, value in more.items() if value is not None},
    )


def _which(
    scenario: str | None,
    destination: str | None,
    since: datetime | None,
    reason: str | None = None,
    step: str | None = None,
) -> Any:
    from gateway.operations.search import Which

    return Which(scenario=scenario, destination=destination, since=since, reason=reason, step=step)


def _send(request: OperationRequest, journey: str | None, which: Any, step: str | None = None, done: str = "") -> None:
    """Sends an operation to the journey that was named, or to all that fit."""
    named = [
        name
        for name, value in (
            ("--scenario", which.scenario),
            ("--destination", which.destination),
            ("--since", which.since),
            ("--held-reason", which.reason),
        )
        if value is not None
    ]
    if journey is None:
        if not named:
            raise typer.BadParameter("name a JOURNEY, or say which are meant: by --scenario, --destination or --since")
        from gateway.cli import operate_many

        raise typer.Exit(operate_many.operate_held(request, which))
    if named:
        raise typer.BadParameter(f"{named[0]} says which journeys are meant: leave it out, or leave out JOURNEY")
    if request.dry_run or request.limit is not None:
        many = "--dry-run" if request.dry_run else "--limit"
        raise typer.BadParameter(f"{many} is for many journeys: leave it out, or see 'scenario show {journey}'")
    progress = asyncio.run(_send_one(request, journey, {"step": step} if step else {}))
    at = progress.get("at")
    if request.json:
        dump(progress)
    else:
        state = progress.get("state")
        state = "held, and paused as well" if request.verb == "pause" and state == "held" else state
        say(f"{journey}: {f'step {at} {done}' if done else state}")


async def _send_one(request: OperationRequest, journey: str, more: dict[str, Any]) -> dict[str, Any]:
    from gateway.cli import session

    async with session.connected() as client:
        return await getattr(client, request.verb)(
            journey, operator=request.operator, reason=request.reason, **request.more, **more
        )
