"""The command for suppressed addresses: suppress."""

from __future__ import annotations

import asyncio
import csv
import io
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TextIO

import typer

from gateway.cli import session
from gateway.cli.entry_files import STDIN, named, opened, read
from gateway.cli.options import Format, FormatOption, LimitOption, SinceOption, grouped
from gateway.cli.output import Table
from gateway.terminal import dump, local, note, say

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from runtime.derived_keys import AddressHashes
    from scenario.policies.suppression import Suppression

_SHOWN: Final = 20  # bad lines that are told one by one
_BRIEF: Final = 12  # digits of a hash by which people tell two apart


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
    remove: Annotated[bool, typer.Option("--remove", help="let the address be written to again")] = False
    listing: Annotated[bool, typer.Option("--list", help="list what stands against the address, or against all")] = (
        False
    )
    brought: Annotated[
        str | None,
        typer.Option("--import", metavar="FILE", help="suppress the addresses of a CSV file; - is standard input"),
    ] = None
    carried: Annotated[
        Path | None, typer.Option("--export", metavar="FILE", help="write all as CSV, hashes alone; - to the output")
    ] = None
    since: SinceOption = None
    limit: LimitOption = 50
    form: FormatOption = Format.TEXT


@grouped
def suppress(wanted: _Wanted) -> None:
    """Suppress an address, so that it gets no more messages; or list, remove, import or export suppressions.

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
    from gateway.suppressions import BY_HAND, suppression

    channel, hashes = _addressed(wanted, address)
    made = suppression(channel, hashes[0], wanted.source or BY_HAND, wanted.scope or "", wanted.evidence)

    async def do() -> bool:
        async with session.stored(writes=True) as store:
            return await store.suppress(made)

    new = asyncio.run(do())
    if wanted.form is Format.JSON:
        dump({**_as_json(made), "new": new})
        return
    what = _what(made)
    say(f"suppressed: by {channel}, {what} any more" if new else f"was suppressed already: by {channel}, {what}")


def _what(one: Suppression) -> str:
    from scenario.policies.suppression import UNSUBSCRIBED

    if one.source != UNSUBSCRIBED:
        return f"nothing goes to this address ({one.source})"
    return f"no marketing{f' of {one.scope}' if one.scope else ''} goes to this address ({one.source})"


def _remove(wanted: _Wanted, address: str) -> None:
    channel, hashes = _addressed(wanted, address)

    async def do() -> list[Suppression]:
        async with session.stored(writes=True) as store:
            return await store.unsuppress(channel, hashes, source=wanted.source, scope=wanted.scope)

    gone = asyncio.run(do())
    if wanted.form is Format.JSON:
        dump([_as_json(one) for one in gone])
    elif gone:
        say(f"taken back by {channel}: {', '.join(_named(one) for one in gone)}")
    else:
        say(f"was not suppressed by {channel}")


def _named(one: Suppression) -> str:
    return f"{one.source} {one.scope}".rstrip()


def _list(wanted: _Wanted) -> None:
    among = _addressed(wanted, wanted.address) if wanted.address is not None else None
    fits = {"source": wanted.source, "scope": wanted.scope}

    async def look() -> tuple[Sequence[Suppression], dict[tuple[str, str], int]]:
        async with session.stored() as store:
            if among is None:
                found = await store.suppressions(**_filters(wanted), limit=wanted.limit)
                return found, await store.suppression_counts()
            found = await store.suppressed(*among)
            return [one for one in found if all(value in (None, getattr(one, key)) for key, value in fits.items())], {}

    found, counts = asyncio.run(look())
    if wanted.form is Format.JSON:
        dump([_as_json(one) for one in found])
        return
    if not found:
        note("nothing is suppressed")
        return
    rows = Table("since (local)", "channel", "source", "scope", "address", "evidence", prose=("evidence",))
    for one in found:
        rows.add(local(one.suppressed_at), one.channel, one.source, one.scope, one.address_hash[:_BRIEF], one.evidence)
    rows.show()
    if counts:
        told = ", ".join(f"{many:,} {channel} {source}" for (channel, source), many in sorted(counts.items()))
        note(f"on record: {told}")


def _import(wanted: _Wanted, name: str) -> None:
    from gateway.suppressions import Brought, bring

    async def do(file: TextIO) -> Brought:
        async with session.stored(writes=True) as store:
            given = {"channel": wanted.channel, "source": wanted.source}
            return await bring(store, file, _hashes, **given, scope=wanted.scope or "", evidence=wanted.evidence)

    with opened(name) as raw:
        file = io.TextIOWrapper(raw, encoding="utf-8-sig", errors="replace", newline="")
        try:
            brought = asyncio.run(do(file))
        finally:
            file.detach()
    if wanted.form is Format.JSON:
        bad = [{"line": line, "message": message} for line, message in brought.bad]
        dump({"new": brought.new, "known": brought.known, "bad": bad})
    else:
        for line, message in brought.bad[:_SHOWN]:
            note(f"line {line} of {named(name)}: {message}")
        if len(brought.bad) > _SHOWN:
            note(f"and {len(brought.bad) - _SHOWN:,} more lines that are wrong")
        say(f"{brought.new:,} suppressed, {brought.known:,} known already, {len(brought.bad):,} wrong")
    if brought.bad:
        raise typer.Exit(1)


def _export(wanted: _Wanted, path: Path) -> None:
    from gateway.suppressions import COLUMNS, as_row, every

    async def do() -> int:
        count = 0
        async with session.stored() as store:
            with _written(path) as file:
                rows = csv.writer(file, lineterminator="\n")
                rows.writerow(COLUMNS)
                async for one in every(store, **_filters(wanted)):
                    rows.writerow(as_row(one).values())
                    count += 1
        return count

    note(f"{asyncio.run(do()):,} exported")


@contextmanager
def _written(path: Path) -> Generator[TextIO]:
    from gateway.errors import BadInput, why

    if str(path) == STDIN:
        yield sys.stdout
        return
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            yield file
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {why(error)}") from None


def _filters(wanted: _Wanted) -> dict[str, Any]:
    since: datetime | None = wanted.since
    return {"channel": wanted.channel, "source": wanted.source, "scope": wanted.scope, "since": since}


def _as_json(one: Suppression) -> dict[str, str]:
    from gateway.suppressions import as_row

    return as_row(one)
