"""Commands that run everything on this machine: demo, dev."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.terminal import console

StayOption = Annotated[bool, typer.Option("--stay", help="keep everything running afterwards, to look around")]
PortOption = Annotated[int, typer.Option("--port", help="of the Temporal server")]
UiPortOption = Annotated[int, typer.Option("--ui-port", help="of Temporal's UI")]
StateOption = Annotated[
    Path, typer.Option("--state", metavar="FOLDER", help="where the servers' state, the store and the inbox are kept")
]


def demo(stay: StayOption = False) -> None:
    """Run the examples from entry to end on a local server, and show what was sent.

    With --stay, Ctrl-C ends it, with the status of what was shown.
    """
    from gateway.local.demo import demo as run

    raise typer.Exit(_run(run(stay=stay, console=console())))


def dev(port: PortOption = 7233, ui_port: UiPortOption = 8233, state: StateOption = Path(".scenario")) -> None:
    """Run the local server, its UI, an inbox and a worker until Ctrl-C.

    Other commands that are run in this folder find them without configuration, or with what this one says.
    """
    from gateway.local.dev import dev as run

    try:
        status = _run(run(state=state, port=port, ui_port=ui_port, console=console()))
    except KeyboardInterrupt:  # this is how it is meant to end
        status = 0
    raise typer.Exit(status)


def _run(work: Coroutine[Any, Any, int]) -> int:
    from gateway.cli.session import quieten

    quieten()
    return asyncio.run(work)
