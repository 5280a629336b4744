"""Letting a contact in: which journey an entry starts, how it is started, and whether it was admitted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Final
from uuid import UUID

from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.common import SearchAttributePair, TypedSearchAttributes, WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError, CancelledError, TerminatedError, WorkflowAlreadyStartedError

from activities.admission import open_for
from activities.content import Content
from activities.interface import JOURNEYS
from activities.priority import priority_of
from gateway.errors import JourneyFailed, MistakenEntry, NotEntered, UnderWay
from gateway.starting import under
from runtime.encryption.keyring import Erased
from runtime.search_attributes import CONTACT_ID, SCENARIO_NAME
from runtime.store import AcceptedEntry, Store, StoreError
from runtime.store.erasures import ERASED
from scenario.entry.admission import EntryMistaken, EntryRefused, identity
from scenario.entry.entry import is_too_deep, parse_entry
from scenario.entry.plain_json import DEEPEST, unsent
from scenario.errors import EntryError
from scenario.policies.draw import WITHHELD
from scenario.time.timing import unplaced

MAX_ENTRY: Final = 1024 * 1024
"""Bytes that an entry may have as JSON. Temporal refuses an argument of 2 MB, in words that help nobody."""

_FIRST_LOOK: Final = 0.02  # seconds until the first look whether the contact was admitted; then longer and longer
_LAST_LOOK: Final = 0.25
_PRUNING: Final = 60.0  # seconds between two prunings of recorded entries


@dataclass(frozen=True)
class Entered:
    """A journey that was started, or found running.

    Attributes:
        id: The workflow id.
        run_id: Its first execution's.
        already: Whether it was under way before.
        handle: Temporal's handle of it.
        admitted: Whether it is known to be in. False where no worker has looked at it yet: it may still be refused.
        withheld: Why it is over already, where the contact was let in to get nothing.
        unplaced: Why the contact's time zone is not used, where it cannot be; see `scenario.time.timing.unplaced`.
    """

    id: str
    run_id: str
    already: bool
    handle: WorkflowHandle[Any, dict[str, Any]] = field(repr=False, compare=False)
    admitted: bool = True
    withheld: str = ""
    unplaced: str = ""

    async def result(self) -> dict[str, Any]:
        """Waits for the journey's end and returns its result, as the contract describes it.

        Raises:
            JourneyFailed: It failed, or was terminated, or its contact was erased.
        """
        try:
            return await self.handle.result()
        except WorkflowFailureError as error:
            raise JourneyFailed(f"the journey {self.id} {why_failed(error.cause)}") from None
        except Erased as error:
            raise JourneyFailed(f"the result of the journey {self.id} cannot be read: {error}") from None

    async def verdict(self) -> dict[str, Any]:
        """As `result`, of a journey of which it is not known whether it came in.

        Raises:
            NotEntered: It was refused.
            JourneyFailed: It failed, or was terminated.
        """
        result = await self.result()
        if result.get("outcome") == "refused":
            raise NotEntered(str(result.get("reason")), journey=self.id)
        return result


class EntryClient:
    """Where contacts come in.

    Args:
        temporal: A client of the Temporal namespace that the workers poll.
        store: The workers' store.
        zone: IANA zone of the platform's zone-less dates.
    """

    def __init__(self, temporal: Client, store: Store, zone: str) -> None:
        self._temporal, self._store, self._zone = temporal, store, zone
        self._content = Content(store)
        self._pruned = -_PRUNING

    async def enter(self, entry: Mapping[str, Any], settle: float, request: UUID | None) -> Entered:
        """See `gateway.client.ScenarioClient.enter`."""
        try:
            argument = plain(entry)
            parsed = parse_entry(argument)
            opened = await open_for(parsed, self._content, self._store)
            identifier, summary = identity(parsed, opened.scenario, opened.version, self._zone, datetime.now(UTC))
        except (EntryError, EntryMistaken) as error:
            raise MistakenEntry(str(error), at=error.at, meant=error.meant) from None
        except EntryRefused as error:
            raise NotEntered(str(error)) from None
        if await self._store.is_erased(parsed.contact_id):
            raise NotEntered(ERASED)
        try:
            temporal = self._temporal if request is None else under(request, self._temporal)
            handle = await temporal.start_workflow(
                "Journey",
                argument,
                id=identifier,
                task_queue=JOURNEYS,
                result_type=dict,
                # Whether somebody is admitted *again* is the admission's to say: Temporal forgets closed workflows.
                id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                static_summary=summary,
                priority=priority_of(opened.scenario.purpose),
                search_attributes=TypedSearchAttributes(
                    [
                        SearchAttributePair(SCENARIO_NAME, parsed.name),
                        SearchAttributePair(CONTACT_ID, parsed.contact_id),
                    ]
                ),
            )
        except Erased as error:  # a moment ago
            raise NotEntered(str(error)) from None
        except WorkflowAlreadyStartedError as error:
            # Who has started it may have been killed before it was recorded.
            if identifier not in await self._store.under_way([identifier]):
                await self._record(identifier, error.run_id or "", parsed.contact_id)
            if opened.scenario.entry.again != "always":
                text = f"the contact is in {opened.name} already, as {identifier}"
                raise UnderWay(text, journey=identifier) from None
            handle = self._temporal.get_workflow_handle(identifier, run_id=error.run_id, result_type=dict)
            return Entered(identifier, error.run_id or "", already=True, handle=handle)
        problem = unplaced(parsed.contact.get("timezone"), opened.scenario.timezone)
        run_id = handle.first_execution_run_id or ""
        entered = Entered(identifier, run_id, already=False, handle=handle, unplaced=problem)
        entered = await self._settle(entered, settle) if settle > 0 else replace(entered, admitted=False)
        if not entered.admitted:
            await self._record(entered.id, entered.run_id, parsed.contact_id)
        return entered

    async def _record(self, identifier: str, run_id: str, contact: str) -> None:
        """Record an entry before it is acknowledged: from then on, events for the contact reach it."""
        await self._store.accept(AcceptedEntry(identifier, run_id, contact, datetime.now(UTC)))
        if monotonic() - self._pruned >= _PRUNING:
            self._pruned = monotonic()
            with suppress(StoreError):  # the next one tries again
                await self._store.prune_accepted(datetime.now(UTC))

    async def _settle(self, entered: Entered, seconds: float) -> Entered:
        """Waits until the journey is admitted, or it is clear that nobody says so in time.

        Raises:
            NotEntered: It was refused.
            JourneyFailed: It failed.
        """
        over = asyncio.create_task(entered.verdict())
        look = _FIRST_LOOK
        try:
            async with asyncio.timeout(seconds):
                while (known := await self._store.entry(entered.id, entered.run_id)) is None:
                    await asyncio.wait([over], timeout=look)
                    if over.done():
                        break
                    look = min(look * 1.5, _LAST_LOOK)
        except TimeoutError:
            return replace(entered, admitted=False)
        finally:
            if not over.done():
                over.cancel()
                await asyncio.wait([over])
        result = {} if over.cancelled() else over.result()
        outcome, reason = (known.outcome, known.reason) if known else (result.get("outcome"), result.get("reason"))
        return replace(entered, withheld=reason or "") if outcome in WITHHELD else entered


def plain(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry as the plain JSON that travels to the workflow.

    Raises:
        EntryError: It holds what JSON cannot, or is too long.
    """
    try:
        content = json.dumps(entry, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError):
        raise EntryError(unsent(entry, "the entry")) from None
    if is_too_deep(entry):
        raise EntryError(f"the entry is nested more than {DEEPEST} levels deep")
    if len(content) > MAX_ENTRY:
        raise EntryError(f"the entry has {len(content)} bytes, and may have {MAX_ENTRY}: leave out what no step names")
    return dict(entry)


def why_failed(cause: BaseException | None) -> str:
    """How a workflow without a result ended, to complete "the journey …"."""
    match cause:
        case ApplicationError():
            return f"failed: {cause.message}"
        case TerminatedError():
            return "was terminated"
        case CancelledError():
            return "was cancelled"
        case _:
            return "failed: see it in Temporal's UI"
