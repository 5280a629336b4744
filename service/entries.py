"""Use cases about entries: start a journey, and find out whether it was admitted."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Final
from uuid import UUID

from temporalio.api.enums.v1 import WorkflowExecutionStatus
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import WorkflowAlreadyStartedError

from activities.admission import open_for
from activities.content import Content
from activities.handover import of_campaign, start_journey
from activities.interface import CAMPAIGNS
from authoring.errors import Refusal
from runtime.encryption.keyring import Erased
from runtime.store import AcceptedEntry, Store, StoreError
from runtime.store.erasures import ERASED
from scenario.entry.admission import EntryMistaken, EntryRefused, identity
from scenario.entry.entry import parse_entry, plain_entry
from scenario.entry.values import PlatformDates
from scenario.errors import EntryError
from scenario.policies.draw import WITHHELD
from scenario.time import unplaced
from service.caller import TERMINAL, Caller
from service.errors import JourneyFailed, MistakenEntry, NotEntered, UnderWay
from service.journeys.snapshot import describe, why_failed

FIRST_LOOK: Final = 0.02  # seconds until the first look at a single entry. Each pause is longer than the one before.
LOOK: Final = 0.25  # maximum seconds between two looks at a single entry
LOOK_AT_MANY: Final = 0.5  # seconds between two looks at many entries
SILENCE: Final = 30.0
"""Seconds without news of any journey after which an admission stays unknown. Temporal takes less to notice that a
worker is gone, and a worker to start."""
_PASSED: Final = 100  # journeys are admitted a few at a time, so one that so many later ones overtook was decided
_ASKED: Final = 20  # journeys that the server is asked about at the same time
_PRUNING: Final = 60.0  # seconds between two prunings of recorded entries


@dataclass(frozen=True)
class Entered:
    """A journey that was started, or found running."""

    id: str
    run_id: str
    already: bool  # true if it was running before
    handle: WorkflowHandle[Any, dict[str, Any]] = field(repr=False, compare=False)
    contact: str = ""
    admitted: bool = True  # false if no worker has decided yet: it may still be refused
    withheld: str = ""  # why it has ended already, if the contact was admitted only for comparison
    unplaced: str = ""  # why the contact's time zone cannot be used, or empty

    async def result(self) -> dict[str, Any]:
        """Wait for the journey's end and return its result. Raise JourneyFailed if it has none."""
        try:
            return await self.handle.result()
        except WorkflowFailureError as error:
            raise JourneyFailed(f"the journey {self.id} {why_failed(error.cause)}") from None
        except Erased as error:
            raise JourneyFailed(f"the result of the journey {self.id} cannot be read: {error}") from None

    async def verdict(self) -> dict[str, Any]:
        """Return the result of a journey. Raise NotEntered if it was refused, or JourneyFailed if it has none."""
        result = await self.result()
        if result.get("outcome") == "refused":
            raise NotEntered(str(result.get("reason")), journey=self.id)
        return result


@dataclass(frozen=True)
class _Started:
    """A journey whose admission is not known yet. `number` counts them in the order in which they were started."""

    number: int
    entered: Entered
    since: float
    known: asyncio.Future[bool]


class AdmissionWatch:
    """A watch over started journeys until their admission is known.

    One query of the store tells which of hundreds were admitted. Only the server knows the refused ones. It is asked
    only about those that many later ones have overtaken, or if no contact was admitted since the last look.

    Example::

        watch = client.watch_admissions()
        entered = await client.enter(entry, settle=0)
        admitted = await watch.known(entered)
    """

    def __init__(
        self, temporal: Client, store: Store, *, first_look: float, look: float, silence: float = SILENCE
    ) -> None:
        self._temporal, self._store = temporal, store
        self._first_look, self._longest, self._silence = first_look, look, silence
        self._open: dict[int, _Started] = {}
        self._count = 0
        self._latest = 0  # the number of the latest of those that are known
        self._turn = 0
        self._heard = 0.0  # time of the latest news of any
        self._looks: asyncio.Task[None] | None = None  # while journeys are open

    async def known(self, entered: Entered) -> bool:
        """Wait until the admission is known. Return False if there was no news of any journey for too long.

        Raise NotEntered if it was refused, and JourneyFailed if it failed.
        """
        self._count += 1
        mine = _Started(self._count, entered, monotonic(), asyncio.get_running_loop().create_future())
        self._open[mine.number] = mine
        if self._looks is None:
            self._looks = asyncio.create_task(self._watch())
        try:
            return await mine.known
        finally:
            del self._open[mine.number]
            self._stop_if_idle()

    def _stop_if_idle(self) -> None:
        if not self._open and self._looks is not None:
            self._looks.cancel()
            self._looks = None

    async def _watch(self) -> None:
        pause = self._first_look
        try:
            while True:
                await asyncio.sleep(pause)
                pause = min(pause * 1.5, self._longest)
                await self._look()
        except Exception as error:
            self._looks = None
            for item in self._waiting():
                item.known.set_exception(error)

    async def _look(self) -> None:
        waiting = self._waiting()
        admitted = await self._store.admitted(list({(item.entered.id, item.entered.run_id) for item in waiting}))
        for item in waiting:
            if (item.entered.id, item.entered.run_id) in admitted:
                self._settle(item)
        while True:
            waiting = self._waiting()
            passed = [item for item in waiting if item.number < self._latest - _PASSED]
            if not any(await asyncio.gather(*map(self._ask, self._some_of(passed if admitted else waiting)))):
                break
        now = monotonic()
        for item in self._waiting():
            if now - max(self._heard, item.since) >= self._silence:
                item.known.set_result(False)

    def _some_of(self, candidates: list[_Started]) -> list[_Started]:
        """Return the oldest, which are decided first, and others in turn, so that stuck ones do not block them."""
        oldest, others = candidates[: _ASKED // 2], candidates[_ASKED // 2 :]
        start = self._turn = self._turn % max(len(others), 1)
        self._turn += _ASKED // 2
        return oldest + others[start : self._turn]

    def _waiting(self) -> list[_Started]:
        return [item for item in self._open.values() if not item.known.done()]

    async def _ask(self, item: _Started) -> bool:
        """Ask the server about one journey. Return True if its admission is known now."""
        described = await describe(self._temporal, item.entered.id, item.entered.run_id)
        running = WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING
        if described is not None and described.workflow_execution_info.status == running:
            return False
        try:
            await item.entered.verdict()
        except Refusal as refusal:
            self._settle(item, refusal)
        else:
            self._settle(item)
        return True

    def _settle(self, item: _Started, refusal: Refusal | None = None) -> None:
        self._latest, self._heard = max(self._latest, item.number), monotonic()
        if item.known.done():
            return
        if refusal is not None:
            item.known.set_exception(refusal)
        else:
            item.known.set_result(True)


class EntryService:
    """Use cases about entries."""

    def __init__(self, temporal: Client, store: Store, content: Content, platform: PlatformDates) -> None:
        self._temporal, self._store, self._content, self._platform = temporal, store, content, platform
        self._pruned = -_PRUNING

    async def enter(
        self, caller: Caller, entry: Mapping[str, Any], *, settle: float = 5.0, request: UUID | None = None
    ) -> Entered:
        """Start the journey of a contact.

        Args:
            settle: Seconds to wait for the admission; the journey continues if that takes longer.
            request: An id that makes the request idempotent: repeated, it returns the journey that it started, until
                the contact enters once more.

        Raises:
            Forbidden: The caller may not use the scenario.
            NotEntered: The contact is not admitted. `MistakenEntry` if the entry is wrong, `UnderWay` if its journey is
                running.
            JourneyFailed: It was admitted and failed immediately.
        """
        entered = await self._start(caller, entry, request)
        if settle > 0 and not entered.admitted:
            entered = await self._settle(entered, settle)
        if not entered.admitted:
            await self.record(entered)
        return entered

    async def enter_line(self, entry: Mapping[str, Any], root: str) -> Entered:
        """Start the journey of a campaign's line, whose entry was checked before and has its key. Idempotent.

        The caller records it, with others, before it acknowledges the line. `root` is its `campaign_root`.
        """
        return await self._start(TERMINAL, entry, UUID(root), root)

    async def _start(
        self, caller: Caller, entry: Mapping[str, Any], request: UUID | None, root: str | None = None
    ) -> Entered:
        scenario = entry.get("scenario")
        caller.check(scenario.partition("@")[0] if isinstance(scenario, str) else "")
        try:
            argument = plain_entry(entry) if root is None else dict(entry)  # a line was checked with its file
            parsed = parse_entry(argument)
            opened = await open_for(parsed, self._content, self._store)
            at = (opened.version, self._platform, datetime.now(UTC))
            identifier, summary = identity(parsed, opened.scenario, *at, is_checked=root is not None)
        except (EntryError, EntryMistaken) as error:
            raise MistakenEntry(str(error), at=error.at, meant=error.meant) from None
        except EntryRefused as error:
            raise NotEntered(str(error)) from None
        if await self._store.is_erased(parsed.contact_id):
            raise NotEntered(ERASED)
        try:
            handle = await start_journey(
                self._temporal,
                argument if root is None else of_campaign(argument, root),
                scenario=parsed.name,
                contact=parsed.contact_id,
                workflow_id=identifier,
                summary=summary,
                purpose=CAMPAIGNS if root is not None else opened.scenario.purpose,
                request=request,
            )
        except Erased as error:  # a moment ago
            raise NotEntered(str(error)) from None
        except WorkflowAlreadyStartedError as error:
            handle = self._temporal.get_workflow_handle(identifier, run_id=error.run_id, result_type=dict)
            known = Entered(identifier, error.run_id or "", already=True, handle=handle, contact=parsed.contact_id)
            # Its caller may have been killed before it was recorded.
            if identifier not in await self._store.find_running([identifier]):
                await self.record(known)
            if opened.scenario.entry.again != "always":
                text = f"the contact is in {opened.name} already, as {identifier}"
                raise UnderWay(text, journey=identifier) from None
            return known
        return Entered(
            *(identifier, handle.first_execution_run_id or ""),
            already=False,
            handle=handle,
            contact=parsed.contact_id,
            admitted=False,
            unplaced=unplaced(parsed.contact.get("timezone"), opened.scenario.timezone),
        )

    def watch_admissions(self) -> AdmissionWatch:
        """Return a watch over many journeys that were started with ``settle=0``."""
        return AdmissionWatch(self._temporal, self._store, first_look=LOOK_AT_MANY, look=LOOK_AT_MANY)

    async def record(self, *entered: Entered) -> None:
        """Record entries before they are acknowledged: from then on, events for their contacts reach them."""
        now = datetime.now(UTC)
        await self._store.accept(*(AcceptedEntry(one.id, one.run_id, one.contact, now) for one in entered))
        if monotonic() - self._pruned >= _PRUNING:
            self._pruned = monotonic()
            with suppress(StoreError):  # the next one tries again
                await self._store.prune_accepted(datetime.now(UTC))

    async def _settle(self, started: Entered, seconds: float) -> Entered:
        """Wait until the journey is admitted, or time is over."""
        watch = AdmissionWatch(self._temporal, self._store, first_look=FIRST_LOOK, look=LOOK)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                if await watch.known(started):
                    stored = await self._store.entry(started.id, started.run_id)
                    withheld = stored.reason if stored is not None and stored.outcome in WITHHELD else None
                    return replace(started, admitted=True, withheld=withheld or "")
        return started
