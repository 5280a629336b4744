"""Commands for contacts and addresses that must get nothing: suppress, erase, erasures."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from cli import session
from cli.entry_files import STDIN, named, opened, read, writing
from cli.options import FormatOption, LimitOption, OperatorOptions, SinceOption, argument, flag, grouped, option
from cli.output import Table, output
from cli.terminal import dump, local, note, say

if TYPE_CHECKING:
    from service.client import ScenarioClient
    from service.erasures import ErasureView
    from service.suppressions import SuppressionService, SuppressionView

_Answer = TypeVar("_Answer")
_SHOWN: Final = 20  # invalid lines that are listed one by one
_BRIEF: Final = 12  # digits of a hash in tables


@dataclass(frozen=True, kw_only=True)
class _SuppressOptions:
    """The arguments of `suppress`."""

    address: Annotated[
        str | None, argument("[ADDRESS]", "an e-mail address or a number; - reads it from standard input")
    ] = None
    source: Annotated[str | None, option("WORD", "why: custom (default), unsub, bounce, fbl, stop, soft")] = None
    channel: Annotated[str | None, option("NAME", "email or sms; by default what fits the address")] = None
    scope: Annotated[str | None, option("LIST", "with unsub: only the marketing of this list")] = None
    evidence: Annotated[str, option("TEXT", "the evidence, for the record")] = ""
    remove: Annotated[bool, flag("--remove", "remove the suppressions of the address")] = False
    listing: Annotated[bool, flag("--list", "list the suppressions of the address, or of all")] = False
    brought: Annotated[
        str | None, option("FILE", "suppress the addresses of a CSV file; - is standard input", "--import")
    ] = None
    carried: Annotated[
        Path | None, option("FILE", "write all as CSV, with hashes only; - is standard output", "--export")
    ] = None
    since: SinceOption = None
    limit: LimitOption = 50
    form: FormatOption = "text"


@grouped
def suppress(wanted: _SuppressOptions) -> None:
    """Suppress an address, so that it gets no messages; or list, remove, import or export suppressions.

    Addresses are never stored, only their hashes, made with the workers' SCENARIO_SUPPRESSION_KEY. The source unsub
    stops only marketing, or one list with --scope; every other source stops all messages to the address.

    A CSV file for --import has its columns in the first line: address or hash, and optionally channel, source, scope,
    suppressed_at, evidence. JSON has channel, hash, source, scope, suppressed_at and evidence.
    """
    modes = (wanted.remove, wanted.listing, wanted.brought is not None, wanted.carried is not None)
    if sum(modes) > 1:
        raise typer.BadParameter("--remove, --list, --import and --export are not for the same command")
    if wanted.address is not None and (wanted.brought is not None or wanted.carried is not None):
        raise typer.BadParameter("--import and --export are about files, and take no address")
    if wanted.brought is not None:
        _import_suppressions(wanted, wanted.brought)
    elif wanted.carried is not None:
        _export_suppressions(wanted, wanted.carried)
    elif wanted.listing:
        _list_suppressions(wanted)
    elif wanted.address is None:
        raise typer.BadParameter("name an address, or use --list, --import or --export")
    elif wanted.remove:
        _remove_suppressions(wanted, wanted.address)
    else:
        _add_suppression(wanted, wanted.address)


def _ask_suppressions(
    use: Callable[[SuppressionService], Coroutine[Any, Any, _Answer]], *, writes: bool = False
) -> _Answer:
    from runtime.settings import Settings
    from service.suppressions import SuppressionService, configured_hashes

    return session.ask_store(
        lambda store: use(SuppressionService(store, lambda: configured_hashes(Settings()))), writes=writes
    )


def _address(given: str) -> str:
    return read(STDIN).decode(errors="replace").strip() if given == STDIN else given


def _add_suppression(wanted: _SuppressOptions, address: str) -> None:
    from scenario.policies.suppression import UNSUBSCRIBED

    address = _address(address)
    made, new = _ask_suppressions(
        lambda service: service.add(address, **_named(wanted), evidence=wanted.evidence), writes=True
    )
    if wanted.form == "json":
        dump({**dict(made), "new": new})
        return
    stopped = "messages"
    if made.source == UNSUBSCRIBED:
        stopped = f"marketing of {made.scope}" if made.scope else "marketing"
    effect = f"the address gets no {stopped} ({made.source})"
    say(f"suppressed by {made.channel}: {effect}" if new else f"was suppressed by {made.channel} already: {effect}")


def _remove_suppressions(wanted: _SuppressOptions, address: str) -> None:
    address = _address(address)
    channel, gone = _ask_suppressions(lambda service: service.remove(address, **_named(wanted)), writes=True)
    names = ", ".join(f"{one.source} {one.scope}".rstrip() for one in gone)
    said = f"no longer suppressed by {channel}: {names}" if gone else f"was not suppressed by {channel}"
    output(gone, wanted.form, lambda _: say(said))


def _list_suppressions(wanted: _SuppressOptions) -> None:
    address = _address(wanted.address) if wanted.address is not None else None

    async def look(service: SuppressionService) -> tuple[list[SuppressionView], dict[tuple[str, str], int]]:
        if address is None:
            found = await service.find(**_named(wanted), since=wanted.since, limit=wanted.limit)
            return found, await service.counts()
        return await service.of(address, **_named(wanted)), {}

    def tell(found: Sequence[SuppressionView]) -> None:
        rows = Table("since (local)", "channel", "source", "scope", "address", "evidence", prose=("evidence",))
        for one in found:
            rows.add(local(one.suppressed_at), one.channel, one.source, one.scope, one.hash[:_BRIEF], one.evidence)
        rows.show("nothing is suppressed")
        if found and counts:
            numbers = ", ".join(f"{many:,} {channel} {source}" for (channel, source), many in sorted(counts.items()))
            note(f"on record: {numbers}")

    found, counts = _ask_suppressions(look)
    output(found, wanted.form, tell)


def _import_suppressions(wanted: _SuppressOptions, name: str) -> None:
    given = {**_named(wanted), "scope": wanted.scope or "", "evidence": wanted.evidence}
    with opened(name) as raw:
        file = io.TextIOWrapper(raw, encoding="utf-8-sig", errors="replace", newline="")
        try:
            result = _ask_suppressions(lambda service: service.read(file, **given, name=named(name)), writes=True)
        finally:
            file.detach()
    if wanted.form == "json":
        bad = [{"line": line, "message": message} for line, message in result.bad]
        dump({"new": result.new, "known": result.known, "bad": bad})
    else:
        for line, message in result.bad[:_SHOWN]:
            note(f"line {line} of {named(name)}: {message}")
        if len(result.bad) > _SHOWN:
            note(f"and {len(result.bad) - _SHOWN:,} more invalid lines")
        say(f"{result.new:,} suppressed, {result.known:,} known already, {len(result.bad):,} wrong")
    if result.bad:
        raise typer.Exit(1)


def _export_suppressions(wanted: _SuppressOptions, path: Path) -> None:
    from service.suppressions import COLUMNS

    async def export(service: SuppressionService) -> int:
        count = 0
        with writing(path) as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(COLUMNS)
            async for one in service.export(**_named(wanted), since=wanted.since):
                rows.writerow({**dict(one), "suppressed_at": one.suppressed_at.isoformat()}.values())
                count += 1
        return count

    note(f"{_ask_suppressions(export):,} exported")


def _named(wanted: _SuppressOptions) -> dict[str, Any]:
    return {"channel": wanted.channel, "source": wanted.source, "scope": wanted.scope}


WaitOption = Annotated[
    bool, flag("--wait", "wait until it is finished, up to 30 minutes; Ctrl-C ends the wait, not the erasure")
]
_POLL: Final = 2.0  # seconds between two queries with --wait
_PATIENCE: Final = 1800.0  # seconds: an erasure takes some minutes, unless Temporal or all workers are down


@grouped
def erase(
    *,
    contact: Annotated[str, argument("CONTACT", "the contact's id")],
    record: OperatorOptions,
    dry_run: Annotated[bool, flag("--dry-run", "report what would be erased, and erase nothing")] = False,
    wait: WaitOption = False,
    form: FormatOption = "text",
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

    def tell(view: ErasureView) -> None:
        if dry_run:
            say(f"there are {_erased_rows(view)}: nothing was done")
        else:
            _show_erasure(view)

    view = session.ask(run)
    output(view, form, tell, like_api=True)
    if wait and view.id is not None and view.finished_at is None:
        raise typer.Exit(1)


def erasures(
    erasure: Annotated[str | None, argument("[ID]", "the erasure's id; without it, all")] = None,
    is_open: Annotated[bool, flag("--open", "only those that are not finished")] = False,
    limit: LimitOption = 50,
    form: FormatOption = "text",
) -> None:
    """Show erasures of contacts, newest first, or the progress and the report of one."""

    def tell(found: Sequence[ErasureView]) -> None:
        for view in found:
            since = local(view.finished_at or view.at)
            trouble = f" ({view.trouble})" if view.trouble else ""
            say(f"{view.id}  {view.state} since {since}: {view.reason}{trouble}")

    if erasure is not None:
        output(session.ask(lambda client: client.erasure(erasure)), form, _show_erasure, like_api=True)
    else:
        output(session.ask(lambda client: client.erasures(is_open=is_open, limit=limit)), form, tell, like_api=True)


def _show_erasure(view: ErasureView) -> None:
    if view.finished_at is None:
        done = f"{_erased_rows(view)}; Temporal still has {view.remaining} of the runs"
        say(f"erasing{' again' if view.before else ''}, {view.state} since {local(view.at)}: {done}")
        if view.trouble:
            note(f"scenario: {view.trouble}")
        note(f"scenario: a worker finishes it within some minutes: 'scenario erasures {view.id}'")
        return
    say(f"erased{' again' if view.before else ''} at {local(view.finished_at)}: {_erased_rows(view)}")
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


def _erased_rows(view: ErasureView) -> str:
    rows = view.rows
    return (
        f"{view.histories} runs of journeys, {view.ended} of them running; and in the store {rows.entries} entries, "
        f"{rows.deliveries} attempts, {rows.claims} claims"
    )
