"""Commands that run everything on this machine: demo, dev."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.terminal import console

StayOption = Annotated[bool, typer.Option("--stay", help="keep everything running afterwards, to look around")]
PortOption = Annotated[int, typer.Option("--port", help="of the Temporal server")]
UiPortOption = Annotated[int, typer.Option("--ui-port", help="of Temporal's UI")]
GatewayPortOption = Annotated[int, typer.Option("--gateway-port", help="of the API, the pages and callbacks")]
StateOption = Annotated[
    Path, typer.Option("--state", metavar="FOLDER", help="where the servers' state, the store and the inbox are kept")
]
SendOption = Annotated[
    bool, typer.Option("--send", help="send for real, as SCENARIO_DESTINATIONS, SCENARIO_SMTP, SCENARIO_SMS … say")
]
ResumeOption = Annotated[bool, typer.Option("--resume", help="with --send: also let running journeys send")]
SkipTimeOption = Annotated[bool, typer.Option("--skip-time", help="do not wait where a step waits long for a time")]


def demo(stay: StayOption = False) -> None:
    """Run the examples from entry to end on a local server, and show what was sent.

    With --stay, everything runs until Ctrl-C. The exit status is that of the demonstration.
    """
    from gateway.local.demo import demo as run

    raise typer.Exit(_run(run(stay=stay, console=console())))


def dev(
    port: PortOption = 7233,
    ui_port: UiPortOption = 8233,
    gateway_port: GatewayPortOption = 8080,
    state: StateOption = Path(".scenario"),
    send: SendOption = False,
    resume: ResumeOption = False,
    skip_time: SkipTimeOption = False,
) -> None:
    """Run the local server, API, pages, inbox, receiver and a worker until Ctrl-C, and print each message.

    Nothing is sent to real recipients: e-mails and SMS end in the inbox, webhooks at the receiver, and secrets are
    placeholders. 'scenario receiver' makes webhooks fail. With --send, messages reach real recipients, with the
    configured settings; steps that need a missing setting are held. Other commands in this folder find the servers
    without configuration, or with the settings printed here. --skip-time does not skip waits for events or pauses
    between attempts.
    """
    from gateway.local.dev import dev as run

    if resume and not send:
        raise typer.BadParameter("--resume goes with --send")
    try:
        status = _run(
            run(
                state=state,
                port=port,
                ui_port=ui_port,
                gateway_port=gateway_port,
                send=send,
                resume=resume,
                skip_time=skip_time,
                console=console(),
            )
        )
    except KeyboardInterrupt:  # this is how it is meant to end
        status = 0
    raise typer.Exit(status)


def _run(work: Coroutine[Any, Any, int]) -> int:
    from gateway.cli.session import quieten

    quieten()
    return asyncio.run(work)
