"""Finds out whether journeys that were started were admitted: many at a time, without a call for each.

The store knows who was admitted: one question is about hundreds. Of the others, the refused among them, only the server
knows. It is asked about those alone whose turn has come: later ones were admitted, or nobody was since the last look.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import Final, Self

from temporalio.api.enums.v1 import WorkflowExecutionStatus
from temporalio.client import Client

from gateway.entries import Entered
from gateway.errors import Refusal
from gateway.journeys.pending_activities import describe
from runtime.store import Store

LOOK: Final = 0.5
"""Seconds between two looks."""

SILENCE: Final = 30.0
"""Seconds without news of any journey after which it stays unknown whether one came in: longer than Temporal takes to
notice that a worker is gone, and a worker to start."""

_PASSED: Final = 100  # so many later ones come before one whose turn has surely come: a few at a time are admitted
_ASKED: Final = 20  # journeys that the server is asked about at the same time


@dataclass(frozen=True)
class _Started:
    """A journey of which it is not known yet; `number` counts them in the order in which they were started."""

    number: int
    entered: Entered
    since: float
    known: asyncio.Future[bool]


class AdmissionWatch:
    """Journeys that were started, until it is known of each whether it came in.

    Use it as a context manager: leaving it ends the looks.

    Args:
        temporal: The server on which they were started.
        store: The workers' store.
        look: Seconds between two looks.
        silence: Seconds without any news after which one is given up.

    Example::

        async with client.settling() as settling:
            entered = await client.enter(entry, settle=0)
            admitted = await settling.known(entered)
    """

    def __init__(self, temporal: Client, store: Store, *, look: float = LOOK, silence: float = SILENCE) -> None:
        self._temporal, self._store, self._look, self._silence = temporal, store, look, silence
        self._open: dict[tuple[str, str], _Started] = {}
        self._some = asyncio.Event()
        self._count = 0
        self._latest = 0  # the number of the latest of those that are known
        self._turn = 0
        self._heard = 0.0  # when it was last known of one
        self._looks: asyncio.Task[None] | None = None

    async def known(self, entered: Entered) -> bool:
        """Waits until it is known whether a journey came in.

        Returns:
            True where it did; False where nothing was heard of any for too long: it may yet come in, or be refused.

        Raises:
            NotEntered: It was refused.
            JourneyFailed: It failed.
            StoreError: The store cannot be asked.
            RPCError: The server cannot.
        """
        if self._looks is not None and self._looks.done():
            self._looks.result()  # what ended the looks ends this, too
        self._count += 1
        mine = _Started(self._count, entered, monotonic(), asyncio.get_running_loop().create_future())
        self._open[entered.id, entered.run_id] = mine
        self._some.set()
        try:
            return await mine.known
        finally:
            self._open.pop((entered.id, entered.run_id), None)

    async def __aenter__(self) -> Self:
        self._looks = asyncio.create_task(self._watch())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._looks is not None:
            self._looks.cancel()
            await asyncio.gather(self._looks, return_exceptions=True)

    async def _watch(self) -> None:
        try:
            while True:
                await self._some.wait()
                await asyncio.sleep(self._look)
                await self._settle()
                if not self._open:
                    self._some.clear()
        except Exception as error:
            for item in self._waiting():
                item.known.set_exception(error)
            raise

    async def _settle(self) -> None:
        """One look."""
        admitted = await self._store.admitted([key for key, item in self._open.items() if not item.known.done()])
        for key in admitted:
            if (item := self._open.get(key)) is not None:
                self._tell(item, True)
        while True:
            waiting = self._waiting()
            passed = [item for item in waiting if item.number < self._latest - _PASSED]
            if not any(await asyncio.gather(*map(self._ask, self._some_of(passed if admitted else waiting)))):
                break
        now = monotonic()
        for item in waiting:
            if not item.known.done() and now - max(self._heard, item.since) >= self._silence:
                item.known.set_result(False)

    def _some_of(self, candidates: list[_Started]) -> list[_Started]:
        """The oldest, who are known first; and others by turns, lest some that are stuck stand in their way."""
        oldest, others = candidates[: _ASKED // 2], candidates[_ASKED // 2 :]
        start = self._turn = self._turn % max(len(others), 1)
        self._turn += _ASKED // 2
        return oldest + others[start : self._turn]

    def _waiting(self) -> list[_Started]:
        return [item for item in self._open.values() if not item.known.done()]

    async def _ask(self, item: _Started) -> bool:
        """Asks the server about one; tells whether it is known now."""
        described = await describe(self._temporal, item.entered.id, item.entered.run_id)
        running = WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING
        if described is not None and described.workflow_execution_info.status == running:
            return False
        try:
            await item.entered.verdict()
        except Refusal as refusal:
            self._tell(item, refusal)
        else:
            self._tell(item, True)
        return True

    def _tell(self, item: _Started, news: bool | Refusal) -> None:
        self._latest, self._heard = max(self._latest, item.number), monotonic()
        if item.known.done():
            return
        if isinstance(news, Refusal):
            item.known.set_exception(news)
        else:
            item.known.set_result(news)
