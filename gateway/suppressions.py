"""Suppressions as operators add, take back, bring in and carry away: one at a time, or as CSV.

No address is written down anywhere: it is hashed as soon as it is read, and no message quotes it.
"""

from __future__ import annotations

import csv
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from activities.redaction import readable
from gateway.errors import BadInput
from runtime.derived_keys import HASH, AddressHashes
from runtime.errors import SettingsError
from runtime.settings import Settings
from runtime.store import Store
from runtime.store.suppressions import SUPPRESSED_TOGETHER
from scenario.errors import BadRecipient
from scenario.policies.addresses import channels, sources, spelled
from scenario.policies.suppression import UNSUBSCRIBED, Suppression
from scenario.source.findings import listed, near

BY_HAND: Final = "custom"
"""The source of what an operator suppresses."""
COLUMNS: Final = ("channel", "hash", "source", "scope", "suppressed_at", "evidence")
"""Of what is carried away."""
_TAKEN: Final = ("address", *COLUMNS)
"""Of what is brought in, of which ``address`` or ``hash`` must be there."""
_EVIDENCE: Final = 500
"""Characters of evidence that are kept."""


def hashes_of(settings: Settings) -> AddressHashes:
    """What addresses are known by.

    Raises:
        SettingsError: That is not configured.
    """
    found = AddressHashes.configured(settings)
    if found is None:
        raise SettingsError("suppressions are not configured: set SCENARIO_SUPPRESSION_KEY here, as for the workers")
    return found


def channel_of(address: str) -> str:
    """The channel that can write to an address.

    Raises:
        BadInput: None can.
    """
    for channel in channels():
        try:
            spelled(channel, address)
        except BadRecipient:
            continue
        return channel
    raise BadInput("the address is neither an e-mail address nor an international number such as +33612345678")


def hashed(hashes: AddressHashes, channel: str, address: str) -> tuple[str, ...]:
    """The hashes of an address.

    Raises:
        BadInput: It is none of that channel's.
    """
    _known(channel)
    try:
        return hashes.of(channel, address)
    except BadRecipient as error:
        raise BadInput(str(error).replace("the contact's", "the")) from None


def suppression(
    channel: str, hashed: str, source: str, scope: str = "", evidence: str = "", at: datetime | None = None
) -> Suppression:
    """A suppression, its words checked.

    Args:
        channel: By what.
        hashed: The address's hash.
        source: One of the channel's.
        scope: The list; "" is all.
        evidence: What it rests on. Addresses and numbers in it are masked.
        at: Since when; by default now.

    Raises:
        BadInput: A word is not one of those that may be there.
    """
    _known(channel)
    if source not in sources(channel):
        raise BadInput(f"'{source[:40]}' suppresses nothing by {channel}: it is one of {listed(sources(channel))}")
    if scope and source != UNSUBSCRIBED:
        raise BadInput(f"'{source}' stops everything to an address: only '{UNSUBSCRIBED}' has a scope")
    words = readable(" ".join(evidence.split()).encode(errors="replace"))[:_EVIDENCE]
    return Suppression(channel, hashed, source, at or datetime.now(UTC), scope.strip(), words)


def _known(channel: str) -> None:
    if channel not in channels():
        raise BadInput(f"'{channel[:40]}' is no channel with addresses: it is one of {listed(channels())}")


@dataclass
class Brought:
    """What came of a file.

    Attributes:
        new: Lines that say something new.
        known: Lines that say what was said before.
        bad: Lines that say nothing, with the reason, by their number in the file.
    """

    new: int = 0
    known: int = 0
    bad: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])


async def bring(
    store: Store,
    file: TextIO,
    hashes: Callable[[], AddressHashes],
    *,
    channel: str | None = None,
    source: str | None = None,
    scope: str = "",
    evidence: str = "",
) -> Brought:
    """Suppresses what a CSV file says, line by line: bad lines are told, good ones are kept.

    Args:
        store: Keeps suppressions.
        file: Its columns are named in the first line, and parted by commas or semicolons.
        hashes: Gives what addresses are known by; asked only where the file has addresses.
        channel: Of lines that say none; by default the one that fits the address.
        source: Of lines that say none.
        scope: Of lines that say none.
        evidence: Of lines that say none.

    Raises:
        BadInput: The file has no such columns.
        SettingsError: It has addresses, and what they are known by is not configured.
        StoreError: The store cannot be written.
    """
    first = file.readline()
    delimiter = ";" if first.count(";") > first.count(",") else ","
    names, rows = _header(first, delimiter), csv.reader(file, delimiter=delimiter, strict=True)
    found = hashes() if "address" in names else None
    brought, batch = Brought(), list[Suppression]()

    async def put() -> None:
        new = await store.suppress_many(batch)
        brought.new, brought.known = brought.new + new, brought.known + len(batch) - new
        batch.clear()

    given = {"channel": channel or "", "source": source or BY_HAND, "scope": scope, "evidence": evidence}
    for number, cells in _rows(rows, brought):
        try:
            batch.append(_line(names, cells, found, given))
        except BadInput as error:
            brought.bad.append((number, str(error)))
        if len(batch) >= SUPPRESSED_TOGETHER:
            await put()
    await put()
    return brought


def _header(line: str, delimiter: str) -> list[str]:
    names = [name.strip().strip('"').lower() for name in line.lstrip("\ufeff").strip().split(delimiter)]
    for name in names:
        if name not in _TAKEN:
            guess = near(name, _TAKEN)
            hint = f"did you mean '{guess}'?" if guess else f"there are {listed(_TAKEN, 'and')}"
            raise BadInput(
                f"line 1 has to name the columns, and '{name[:40] if '@' not in name else '…'}' is none: {hint}"
            )
    if len(set(names)) < len(names):
        raise BadInput("line 1 names a column twice")
    if ("address" in names) == ("hash" in names):
        raise BadInput("line 1 has to name one of the columns 'address' and 'hash'")
    return names


def _rows(rows: Any, brought: Brought) -> Iterable[tuple[int, list[str]]]:
    """The lines that are not blank, by their numbers in the file; the reader has not seen the first."""
    while True:
        try:
            cells: list[str] = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            # An unclosed quote makes one cell of all that follows it: other addresses, perhaps.
            unclosed = "unexpected end" in str(error)
            what = "the file ends within quotes: close them, since nothing behind them was read" if unclosed else None
            brought.bad.append((rows.line_num + 1, what or f"it is not CSV: {error}"))
            continue
        if any(cell.strip() for cell in cells):
            yield rows.line_num + 1, cells


def _line(
    names: Sequence[str], cells: Sequence[str], hashes: AddressHashes | None, given: Mapping[str, str]
) -> Suppression:
    if len(cells) != len(names):
        raise BadInput(f"it has {len(cells)} cells, and there are {len(names)} columns")
    said = {**given, **{name: cell.strip() for name, cell in zip(names, cells, strict=True) if cell.strip()}}
    if any("\ufffd" in cell for name, cell in said.items() if name != "evidence"):
        raise BadInput("it is not UTF-8: save the file as 'CSV UTF-8'")
    if hashes is not None:
        address = said.get("address", "")
        channel = said["channel"] or channel_of(address)
        mark = hashed(hashes, channel, address)[0]
    else:
        channel, mark = said["channel"], said.get("hash", "").lower()
        if not channel:
            raise BadInput("a hash does not tell its channel: name it")
        if not HASH.fullmatch(mark):
            raise BadInput("its hash is not 64 hexadecimal digits")
    at = _moment(said["suppressed_at"]) if "suppressed_at" in said else None
    return suppression(channel, mark, said["source"], said["scope"], said["evidence"], at)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise BadInput("its suppressed_at is not a time: write 2026-03-31T10:00:00+02:00") from None


async def every(store: Store, **wanted: Any) -> AsyncIterator[Suppression]:
    """All suppressions that fit, the newest first; see `Store.suppressions`."""
    last: Suppression | None = None
    while page := await store.suppressions(**wanted, after=last, limit=SUPPRESSED_TOGETHER):
        for last in page:
            yield last


def as_row(one: Suppression) -> dict[str, str]:
    """A suppression as it is carried away: the address by its hash alone."""
    values = (one.channel, one.address_hash, one.source, one.scope, one.suppressed_at.isoformat(), one.evidence)
    return dict(zip(COLUMNS, values, strict=True))
