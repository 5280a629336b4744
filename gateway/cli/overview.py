"""The command that answers whether everything is well."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from gateway.cli import session
from gateway.cli.options import Format, FormatOption
from gateway.cli.output import count, output
from gateway.terminal import local, say

if TYPE_CHECKING:
    from gateway.service.overview import OverviewView


def overview(form: FormatOption = Format.TEXT) -> None:
    """Show whether everything is well: held journeys, failing destinations, workers, campaigns and batches.

    The exit status is 1 if something needs a person. JSON: as GET /v1/overview.
    """
    seen = session.ask(lambda client: client.overview())
    output(seen, form, _show)
    if not seen.well:
        raise typer.Exit(1)


def _show(seen: OverviewView) -> None:
    if seen.well:
        say("all is well")
    for sentence in seen.unknown:
        say(f"not known: {sentence}")
    for held in seen.held or ():
        say(f"held: {count(held.journeys, 'journey')}, cause {held.cause or 'other'}")
    for one in seen.retrying or ():
        what = "left alone" if one.paused else "retrying"
        line = (
            f"{what}: {count(one.deliveries, 'delivery', 'deliveries')} to {one.destination}, since {local(one.since)}"
        )
        say(f"{line}: {one.why}" if one.why else line)
    for queue in seen.missing_workers or ():
        say(f"no worker: queue {queue.queue}, {count(queue.tasks, 'task')} waiting")
    for campaign in seen.campaigns or ():
        trouble = f": {campaign.trouble}" if campaign.trouble else ""
        say(f"campaign: {campaign.name} is {campaign.state}, {campaign.done:,} of {campaign.total:,}{trouble}")
    if seen.batches.open:
        say(f"batches: {seen.batches.open:,} have not ended, {seen.batches.overdue:,} overdue")
    if seen.held_audiences:
        say(f"held: {count(seen.held_audiences, 'audience')}")
    for one in seen.outgoing or ():
        waiting = one.held + one.failing + one.waiting + one.behind
        say(f"outgoing: {count(waiting, 'event')} of {one.name}, {one.state}")
    say(f"{count(seen.in_progress, 'journey')} in progress")
