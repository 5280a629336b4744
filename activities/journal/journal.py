"""The journal of a store: moves the outbox's entries into it, and compares the two."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

from temporalio.client import Client

from activities.journal.batch import JournalBatch, JournalEntry
from activities.journal.folder import FILE, FolderPlace
from activities.journal.namespace import NamespacePlace
from activities.journal.places import JournalPlace
from activities.periodic import repeating
from runtime.derived_keys import key_name, suppression_keys
from runtime.encryption.keyring import INDEX, KeyWrapping, read_plain
from runtime.errors import JournalUnavailable, SettingsError, StoreMismatch
from runtime.identity import behind
from runtime.settings import Settings
from runtime.store import Store
from runtime.store.journal import JournalState, OutboxEntry

EVERY: Final = 10.0  # seconds between deliveries by a worker
LEASE: Final = "journal entries"
PATIENCE: Final = 20.0  # seconds for which an erasure waits for the journal
_LOOK: Final = 0.5  # seconds between two looks, likewise
TOGETHER: Final = 500
"""Entries of a batch. Each has about 300 bytes, and Temporal accepts 2 MB."""


logger = logging.getLogger(__name__)


class Journal:
    """A process's view of the journal.

    Any process may write to it. Of several that write concurrently, each writes the same entries under the same
    numbers, and `entries` omits repetitions.
    """

    def __init__(
        self,
        store: Store,
        place: JournalPlace,
        *,
        wrapping: KeyWrapping | None = None,
        suppression_keys: Sequence[str] = (),
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.store, self.place, self.wrapping, self.suppression_keys = store, place, wrapping, suppression_keys
        self._now = now

    @classmethod
    def configured(cls, settings: Settings, client: Client, store: Store) -> Self:
        """Return the settings' journal. Raise SettingsError if no key can protect one that is outside Temporal."""
        keys = suppression_keys(settings)
        wrapping = KeyWrapping.configured(settings)
        if wrapping is None and keys:
            wrapping = KeyWrapping(keys, "SCENARIO_SUPPRESSION_KEY")
        if settings.journal is None:
            place: JournalPlace = NamespacePlace(client)
        elif wrapping is None:
            raise SettingsError(
                "SCENARIO_JOURNAL needs a key that protects what it holds: set SCENARIO_ENCRYPTION_KEYS or "
                "SCENARIO_SUPPRESSION_KEY"
            )
        else:
            place = FolderPlace(Path(settings.journal.removeprefix(FILE)))
        return cls(store, place, wrapping=wrapping, suppression_keys=[key_name(key) for key in keys])

    async def begin(self) -> None:
        """Begin the journal if the store has none, then compare them. Called by workers before they poll."""
        state = await self.store.keep_journal(self.place.name)
        if state.position == 0 and state.place == self.place.name:
            await self.place.begin()
        await self.verify()

    async def begin_anew(self) -> None:
        """Begin, or continue as if the store had all entries: for a store and a server without other users."""
        try:
            await self.begin()
        except (StoreMismatch, JournalUnavailable):  # one of the two was deleted, or the folder was copied
            await self.skip()

    async def skip(self) -> None:
        """Keep the journal in this place from now on, without the entries that the store lacks."""
        state = await self.store.keep_journal(self.place.name)
        await self.place.begin()
        last = await self.place.last()
        if last < state.position:
            await self.mark(state.position)
        await self.store.catch_up(self.place.name, max(last, state.position))

    async def compare(self) -> None:
        """Compare as `verify`, in a process that may be unable to read the journal. Raise StoreMismatch."""
        try:
            await self.verify()
        except JournalUnavailable as error:
            logger.warning("the store was not compared with its journal: %s", error)

    async def verify(self) -> JournalState:
        """Compare the store with its journal, and return the store's place in it.

        Raise StoreMismatch, and have all processes refuse this store, if the journal has entries that it lacks.
        """
        while True:
            state = await self._state()
            last = await self.place.last()
            if last < state.position and not self.place.is_shared:
                raise JournalUnavailable(
                    f"the journal {self.place.name} ends at entry {last}, and the store at {state.position}: correct "
                    "SCENARIO_JOURNAL, which must be the same folder for all processes, or, if its later entries are "
                    "lost, stop all processes and run `scenario store claim --force --reason …`"
                )
            if last <= state.position:
                return state
            # Of a process that died, or has not recorded yet what it has written.
            unrecorded = {entry.id async for entry in self.entries(state.position)}
            if unrecorded <= await self.store.in_outbox(unrecorded):
                return state
            if (await self._state()).position == state.position:
                await self.store.mark_behind(self.place.name)
                raise StoreMismatch(behind(self.store.name))

    async def deliver(self) -> None:
        """Write all entries of the outbox to the journal, once the two were compared."""
        await self.store.keep_journal(self.place.name)
        await self.verify()
        while True:
            position, found = await self.store.outbox(TOGETHER)
            if not found:
                return
            await self.place.append(await self._batch(found, position))
            await self.store.remove_from_outbox([entry.id for entry in found])

    async def confirm(self, identifier: str) -> None:
        """Wait until an entry is in the journal. Write it, or wait for a worker if this process cannot.

        Raise JournalUnavailable after `PATIENCE`.
        """
        end, trouble = time.monotonic() + PATIENCE, "no worker has written it"
        while await self.store.in_outbox([identifier]):
            try:
                await self.deliver()
            except JournalUnavailable as error:
                trouble = str(error)
                if time.monotonic() > end:
                    break
                await asyncio.sleep(_LOOK)
        else:
            return
        raise JournalUnavailable(
            f"the request is recorded, but not in the journal yet, so a restored store could forget it ({trouble}): "
            "repeat the request"
        )

    async def entries(self, after: int = 0) -> AsyncIterator[JournalEntry]:
        """Yield the entries with later numbers, in order and each once."""
        async for batch in self.batches(after):
            for entry in batch.entries:
                yield entry

    async def batches(self, after: int = 0) -> AsyncGenerator[JournalBatch]:
        """Yield the batches with later entries, and each entry once."""
        seen = set[str]()
        async for batch in self.place.batches():
            if batch.last > after:
                new = [entry for entry in batch.entries if entry.number > after and entry.id not in seen]
                seen.update(entry.id for entry in new)
                yield replace(batch, entries=new)

    async def mark(self, position: int) -> None:
        """Write a batch without entries, after which the next entry follows this number."""
        await self.place.append(await self._batch([], position))

    async def _state(self) -> JournalState:
        state = await self.store.journal_state() or JournalState(self.place.name)
        if state.behind:
            raise StoreMismatch(behind(self.store.name))
        if state.place != self.place.name:
            raise JournalUnavailable(
                f"the store's journal is '{state.place}', and this process has '{self.place.name}': give all processes "
                "the same SCENARIO_JOURNAL or, to move the journal, stop them and run `scenario store claim --force "
                "--reason …`"
            )
        return state

    async def _batch(self, found: Sequence[OutboxEntry], position: int) -> JournalBatch:
        index = await self.store.contact_key_of(INDEX)
        wrapped = "" if index is None else index.wrapped_key
        if (plain := read_plain(wrapped)) is not None:
            wrapped = self.wrapping.close(plain, INDEX) if self.wrapping is not None else ""
        return JournalBatch(
            at=self._now(),
            last=position + len(found),
            entries=[
                JournalEntry(number, one.id, one.kind, one.recorded_at, one.data)
                for number, one in enumerate(found, position + 1)
            ],
            store="" if index is None else index.key_id,
            index_key=wrapped,
            suppression_key=next(iter(self.suppression_keys), ""),
        )


@asynccontextmanager
async def keeping_journal(settings: Settings, client: Client, store: Store, *, writes: bool) -> AsyncGenerator[None]:
    """Compare a store with its journal. A worker that `writes` the journal for all then does so until it ends.

    Raise StoreMismatch if the store lacks entries.
    """
    journal = store.journal = Journal.configured(settings, client, store)
    if not writes:
        await journal.compare()
        yield
        return
    await journal.begin()
    async with delivering_journal(journal):
        yield


def delivering_journal(journal: Journal) -> AbstractAsyncContextManager[None]:
    """Write new entries to the journal periodically, in one worker at a time."""
    return repeating(journal.store, LEASE, journal.deliver, every=EVERY)


def journal_in(store: Store) -> Journal | None:
    """Return the journal that this process keeps for a store, or None."""
    return store.journal if isinstance(store.journal, Journal) else None
