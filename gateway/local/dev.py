"""`scenario dev`: the local servers and a worker, until Ctrl-C."""

from __future__ import annotations

import asyncio
import shlex
from functools import partial
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.markup import escape

from gateway.local.stack import local
from runtime.process.ports import HOST

USUAL: Final = (f"{HOST}:7233", Path(".scenario"))
"""Address and folder that other commands take where nothing is set."""


async def dev(*, state: Path, port: int, ui_port: int, console: Console) -> int:
    """Runs until it is interrupted.

    Args:
        state: Folder that keeps everything from one start to the next.
        port: Of Temporal.
        ui_port: Of Temporal's UI.
        console: Where to tell what runs where.

    Returns:
        The exit status.
    """
    say = partial(console.print, markup=True, highlight=False)
    async with local(state, port=port, ui_port=ui_port) as place:
        say(f"[bold]Temporal[/]   {place.server.address}")
        say(f"[bold]UI[/]         {place.server.ui_url}")
        say(f"[bold]Inbox[/]      {place.inbox.folder}  (e-mails as .eml, SMS as .json)")
        say(f"[bold]Webhooks[/]   {state / 'received'}  (every one of them, wherever it was to go)")
        say(f"[bold]Callbacks[/]  {place.gateway.url}  (what journey.callback_url begins with, until this ends)")
        say("Now, in another terminal:")
        for line in exports(place.server.address, state):
            say(f"  {escape(line)}")
        say("  scenario publish examples/post-purchase.yaml")
        say("  scenario enter examples/entries/post-purchase.json")
        say("Ctrl-C ends all of it; what it did is kept.")
        await asyncio.Event().wait()
    return 0


def exports(address: str, state: Path) -> list[str]:
    """What has to be set for other commands to find this server and its store.

    Args:
        address: Of Temporal.
        state: The folder of the state.

    Returns:
        Commands of a shell; none where everything is as usual.
    """
    usual_address, usual_state = USUAL
    lines = [] if address == usual_address else [f"export TEMPORAL_ADDRESS={address}"]
    if state.resolve() != usual_state.resolve():
        lines.append(f"export SCENARIO_STORE={shlex.quote(f'sqlite:///{state.resolve()}/store.db')}")
    return lines
