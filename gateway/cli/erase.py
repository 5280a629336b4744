"""Commands that erase contacts and show erasures: erase, erasures."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Final

import typer

from gateway.cli import session
from gateway.cli.options import Format, FormatOption, LimitOption, OperatorOptions, grouped
from gateway.terminal import dump, local, note, say

if TYPE_CHECKING:
    from gateway.client import ScenarioClient
    from gateway.service.erasures import ErasureView

WaitOption = Annotated[
    bool,
    typer.Option("--wait", help="wait until it is finished, up to 30 minutes; Ctrl-C ends the wait, not the erasure"),
]
_POLL: Final = 2.0  # seconds between two queries with --wait
_PATIENCE: Final = 1800.0  # seconds: an erasure takes some minutes, unless Temporal or all workers are down


@grouped
def erase(
    *,
    contact: Annotated[str, typer.Argument(metavar="CONTACT", help="the contact's id")],
    record: OperatorOptions,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="report what would be erased, and erase nothing")] = False,
    wait: WaitOption = False,
    form: FormatOption = Format.TEXT,
) -> None:
    """Erase a contact: end its journeys, make its stored data unreadable, and refuse its later entries.

    A worker finishes the erasure within some minutes; 'scenario erasures' shows its progress. The exit status is 1 if
    --wait ends before that. It cannot be undone: a contact who returns needs another id. The report of --format json
    can be filed: it names the contact only by an HMAC.
    """

    async def run(client: ScenarioClient) -> ErasureView:
        view = await client.erase(contact, operator=record.who, reason=record.reason, dry_run=dry_run)
        end = monotonic() + _PATIENCE
        while wait and view.id is not None and view.finished_at is None and monotonic() < end:
            await asyncio.sleep(_POLL)
            view = await client.erasure(view.id)
        return view

    view = session.ask(run)
    if form is Format.JSON:
        dump(view.model_dump(mode="json"))
    elif dry_run:
        say(f"there are {_found(view)}: nothing was done")
    else:
        _show(view)
    if wait and view.id is not None and view.finished_at is None:
        raise typer.Exit(1)


def erasures(
    erasure: Annotated[str | None, typer.Argument(metavar="[ID]", help="the erasure's id; without it, all")] = None,
    is_open: Annotated[bool, typer.Option("--open", help="only those that are not finished")] = False,
    limit: LimitOption = 50,
    form: FormatOption = Format.TEXT,
) -> None:
    """Show erasures of contacts, newest first, or the progress and the report of one."""
    one = session.ask(lambda client: client.erasure(erasure)) if erasure is not None else None
    found = [one] if one else session.ask(lambda client: client.erasures(is_open=is_open, limit=limit))
    if form is Format.JSON:
        listed = [view.model_dump(mode="json") for view in found]
        dump(listed[0] if one else listed)
    elif one:
        _show(one)
    else:
        for view in found:
            since, trouble = local(view.finished_at or view.at), f" ({view.trouble})" if view.trouble else ""
            say(f"{view.id}  {view.state} since {since}: {view.reason}{trouble}")


def _show(view: ErasureView) -> None:
    if view.finished_at is None:
        done = f"{_found(view)}; Temporal still has {view.remaining} of the runs"
        say(f"erasing{' again' if view.before else ''}, {view.state} since {local(view.at)}: {done}")
        if view.trouble:
            note(f"scenario: {view.trouble}")
        note(f"scenario: a worker finishes it within some minutes: 'scenario erasures {view.id}'")
        return
    say(f"erased{' again' if view.before else ''} at {local(view.finished_at)}: {_found(view)}")
    if view.sent_to:
        named = ", ".join(dict.fromkeys(f"{one.channel} {one.destination}" for one in view.sent_to))
        note(f"scenario: these may hold messages to the contact, which their operators have to erase: {named}")
    if view.encrypted:
        note(
            "scenario: copies of the store that were made before hold the contact's key, wrapped: to make it useless, "
            "put a new key in front of SCENARIO_ENCRYPTION_KEYS, run 'scenario encryption rotate', and destroy the old"
        )
    else:
        note("scenario: nothing was encrypted: copies of the databases that were made before can still be read")


def _found(view: ErasureView) -> str:
    rows = view.rows
    return (
        f"{view.histories} runs of journeys, {view.ended} of them running; and in the store {rows.entries} entries, "
        f"{rows.deliveries} attempts, {rows.claims} claims"
    )
