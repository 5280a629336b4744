"""Commands for operators: retry, skip, leave, pause, resume. The journey itself accepts them or not."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from gateway.cli.options import JourneyArgument, OperatorOption, ReasonOption, login
from gateway.cli.screen import say

StepOption = Annotated[
    str | None, typer.Option("--step", metavar="STEP", help="only if the journey is at this step", show_default=False)
]


def retry(journey: JourneyArgument, reason: ReasonOption, operator: OperatorOption = None) -> None:
    """Try a held step again, under the same delivery id."""
    _order("retry_step", "is tried again", journey, reason, operator)


def skip(
    journey: JourneyArgument, reason: ReasonOption, operator: OperatorOption = None, step: StepOption = None
) -> None:
    """Give up the step at which a journey stands, and go on."""
    _order("skip_step", "is skipped", journey, reason, operator, **({"step": step} if step else {}))


def leave(journey: JourneyArgument, reason: ReasonOption, operator: OperatorOption = None) -> None:
    """End a journey."""
    _order("leave", "", journey, reason, operator)


def pause(journey: JourneyArgument, reason: ReasonOption, operator: OperatorOption = None) -> None:
    """Let a journey start no further step; a delivery under way goes on."""
    _order("pause", "", journey, reason, operator)


def resume(journey: JourneyArgument, reason: ReasonOption, operator: OperatorOption = None) -> None:
    """Let a paused journey go on."""
    _order("resume", "", journey, reason, operator)


def _order(name: str, done: str, journey: str, reason: str, operator: str | None, **more: Any) -> None:
    progress = asyncio.run(_give(name, journey, operator=operator or login(), reason=reason, **more))
    at = progress.get("at")
    said = f"step {at} {done}" if done else str(progress.get("state"))
    say(f"{journey}: {said}")


async def _give(name: str, journey: str, **order: Any) -> dict[str, Any]:
    from gateway.cli import session

    async with session.connected() as client:
        return await getattr(client, name)(journey, **order)
