"""The command for suppressed addresses: suppress."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from gateway.cli import session
from gateway.cli.entry_files import STDIN, named, opened, read, writing
from gateway.cli.options import Format, FormatOption, LimitOption, SinceOption, grouped
from gateway.cli.output import Table, output
from gateway.terminal import dump, local, note, say

if TYPE_CHECKING:
    from gateway.service.suppressions import SuppressionService, SuppressionView

_Answer = TypeVar("_Answer")
_SHOWN: Final = 20  # invalid lines that are listed one by one
_BRIEF: Final = 12  # digits of a hash in tables


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """The arguments of the command."""

    address: Annotated[
        str | None,
        typer.Argument(metavar="[ADDRESS]", help="an e-mail address or a number; - reads it from standard input"),
    ] = None
    source: Annotated[
        str | None, typer.Option(metavar="WORD", help="why: custom (default), unsub, bounce, fbl, stop, soft")
    ] = None
    channel: Annotated[
        str | None, typer.Option(metavar="NAME", help="email or sms; by default what fits the address")
    ] = None
    scope: Annotated[str | None, typer.Option(metavar="LIST", help="with unsub: only the marketing of this list")] = (
        None
    )
    evidence: Annotated[str, typer.Option(metavar="TEXT", help="the evidence, for the record")] = ""
    remove: Annotated[bool, typer.Option("--remove", help="remove the suppressions of the address")] = False
    listing: Annotated[bool, typer.Option("--list", help="list the suppressions of the address, or of all")] = False
    brought: Annotated[
        str | None,
        typer.Option("--import", metavar="FILE", help="suppress the addresses of a CSV file; - is standard input"),
    ] = None
    carried: Annotated[
        Path | None,
        typer.Option("--export", metavar="FILE", help="write all as CSV, with hashes only; - is standard output"),
    ] = None
    since: SinceOption = None
    limit: LimitOption = 50
    form: FormatOption = Format.TEXT


@grouped
def suppress(wanted: _Wanted) -> None:
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
        _import(wanted, wanted.brought)
    elif wanted.carried is not None:
        _export(wanted, wanted.carried)
    elif wanted.listing:
        _list(wanted)
    elif wanted.address is None:
        raise typer.BadParameter("name an address, or use --list, --import or --export")
    elif wanted.remove:
        _remove(wanted, wanted.address)
    else:
        _add(wanted, wanted.address)


def _call(use: Callable[[SuppressionService], Coroutine[Any, Any, _Answer]], *, writes: bool = False) -> _Answer:
    from gateway.service.suppressions import SuppressionService, configured_hashes
    from runtime.settings import Settings

    return session.ask_store(
        lambda store: use(SuppressionService(store, lambda: configured_hashes(Settings()))), writes=writes
    )


def _address(given: str) -> str:
    return read(STDIN).decode(errors="replace").strip() if given == STDIN else given


def _add(wanted: _Wanted, address: str) -> None:
    address = _address(address)
    more = {"channel": wanted.channel, "source": wanted.source, "scope": wanted.scope}
    made, new = _call(lambda service: service.add(address, **more, evidence=wanted.evidence), writes=True)
    if wanted.form is Format.JSON:
        dump({**dict(made), "new": new})
        return
    effect = _effect(made)
    say(f"suppressed by {made.channel}: {effect}" if new else f"was suppressed by {made.channel} already: {effect}")


def _effect(one: SuppressionView) -> str:
    from scenario.policies.suppression import UNSUBSCRIBED

    if one.source != UNSUBSCRIBED:
        return f"the address gets no messages ({one.source})"
    return f"the address gets no marketing{f' of {one.scope}' if one.scope else ''} ({one.source})"


def _remove(wanted: _Wanted, address: str) -> None:
    address = _address(address)
    more = {"channel": wanted.channel, "source": wanted.source, "scope": wanted.scope}
    channel, gone = _call(lambda service: service.remove(address, **more), writes=True)
    output(gone, wanted.form, lambda gone: say(_removed(channel, gone)))


def _removed(channel: str, gone: Sequence[SuppressionView]) -> str:
    names = ", ".join(f"{one.source} {one.scope}".rstrip() for one in gone)
    return f"no longer suppressed by {channel}: {names}" if gone else f"was not suppressed by {channel}"


def _list(wanted: _Wanted) -> None:
    address = _address(wanted.address) if wanted.address is not None else None

    async def look(service: SuppressionService) -> tuple[list[SuppressionView], dict[tuple[str, str], int]]:
        if address is None:
            return await service.find(**_filters(wanted), limit=wanted.limit), await service.counts()
        found = await service.of(address, channel=wanted.channel, source=wanted.source, scope=wanted.scope)
        return found, {}

    found, counts = _call(look)
    output(found, wanted.form, lambda found: _show(found, counts))


def _show(found: Sequence[SuppressionView], counts: Mapping[tuple[str, str], int]) -> None:
    if not found:
        note("nothing is suppressed")
        return
    rows = Table("since (local)", "channel", "source", "scope", "address", "evidence", prose=("evidence",))
    for one in found:
        rows.add(local(one.suppressed_at), one.channel, one.source, one.scope, one.hash[:_BRIEF], one.evidence)
    rows.show()
    if counts:
        numbers = ", ".join(f"{many:,} {channel} {source}" for (channel, source), many in sorted(counts.items()))
        note(f"on record: {numbers}")


def _import(wanted: _Wanted, name: str) -> None:
    given: dict[str, Any] = {"channel": wanted.channel, "source": wanted.source}
    given |= {"scope": wanted.scope or "", "evidence": wanted.evidence}
    with opened(name) as raw:
        file = io.TextIOWrapper(raw, encoding="utf-8-sig", errors="replace", newline="")
        try:
            result = _call(lambda service: service.read(file, **given), writes=True)
        finally:
            file.detach()
    if wanted.form is Format.JSON:
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


def _export(wanted: _Wanted, path: Path) -> None:
    from gateway.service.suppressions import COLUMNS

    async def export(service: SuppressionService) -> int:
        count = 0
        with writing(path) as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(COLUMNS)
            async for one in service.export(**_filters(wanted)):
                rows.writerow({**dict(one), "suppressed_at": one.suppressed_at.isoformat()}.values())
                count += 1
        return count

    note(f"{_call(export):,} exported")


def _filters(wanted: _Wanted) -> dict[str, Any]:
    return {name: getattr(wanted, name) for name in ("channel", "source", "scope", "since")}
