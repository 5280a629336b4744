"""Use cases about erasures: request, forecast and show them. The workflow `Erase` executes them."""

from __future__ import annotations

import asyncio
import logging
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self

from pydantic import Field
from temporalio.client import Client
from temporalio.service import RPCError

from activities.erasure import find_runs, start_erasure
from authoring.errors import BadInput
from runtime.encryption.codec import keyring_in
from runtime.store import Store
from runtime.store.schema import ErasureState, StoredErasure
from scenario.entry.values import as_id
from service.caller import Caller
from service.errors import NotFound
from service.view import PageRequest, PageView, View

logger = logging.getLogger(__name__)

KEPT: Final = (
    "suppressions, and for 30 days passing bounces: hashes of addresses, which keep them from being written to",
    "the contact's name as an HMAC, also in the journal, which keeps it from being taken in again",
    "answers to requests with an Idempotency-Key, sealed with the caller's API key: for 24 hours",
    "copies of the store that were made before, and its free pages: they hold the contact's key, wrapped, until the "
    "key of SCENARIO_ENCRYPTION_KEYS that wrapped it is destroyed, after 'scenario encryption rotate'",
    "free pages of Temporal's database and copies of it: encrypted data cannot be read there",
    "Temporal's own queues of tasks and timers: ids of journeys, until these are due: a wait's end, or the retention's",
    "histories of workflows that are no journeys: operations, with ids of journeys; reports of suppressions to "
    "the platform, with addresses sealed; entries of schedules: until the retention of Temporal's namespace is over",
    "logs and traces, which hold ids, until they are deleted",
)
"""The data that an erasure keeps, and the reasons."""
_LATE: Final = timedelta(minutes=10)
_START: Final = 5.0  # seconds for which the caller waits for Temporal


class ReceiverView(View):
    """A system that messages to the contact went to, or may have reached. Its operator has to erase its copy."""

    channel: str
    """`email`, `sms` or `webhook`."""
    destination: str
    """Name or host of the destination; for e-mail and SMS, the server or provider."""


class ErasedRowsView(View):
    """Rows of the store."""

    entries: int = 0
    """Journeys, running or over, which no longer name the contact."""
    deliveries: int = 0
    """Attempts, likewise."""
    claims: int = 0
    """Places under caps, deleted."""
    operation_items: int = 0
    """Journeys of operations, which no longer name the contact."""
    operations: int = 0
    """Operations that selected journeys by the contact's id, which is removed."""
    accepted_entries: int = 0
    """Entries that were acknowledged within the last day, deleted."""
    campaign_items: int = 0
    """Lines of campaigns, which no longer name the contact."""
    audiences: int = 0
    """Uploaded files of contacts, deleted, whoever they name."""


class ErasureView(View):
    """An erasure, and its report once it is finished, to be filed. It does not name the contact."""

    id: str | None
    """Its id; null for a dry run."""
    state: ErasureState | None
    """Its phase: ending journeys, deleting their histories, clearing rows, waiting for the next pass. Null for a dry
    run."""
    contact: str
    """An HMAC of the contact's id; empty for a dry run."""
    at: datetime
    """When it was requested."""
    confirmed_at: datetime | None
    """When Temporal first had none of the runs."""
    finished_at: datetime | None
    """When it was finished."""
    operator: str
    """The operator who requested it."""
    reason: str
    """The operator's reason."""
    dry_run: bool
    """True if nothing was done."""
    encrypted: bool
    """True if earlier copies of the databases can be read only with the keys."""
    before: bool
    """True if the contact had been erased before."""
    ended: int
    """Number of journeys that were running, and were ended."""
    histories: int
    """Number of runs whose histories are deleted."""
    remaining: int
    """Number of these runs that Temporal still has."""
    rows: ErasedRowsView
    """Rows of the store."""
    sent_to: list[ReceiverView] | None
    """Systems that may hold messages to the contact; null until it is finished."""
    trouble: str | None
    """Why it makes no progress, in one sentence; null if it does."""
    kept: list[str] = Field(default_factory=lambda: list(KEPT))
    """The data that are kept, and the reasons."""

    @classmethod
    def of(cls, stored: StoredErasure, *, dry_run: bool = False) -> Self:
        late = stored.remaining and datetime.now(UTC) - stored.requested_at > _LATE
        return cls.from_record(
            stored,
            at=stored.requested_at,
            contact=stored.contact_hash,
            dry_run=dry_run,
            trouble=stored.trouble or ("Temporal has not deleted all histories yet" if late else None),
            **({"id": None, "state": None} if dry_run else {}),
        )


class ErasureService:
    """Use cases about erasures. All raise Forbidden if the caller is limited to some scenarios."""

    def __init__(self, temporal: Client, store: Store) -> None:
        self._temporal, self._store = temporal, store

    async def erase(
        self, caller: Caller, contact: str, *, operator: str, reason: str, dry_run: bool = False
    ) -> ErasureView:
        """Begin to erase a contact, or return the open erasure that it already has. It cannot be undone.

        The erasure is recorded before the key is destroyed, so a worker finishes it even if this process is killed.
        Once this returns, entries, events and changes for the contact are refused, also after a restore of the store.
        A dry run only counts.

        Raise BadInput if a contact cannot have such an id, and JournalUnavailable if the erasure has begun, but is not
        in the journal yet: the same request then waits for it again.
        """
        caller.check_all()
        contact = _as_in_entries(contact)
        keyring = keyring_in(self._store)
        known: dict[str, Any] = {
            "operator": operator,
            "reason": reason,
            "encrypted": keyring.encrypts,
            "before": await keyring.is_erased(contact),
            "requested_at": datetime.now(UTC),
        }
        if dry_run:
            running = [run.close_time is None async for run in find_runs(self._temporal, self._store, contact)]
            known |= {"ended": sum(running), "histories": len(running), "remaining": len(running)}
            rows = await self._store.count_rows_of(contact)
            found = StoredErasure(id="", contact_hash="", contact_id=None, rows=rows, **known)
            return ErasureView.of(found, dry_run=True)
        name = await keyring.name_of(contact)
        wanted = StoredErasure(id=uuid.uuid4().hex[:20], contact_hash=name, contact_id=contact, **known)
        stored = await self._store.add_erasure(wanted)
        if stored.finished_at is None:
            await keyring.destroy(contact)
            await self._start(stored.id)
        if self._store.journal is not None:
            await self._store.journal.confirm(stored.id)
        return await self.show(caller, stored.id)

    async def show(self, caller: Caller, identifier: str) -> ErasureView:
        """Return an erasure: its progress, and its report once it is finished. Raise NotFound if missing."""
        caller.check_all()
        stored = await self._store.stored_erasure(identifier)
        if stored is None:
            raise NotFound(f"there is no erasure '{identifier[:80]}'")
        return ErasureView.of(stored)

    async def list(self, caller: Caller, page: PageRequest, *, is_open: bool = False) -> PageView[ErasureView]:
        caller.check_all()
        last = await page.item(self._store.stored_erasure)
        found = await self._store.stored_erasures(is_open=is_open, after=last, limit=page.limit + 1)
        items, following = page.split(found, lambda one: [one.id])
        return PageView(items=[ErasureView.of(one) for one in items], next=following)

    async def _start(self, identifier: str) -> None:
        try:
            async with asyncio.timeout(_START):
                await start_erasure(self._temporal, identifier)
        except (RPCError, TimeoutError) as error:
            said = error.status.name if isinstance(error, RPCError) else "no answer"
            logger.warning("the erasure %s is not started yet (%s): a worker starts it", identifier, said)
            trouble = f"Temporal did not start it yet ({said}): a worker has it started"
            await self._store.set_erasure_trouble(identifier, trouble)


def _as_in_entries(contact: str) -> str:
    try:
        known = as_id(contact)
    except ValueError as error:
        raise BadInput(str(error)) from None
    if known is None:
        raise BadInput("the contact's id is empty: name the contact to erase")
    if "%2F" in known:
        raise BadInput("the contact's id has '%2F' in it, which stands for '/' in ids of journeys: give it with '/'")
    return known
