"""The command for suppressed addresses: suppress."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from gateway.cli import session
from gateway.cli.entry_files import STDIN, named, opened, read, writing
from gateway.cli.options import Format, FormatOption, LimitOption, SinceOption, grouped
from gateway.cli.output import Table
from gateway.terminal import dump, local, note, say

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runtime.derived_keys import AddressHashes
    from runtime.store import Store
    from scenario.policies.suppression import Suppression

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
        str | None,
        typer.Option("--source", metavar="WORD", help="why: custom (default), unsub, bounce, fbl, stop, soft"),
    ] = None
    channel: Annotated[
        str | None, typer.Option("--channel", metavar="NAME", help="email or sms; by default what fits the address")
    ] = None
    scope: Annotated[
        str | None, typer.Option("--scope", metavar="LIST", help="with unsub: only the marketing of this list")
    ] = None
    evidence: Annotated[str, typer.Option("--evidence", metavar="TEXT", help="the evidence, for the record")] = ""
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


def _hashes() -> AddressHashes:
    from gateway.suppressions import hashes_of
    from runtime.settings import Settings

    return hashes_of(Settings())


def _addressed(wanted: _Wanted, address: str) -> tuple[str, tuple[str, ...]]:
    """Return the channel of an address, and its hashes."""
    from gateway.suppressions import channel_of, hashed

    if address == STDIN:
        address = read(STDIN).decode(errors="replace").strip()
    channel = wanted.channel or channel_of(address)
    return channel, hashed(_hashes(), channel, address)


def _add(wanted: _Wanted, address: str) -> None:
    from gateway.suppressions import BY_HAND, as_row, suppression

    channel, hashes = _addressed(wanted, address)
    made = suppression(channel, hashes[0], wanted.source or BY_HAND, wanted.scope or "", wanted.evidence)
    new = session.ask_store(lambda store: store.suppress(made), writes=True)
    if wanted.form is Format.JSON:
        dump({**as_row(made), "new": new})
        return
    say(f"suppressed by {channel}: {_effect(made)}" if new else f"was suppressed by {channel} already: {_effect(made)}")


def _effect(one: Suppression) -> str:
    from scenario.policies.suppression import UNSUBSCRIBED

    if one.source != UNSUBSCRIBED:
        return f"the address gets no messages ({one.source})"
    return f"the address gets no marketing{f' of {one.scope}' if one.scope else ''} ({one.source})"


def _remove(wanted: _Wanted, address: str) -> None:
    channel, hashes = _addressed(wanted, address)
    given = {"source": wanted.source, "scope": wanted.scope}
    gone = session.ask_store(lambda store: store.unsuppress(channel, hashes, **given), writes=True)
    _print(gone, wanted.form, lambda: say(_removed(channel, gone)))


def _removed(channel: str, gone: Sequence[Suppression]) -> str:
    names = ", ".join(f"{one.source} {one.scope}".rstrip() for one in gone)
    return f"no longer suppressed by {channel}: {names}" if gone else f"was not suppressed by {channel}"


def _print(found: Sequence[Suppression], form: Format, show: Callable[[], None]) -> None:
    from gateway.suppressions import as_row

    if form is Format.JSON:
        dump([as_row(one) for one in found])
    else:
        show()


def _list(wanted: _Wanted) -> None:
    among = _addressed(wanted, wanted.address) if wanted.address is not None else None
    fits = {"source": wanted.source, "scope": wanted.scope}

    async def look(store: Store) -> tuple[Sequence[Suppression], dict[tuple[str, str], int]]:
        if among is None:
            return await store.suppressions(**_filters(wanted), limit=wanted.limit), await store.suppression_counts()
        found = await store.suppressed(*among)
        return [one for one in found if all(value in (None, getattr(one, key)) for key, value in fits.items())], {}

    found, counts = session.ask_store(look)
    _print(found, wanted.form, lambda: _show(found, counts))


def _show(found: Sequence[Suppression], counts: Mapping[tuple[str, str], int]) -> None:
    if not found:
        note("nothing is suppressed")
        return
    rows = Table("since (local)", "channel", "source", "scope", "address", "evidence", prose=("evidence",))
    for one in found:
        rows.add(local(one.suppressed_at), one.channel, one.source, one.scope, one.address_hash[:_BRIEF], one.evidence)
    rows.show()
    if counts:
        numbers = ", ".join(f"{many:,} {channel} {source}" for (channel, source), many in sorted(counts.items()))
        note(f"on record: {numbers}")


def _import(wanted: _Wanted, name: str) -> None:
    from gateway.suppressions import bring

    given: dict[str, Any] = {"channel": wanted.channel, "source": wanted.source}
    given |= {"scope": wanted.scope or "", "evidence": wanted.evidence}
    with opened(name) as raw:
        file = io.TextIOWrapper(raw, encoding="utf-8-sig", errors="replace", newline="")
        try:
            brought = session.ask_store(lambda store: bring(store, file, _hashes, **given), writes=True)
        finally:
            file.detach()
    if wanted.form is Format.JSON:
        bad = [{"line": line, "message": message} for line, message in brought.bad]
        dump({"new": brought.new, "known": brought.known, "bad": bad})
    else:
        for line, message in brought.bad[:_SHOWN]:
            note(f"line {line} of {named(name)}: {message}")
        if len(brought.bad) > _SHOWN:
            note(f"and {len(brought.bad) - _SHOWN:,} more invalid lines")
        say(f"{brought.new:,} suppressed, {brought.known:,} known already, {len(brought.bad):,} wrong")
    if brought.bad:
        raise typer.Exit(1)


def _export(wanted: _Wanted, path: Path) -> None:
    from gateway.suppressions import COLUMNS, as_row, every

    async def export(store: Store) -> int:
        count = 0
        with writing(path) as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(COLUMNS)
            async for one in every(store, **_filters(wanted)):
                rows.writerow(as_row(one).values())
                count += 1
        return count

    note(f"{session.ask_store(export):,} exported")


def _filters(wanted: _Wanted) -> dict[str, Any]:
    return {name: getattr(wanted, name) for name in ("channel", "source", "scope", "since")}
