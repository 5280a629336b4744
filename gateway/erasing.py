"""Erasures as they are asked for and seen. The workflow `Erase` carries them out: see `activities.erasure`."""

from __future__ import annotations

import asyncio
import logging
import uuid
from dataclasses import asdict, fields
from datetime import UTC, datetime, timedelta
from typing import Final, Self

from pydantic import BaseModel, ConfigDict
from temporalio.client import Client
from temporalio.service import RPCError

from activities.erasure import find_runs, start_erasure
from gateway.errors import BadInput, UnknownErasure
from runtime.encryption.keyring import Keyring
from runtime.store import Store
from runtime.store.erasures import ErasureState, StoredErasure
from scenario.entry.values import as_id

logger = logging.getLogger(__name__)

KEPT: Final = (
    "suppressions, and for 30 days passing bounces: hashes of addresses, which keep them from being written to",
    "the contact's name as an HMAC, which keeps it from being taken in again",
    "answers to requests with an Idempotency-Key, sealed with the caller's API key: for 24 hours",
    "copies of the store that were made before, and its free pages: they hold the contact's key, wrapped, until the "
    "key of SCENARIO_ENCRYPTION_KEYS that wrapped it is destroyed, after 'scenario encryption rotate'",
    "free pages of Temporal's database and copies of it: what was encrypted cannot be read there",
    "Temporal's own queues of tasks and timers: ids of journeys, until these are due: a wait's end, or the retention's",
    "histories of workflows that are no journeys: operations, with ids of journeys; what the platform is told of "
    "suppressions, with addresses sealed; entries of schedules: until the retention of Temporal's namespace is over",
    "logs and traces, which hold ids: for as long as they are kept",
)
"""The data that an erasure keeps, and the reasons."""
_LATE: Final = timedelta(minutes=10)
_START: Final = 5.0  # seconds for which the caller waits for Temporal


class Receiver(BaseModel):
    """A system that messages to the contact went to, or may have reached. What it keeps is for its operator to erase.

    Attributes:
        channel: `email`, `sms` or `webhook`.
        destination: The destination's name or host; of e-mail and SMS, the server's or provider's.
    """

    channel: str
    destination: str


class Rows(BaseModel):
    """Rows of the store.

    Attributes:
        entries: Journeys, running or over, which lead to nobody now.
        deliveries: Attempts, the same.
        claims: Places under caps, deleted.
        operation_items: Journeys that operations went to, which lead to nobody now.
        operations: Operations that were asked for by the contact's id, which is not there any more.
        accepted_entries: Entries that were acknowledged within the last day, deleted.
    """

    entries: int = 0
    deliveries: int = 0
    claims: int = 0
    operation_items: int = 0
    operations: int = 0
    accepted_entries: int = 0


class ErasureView(BaseModel):
    """An erasure, and its report once it is finished, to be filed. It does not name the contact.

    Attributes:
        id: Its id; null for a dry run.
        state: Its phase: ending journeys, deleting their histories, clearing rows, waiting for the next pass. Null for
            a dry run.
        contact: An HMAC of the contact's id; empty for a dry run.
        at: When it was requested.
        confirmed_at: When Temporal first had none of the runs.
        finished_at: When it was finished.
        operator: The operator who requested it.
        reason: The operator's reason.
        dry_run: True if nothing was done.
        encrypted: True if earlier copies of the databases can be read only with the keys.
        before: True if the contact had been erased before.
        ended: Number of journeys that were running, and were ended.
        histories: Number of runs whose histories are deleted.
        remaining: Number of these runs that Temporal still has.
        rows: Rows of the store.
        sent_to: Systems that may hold messages to the contact; null until it is finished.
        trouble: Why it makes no progress, in one sentence; null if it does.
        kept: The data that are kept, and the reasons.
    """

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    id: str | None
    state: ErasureState | None
    contact: str
    at: datetime
    confirmed_at: datetime | None
    finished_at: datetime | None
    operator: str
    reason: str
    dry_run: bool
    encrypted: bool
    before: bool
    ended: int
    histories: int
    remaining: int
    rows: Rows
    sent_to: list[Receiver] | None
    trouble: str | None
    kept: list[str] = list(KEPT)

    @classmethod
    def of(cls, stored: StoredErasure, *, dry_run: bool = False) -> Self:
        """Return an erasure as it is seen."""
        late = stored.remaining and datetime.now(UTC) - stored.requested_at > _LATE
        known = {
            **{name: getattr(stored, name) for name in _STORED},
            "at": stored.requested_at,
            "contact": stored.contact_hash,
            "dry_run": dry_run,
            "trouble": stored.trouble or ("Temporal has not deleted all histories yet" if late else None),
        }
        return cls.model_validate(known | {"id": None, "state": None, "contact": ""} if dry_run else known)


_STORED: Final = ErasureView.model_fields.keys() & {field.name for field in fields(StoredErasure)}


async def request_erasure(
    temporal: Client,
    store: Store,
    keyring: Keyring,
    contact: str,
    *,
    operator: str,
    reason: str,
) -> ErasureView:
    """Begin to erase a contact, or return the open erasure that it already has.

    The erasure is recorded before the key is destroyed, so a worker finishes it even if this process is killed. Once
    this returns, entries, events and changes for the contact are refused.

    Args:
        temporal: A client of the namespace that its journeys are in.
        store: The workers' store.
        keyring: The keys of contacts.
        contact: The contact's id.
        operator: The operator who requests it.
        reason: The operator's reason, for the report.

    Raises:
        BadInput: A contact cannot have such an id.
        StoreError: The store cannot be used.
    """
    contact = _known(contact)
    wanted = StoredErasure(
        id=uuid.uuid4().hex[:20],
        contact_hash=await keyring.name_of(contact),
        contact_id=contact,
        operator=operator,
        reason=reason,
        encrypted=keyring.encrypts,
        before=await keyring.is_erased(contact),
        requested_at=datetime.now(UTC),
    )
    stored = await store.add_erasure(wanted)
    if stored.finished_at is None:
        await keyring.destroy(contact)
        try:
            async with asyncio.timeout(_START):
                await start_erasure(temporal, stored.id)
        except (RPCError, TimeoutError) as error:
            said = error.status.name if isinstance(error, RPCError) else "no answer"
            logger.warning("the erasure %s is not started yet (%s): a worker starts it", stored.id, said)
            await store.erasure_trouble(stored.id, f"Temporal did not start it yet ({said}): a worker has it started")
    return await show_erasure(store, stored.id)


async def survey_erasure(
    temporal: Client, store: Store, keyring: Keyring, contact: str, *, operator: str, reason: str
) -> ErasureView:
    """Return what would be erased of a contact. Write nothing.

    Raises:
        BadInput: A contact cannot have such an id.
        StoreError: The store cannot be used.
        RPCError: Temporal cannot be reached.
    """
    contact = _known(contact)
    running = [run.close_time is None async for run in find_runs(temporal, store, contact)]
    found = StoredErasure(
        id="",
        contact_hash="",
        contact_id=None,
        operator=operator,
        reason=reason,
        encrypted=keyring.encrypts,
        before=await keyring.is_erased(contact),
        requested_at=datetime.now(UTC),
        ended=sum(running),
        histories=len(running),
        remaining=len(running),
        rows=asdict(await store.traces(contact)),
    )
    return ErasureView.of(found, dry_run=True)


async def show_erasure(store: Store, identifier: str) -> ErasureView:
    """Return an erasure.

    Raises:
        UnknownErasure: There is none of that id.
    """
    return ErasureView.of(await _stored(store, identifier))


async def list_erasures(store: Store, *, is_open: bool, after: str | None, limit: int) -> list[ErasureView]:
    """Return erasures, the newest first.

    Args:
        store: The store.
        is_open: Only those that are not finished.
        after: Only those that come after the one of this id: the last of a page, for the next page.
        limit: Maximum number of erasures.

    Raises:
        UnknownErasure: There is none of that id.
    """
    last = None if after is None else await _stored(store, after)
    return [ErasureView.of(one) for one in await store.stored_erasures(is_open=is_open, after=last, limit=limit)]


async def _stored(store: Store, identifier: str) -> StoredErasure:
    stored = await store.stored_erasure(identifier)
    if stored is None:
        raise UnknownErasure(f"there is no erasure '{identifier[:80]}'")
    return stored


def _known(contact: str) -> str:
    """Return an id as an entry's is read, so that it names the contact that came in by it."""
    try:
        known = as_id(contact)
    except ValueError as error:
        raise BadInput(str(error)) from None
    if known is None:
        raise BadInput("the contact's id is empty: say who is to be erased")
    if "%2F" in known:
        raise BadInput("the contact's id has '%2F' in it, which stands for '/' in ids of journeys: give it with '/'")
    return known
