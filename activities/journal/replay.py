"""The replay of a journal: brings a restored store up to date, and reports what it cannot know."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import uuid4

from activities.journal.batch import JournalBatch, JournalEntry
from activities.journal.journal import Journal
from runtime.encryption.codec import keyring_in
from runtime.encryption.keyring import INDEX, plain_text
from runtime.errors import SettingsError
from runtime.store import Closure, Store
from runtime.store.contact_keys import WrappedKey
from runtime.store.database import in_chunks
from runtime.store.schema import StoredErasure
from scenario.policies.suppression import Suppression

BY: Final = "journal"
"""The operator and the evidence that replayed rows name."""
REASON: Final = "replayed from the journal"
_TOGETHER: Final = 500


@dataclass
class Replay:
    """The result of a replay."""

    entries: int = 0
    erased: int = 0
    again: int = 0  # number of erased contacts that the store has data of, and that are being erased again
    suppressed: int = 0
    unsuppressed: int = 0
    scenarios: int = 0  # closed or opened
    imports: list[str] = field(default_factory=list[str])
    """Files of suppressions that were imported: name and SHA-256."""
    gaps: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    """First and last numbers of entries that the journal lacks."""
    store_only: int = 0  # number of entries that the store has and the journal has lost
    unmatched: int = 0  # number of erasures that no key leads to a contact
    last_at: datetime | None = None  # time of the last entry


async def replay(journal: Journal) -> Replay:
    """Add the journal's later entries to the store, and keep the journal in this place from now on.

    Until it is finished, processes refuse the store. It may be interrupted and repeated. No process may use the store
    meanwhile. Raise SettingsError if a key is missing, or the journal is another store's.
    """
    store, place = journal.store, journal.place
    state = await store.keep_journal(place.name)
    await place.begin()
    await store.mark_behind(place.name)
    result, erased, position = Replay(), dict[str, JournalEntry](), state.position
    async for batch in journal.batches(position):
        await _check_keys(journal, batch, result)
        if batch.entries and batch.entries[0].number > position + 1:
            result.gaps.append((position + 1, batch.entries[0].number - 1))
        await _apply(store, batch.entries, result, erased)
        await store.remove_from_outbox([entry.id for entry in batch.entries])
        position = max(position, batch.last)
    await _erase(store, erased, result)
    last = await place.last()
    if last < state.position:
        result.store_only = state.position - last
        await journal.mark(state.position)
    await store.catch_up(place.name, position)
    return result


async def _check_keys(journal: Journal, batch: JournalBatch, result: Replay) -> None:
    if any("address" in entry.data for entry in batch.entries):
        name = batch.suppression_key
        if name and name not in journal.suppression_keys:
            raise SettingsError(
                f"the journal has addresses under the key {name}, which is neither SCENARIO_SUPPRESSION_KEY nor in "
                "SCENARIO_SUPPRESSION_KEY_PREVIOUS: add it there, since these people would get messages again"
            )
    index = await journal.store.contact_key_of(INDEX)
    if not batch.store or (index is not None and index.key_id == batch.store):
        return
    if index is not None:
        raise SettingsError(
            f"the journal {journal.place.name} belongs to another store: correct SCENARIO_JOURNAL or SCENARIO_STORE"
        )
    if not batch.index_key or journal.wrapping is None:
        result.unmatched += sum(entry.kind == "erased" for entry in batch.entries)
        return
    # The backup is older than the first contact. Without the key, a new one would be made, and match no entry.
    key = journal.wrapping.open(batch.index_key, INDEX)
    wrapped = journal.wrapping.close(key, INDEX) if keyring_in(journal.store).encrypts else plain_text(key)
    await journal.store.add_contact_key(WrappedKey(batch.store, INDEX, wrapped, batch.at))


async def _apply(
    store: Store, entries: Sequence[JournalEntry], result: Replay, erased: dict[str, JournalEntry]
) -> None:
    waiting: list[Suppression] = []
    for entry in entries:
        data = entry.data
        if waiting and entry.kind != "suppressed":  # each entry acts on those before it
            result.suppressed += await store.suppress_many(waiting)
            waiting.clear()
        match entry.kind:
            case "erased":
                erased[data["contact"]] = entry
                row = WrappedKey(uuid4().hex, data["contact"], "", entry.at, entry.at)
                await store.destroy_contact_key(row)
            case "suppressed":
                waiting.append(suppression_of(data))
            case "unsuppressed":
                where = {"source": data["source"], "scope": data["scope"]}
                result.unsuppressed += len(await store.unsuppress(data["channel"], [data["address"]], **where))
            case "closed":
                closure = Closure(data["scenario"], time_of(data["closed_at"]), BY, REASON)
                result.scenarios += await store.close_scenario(closure)
            case "opened":
                result.scenarios += await store.open_scenario(data["scenario"])
            case "imported":
                result.imports.append(f"{data['file']} (SHA-256 {data['sha256']})")
            case _:
                raise SettingsError("the journal was written by a later release: run that release's command")
        result.entries, result.last_at = result.entries + 1, entry.at
    result.suppressed += await store.suppress_many(waiting)


async def _erase(store: Store, erased: Mapping[str, JournalEntry], result: Replay) -> None:
    """Record the erasures. Workers repeat those of contacts that the store has data of."""
    result.erased = len(erased)
    if not erased:
        return
    keyring, contacts = keyring_in(store), dict[str, str]()
    async for contact in store.known_contacts():
        if (name := await keyring.name_of(contact)) in erased:
            contacts[name] = contact
    result.again = len(contacts)
    for name, entry in erased.items():
        if await store.stored_erasure(entry.id) is None:
            contact = contacts.get(name)
            done: dict[str, Any] = {} if contact else {"state": "finished", "sent_to": [], "finished_at": entry.at}
            await store.add_erasure(
                StoredErasure(
                    id=entry.id,
                    contact_hash=name,
                    contact_id=contact,
                    operator=BY,
                    reason=REASON,
                    encrypted=keyring.encrypts,
                    before=False,
                    requested_at=entry.at,
                    **done,
                )
            )


async def lacking(journal: Journal, *, repair: bool) -> int:
    """Return the number of contacts and addresses that the journal has as erased and suppressed, and the store has not.

    A repair adds them to the store. It removes nothing. Raise SettingsError if a key is missing.
    """
    store = journal.store
    while True:
        before = await store.keep_journal(journal.place.name)
        erased, suppressed = dict[str, JournalEntry](), dict[Address, Suppression]()
        async for batch in journal.batches():
            await _check_keys(journal, batch, Replay())
            for entry in batch.entries:
                _fold(entry.kind, entry.data, suppressed)
                if entry.kind == "erased":
                    erased[entry.data["contact"]] = entry
        for some in in_chunks(list(erased), _TOGETHER):
            for name in await store.destroyed(some):
                del erased[name]
        for some in in_chunks(list(suppressed), _TOGETHER):
            for channel in {address.channel for address in some}:
                hashes = [address.hash for address in some if address.channel == channel]
                for one in await store.suppressed(channel, hashes):
                    suppressed.pop(Address(channel, one.address_hash, one.source, one.scope), None)
        for entry in (await store.outbox(sys.maxsize))[1]:  # later than the journal
            _fold(entry.kind, entry.data, suppressed, only_removals=True)
        if await store.keep_journal(journal.place.name) == before:
            break  # otherwise a removal may have passed by, from the outbox into the journal
    if repair:
        for name, entry in erased.items():
            await store.destroy_contact_key(WrappedKey(uuid4().hex, name, "", entry.at, entry.at))
        await _erase(store, erased, Replay())
        await store.suppress_many(list(suppressed.values()))
    return len(erased) + len(suppressed)


class Address(NamedTuple):
    """A suppressed address, and the reason."""

    channel: str
    hash: str
    source: str
    scope: str


def _fold(
    kind: str, data: Mapping[str, Any], suppressed: dict[Address, Suppression], *, only_removals: bool = False
) -> None:
    """Apply an entry to the suppressions that the entries before it have left."""
    if kind in ("suppressed", "unsuppressed"):
        address = Address(data["channel"], data["address"], data["source"], data["scope"])
        if kind == "unsuppressed":
            suppressed.pop(address, None)
        elif not only_removals:
            suppressed[address] = suppression_of(data)


def suppression_of(data: Mapping[str, Any]) -> Suppression:
    at = time_of(data["suppressed_at"])
    return Suppression(data["channel"], data["address"], data["source"], at, data["scope"], evidence=REASON)


def time_of(text: str) -> datetime:
    """Return a time as a database wrote it into JSON: SQLite in UTC, without an offset."""
    time = datetime.fromisoformat(text)
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)
