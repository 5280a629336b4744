"""What a step of a journey sent, on a terminal or as JSON: show --rendered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.cli import session
from gateway.cli.options import Format
from gateway.cli.preview import book_of, workshop
from gateway.terminal import console, dump, local, note, text

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.client import ScenarioClient
    from gateway.journeys.rendered import RenderedDelivery

_AGAIN = (
    "rendered again from the journey's data, not a copy: secrets are masked, callback addresses are placeholders, "
    "destinations and senders are those configured here now; 'scenario show' tells whether it was sent"
)


def show_rendered(journey: str, step: str, form: Format, destinations: Path | None) -> None:
    """Print what a step sent, for each time that the journey reached it.

    Raises:
        BadInput: It sent nothing, or its data is deleted.
    """
    from runtime.settings import Settings

    renders = workshop(Settings(), book_of(destinations))

    async def look(client: ScenarioClient) -> list[RenderedDelivery]:
        from gateway.journeys.rendered import rendered

        return await rendered(client.temporal, client.store, await client.show(journey), step, renders)

    found = session.ask(look)
    if form is Format.JSON:
        dump({"step": step, "note": _AGAIN, "deliveries": [item.report() for item in found]})
        return
    from gateway.cli.show_preview import Look, content, put_line

    out = console()
    for item in found:
        told = item.report()
        put_line(out, text(f"{told['delivery_id']}  {told['scenario']}  {local(item.scheduled_at)}", "bold"))
        for line in content(told, Look()):
            put_line(out, text("│ ", "dim").append_text(line))
        if why := told.get("error"):
            put_line(out, text(f"✗ {why}", "bold red"))
        if why := told.get("skipped"):
            put_line(out, text(f"nothing to send: {why}", "yellow"))
    note(_AGAIN)
