"""Suppressions: use cases of an operator on a terminal (add, remove, list, import, export), and those of a contact.

Addresses are hashed as soon as they are read. They are never stored, and never quoted in messages.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from temporalio.client import Client

from activities.redaction import readable
from authoring.errors import BadInput
from runtime.derived_keys import HASH, AddressHashes
from runtime.errors import SettingsError
from runtime.settings import Settings
from runtime.store import Store
from runtime.store.suppressions import SUPPRESSED_TOGETHER
from scenario.errors import BadRecipient
from scenario.policies.suppression import UNSUBSCRIBED, Suppression
from scenario.source.findings import listed, near
from scenario.steps.registry import canonical_address, recipient_fields, suppressible_channels, suppression_sources
from scenario.type_guards import mapping_or_empty
from service.journeys.rendered import submitted_entry
from service.view import View
from service.why.story import EntryStory

BY_HAND: Final = "custom"  # the source of an operator's suppressions
COLUMNS: Final = ("channel", "hash", "source", "scope", "suppressed_at", "evidence")  # columns of an export
_IMPORTED: Final = ("address", *COLUMNS)  # of which an import needs `address` or `hash`
_EVIDENCE: Final = 500  # characters that are kept


class SuppressionView(View):
    """A suppressed address."""

    channel: str
    """`email` or `sms`."""
    hash: str
    """An HMAC of the address."""
    source: str
    """The reason, as one word."""
    scope: str
    """The list that the suppression is limited to; empty for all messages."""
    suppressed_at: datetime
    """Time of the suppression."""
    evidence: str
    """Evidence such as a status, without addresses and numbers."""

    @classmethod
    def of(cls, stored: Suppression) -> SuppressionView:
        return cls.from_record(stored, hash=stored.address_hash)


@dataclass
class Import:
    """The result of an import."""

    new: int = 0
    known: int = 0  # number of suppressions that existed before
    bad: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    """Numbers of lines in the file that cannot be used, with the reasons."""


class SuppressionService:
    """Use cases about suppressions. `hashes` is called only if there is an address to hash.

    All raise BadInput if an argument is wrong, and SettingsError if an address has no key.
    """

    def __init__(self, store: Store, hashes: Callable[[], AddressHashes]) -> None:
        self._store, self._hashes = store, hashes

    async def add(
        self,
        address: str,
        *,
        channel: str | None = None,
        source: str | None = None,
        scope: str | None = None,
        evidence: str = "",
    ) -> tuple[SuppressionView, bool]:
        """Suppress an address. Return the suppression, and False if it existed before. Idempotent.

        Args:
            channel: The channel; by default the one that fits the address.
            source: The reason, one of the channel's; by default `BY_HAND`.
            scope: The list to limit it to, for unsubscriptions; by default all.
        """
        channel, hashes = self._hashed(address, channel)
        made = suppression(channel, hashes[0], source or BY_HAND, scope or "", evidence)
        return SuppressionView.of(made), await self._store.suppress(made)

    async def remove(
        self, address: str, *, channel: str | None = None, source: str | None = None, scope: str | None = None
    ) -> tuple[str, list[SuppressionView]]:
        channel, hashes = self._hashed(address, channel)
        gone = await self._store.unsuppress(channel, hashes, source=source, scope=scope)
        return channel, [SuppressionView.of(one) for one in gone]

    async def of(
        self, address: str, *, channel: str | None = None, source: str | None = None, scope: str | None = None
    ) -> list[SuppressionView]:
        found = await self._store.suppressed(*self._hashed(address, channel))
        return [SuppressionView.of(one) for one in found if source in (None, one.source) and scope in (None, one.scope)]

    async def find(self, *, limit: int, **wanted: Any) -> list[SuppressionView]:
        """Return suppressions, the newest first. `wanted` are filters of `Store.suppressions`."""
        return [SuppressionView.of(one) for one in await self._store.suppressions(**wanted, limit=limit)]

    async def counts(self) -> dict[tuple[str, str], int]:
        return await self._store.suppression_counts()

    async def export(self, **wanted: Any) -> AsyncIterator[SuppressionView]:
        last: Suppression | None = None
        while page := await self._store.suppressions(**wanted, after=last, limit=SUPPRESSED_TOGETHER):
            for last in page:
                yield SuppressionView.of(last)

    async def read(
        self,
        file: TextIO,
        *,
        channel: str | None = None,
        source: str | None = None,
        scope: str = "",
        evidence: str = "",
        name: str = "",
    ) -> Import:
        """Import a CSV file, line by line: wrong lines are reported, the others are stored.

        The first line names the columns, separated by commas or semicolons. The arguments are for lines without them.
        The journal gets the file's `name` and digest instead of its lines.
        """
        digest = hashlib.sha256()
        lines = _digested(file, digest.update)
        first = next(lines, "")
        delimiter = ";" if first.count(";") > first.count(",") else ","
        names, rows = _header(first, delimiter), csv.reader(lines, delimiter=delimiter, strict=True)
        hashes = self._hashes() if "address" in names else None
        result, batch = Import(), list[Suppression]()

        async def store() -> None:
            new = await self._store.suppress_many(batch)
            result.new, result.known = result.new + new, result.known + len(batch) - new
            batch.clear()

        given = {"channel": channel or "", "source": source or BY_HAND, "scope": scope, "evidence": evidence}
        for number, cells in _rows(rows, result):
            try:
                batch.append(replace(_line(names, cells, hashes, given), imported=True))
            except BadInput as error:
                result.bad.append((number, str(error)))
            if len(batch) >= SUPPRESSED_TOGETHER:
                await store()
        await store()
        if result.new:
            await self._store.add_journal_entry("imported", {"file": name[-200:], "sha256": digest.hexdigest()})
        return result

    def _hashed(self, address: str, channel: str | None) -> tuple[str, tuple[str, ...]]:
        channel = channel or channel_of(address)
        _check_channel(channel)
        return channel, _hashes_of(self._hashes(), channel, address)


def configured_hashes(settings: Settings) -> AddressHashes:
    found = AddressHashes.configured(settings)
    if found is None:
        raise SettingsError("suppressions are not configured: set SCENARIO_SUPPRESSION_KEY here, as for the workers")
    return found


def channel_of(address: str) -> str:
    """Return the channel that can reach an address. Raise BadInput if none can."""
    for channel in suppressible_channels():
        try:
            canonical_address(channel, address)
        except BadRecipient:
            continue
        return channel
    raise BadInput("the address is neither an e-mail address nor an international number such as +33612345678")


def _hashes_of(hashes: AddressHashes, channel: str, address: str) -> tuple[str, ...]:
    try:
        return hashes.of(channel, address)
    except BadRecipient as error:
        raise BadInput(str(error).replace("the contact's", "the")) from None


def suppression(
    channel: str, hashed: str, source: str, scope: str = "", evidence: str = "", at: datetime | None = None
) -> Suppression:
    """Return a suppression, by default of now. Raise BadInput if a word is not one of those that are allowed."""
    _check_channel(channel)
    known = suppression_sources(channel)
    if source not in known:
        raise BadInput(f"'{source[:40]}' suppresses nothing by {channel}: it is one of {listed(known)}")
    if scope and source != UNSUBSCRIBED:
        raise BadInput(f"'{source}' stops everything to an address: only '{UNSUBSCRIBED}' has a scope")
    words = readable(" ".join(evidence.split()).encode(errors="replace"))[:_EVIDENCE]
    return Suppression(channel, hashed, source, at or datetime.now(UTC), scope.strip(), words)


def _check_channel(channel: str) -> None:
    known = suppressible_channels()
    if channel not in known:
        raise BadInput(f"'{channel[:40]}' is no channel with addresses: it is one of {listed(known)}")


def _header(line: str, delimiter: str) -> list[str]:
    names = [name.strip().strip('"').lower() for name in line.lstrip("\ufeff").strip().split(delimiter)]
    for name in names:
        if name not in _IMPORTED:
            guess = near(name, _IMPORTED)
            hint = f"did you mean '{guess}'?" if guess else f"there are {listed(_IMPORTED, 'and')}"
            raise BadInput(
                f"line 1 has to name the columns, and '{name[:40] if '@' not in name else '…'}' is none: {hint}"
            )
    if len(set(names)) < len(names):
        raise BadInput("line 1 names a column twice")
    if ("address" in names) == ("hash" in names):
        raise BadInput("line 1 has to name one of the columns 'address' and 'hash'")
    return names


def _digested(file: TextIO, update: Callable[[bytes], None]) -> Iterator[str]:
    for line in file:
        update(line.encode(errors="replace"))
        yield line


def _rows(rows: Any, result: Import) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines that are not blank, with their numbers in the file; the reader has not seen the first."""
    while True:
        try:
            cells: list[str] = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            # An unclosed quote makes one cell of all that follows it: other addresses, perhaps.
            unclosed = "unexpected end" in str(error)
            what = "the file ends within quotes: close them, since nothing behind them was read" if unclosed else None
            result.bad.append((rows.line_num + 1, what or f"it is not CSV: {error}"))
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
        _check_channel(channel)
        mark = _hashes_of(hashes, channel, address)[0]
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


@dataclass(frozen=True)
class ContactSuppressions:
    """The suppressions of a contact's addresses, as it entered with them."""

    journey: str | None = None  # the journey that has the addresses
    channels: Sequence[str] = ()  # channels that the contact has an address for
    found: Sequence[Suppression] = ()
    unknown: str | None = None  # the sentence that says why nothing is known, or None


async def suppressions_of(
    temporal: Client, store: Store, hashes: AddressHashes | None, stories: Iterable[EntryStory]
) -> ContactSuppressions:
    """Return the suppressions of a contact, given the stories of its entries, newest first. No address is returned."""
    if hashes is None:
        return ContactSuppressions(unknown="suppressions are not configured here: set SCENARIO_SUPPRESSION_KEY")
    journey = next((story.journey for story in stories if story.let_in and story.now), None)
    if journey is None:
        return ContactSuppressions(unknown="no running journey above knows the contact's addresses")
    try:
        entry = await submitted_entry(temporal, journey) or {}
    except BadInput as error:
        return ContactSuppressions(journey, unknown=str(error))
    channels, found = list[str](), list[Suppression]()
    for channel, (root, name) in recipient_fields().items():
        address = mapping_or_empty(entry.get(root)).get(name)
        try:
            addresses = hashes.of(channel, str(address)) if address else ()
        except BadRecipient:  # no message is sent to it either
            addresses = ()
        if addresses:
            channels.append(channel)
            found += await store.suppressed(channel, addresses)
    unknown = None if channels else f"the entry of {journey} has no addresses"
    return ContactSuppressions(journey, channels, found, unknown)
