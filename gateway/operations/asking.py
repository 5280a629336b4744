"""Asks journeys for one operation and notes what each answers, also where that is interrupted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

from temporalio.service import RPCError, RPCStatusCode

from gateway.errors import NotAccepted, NotAnswered, Refusal
from gateway.operations.batch import JourneyTarget
from runtime.store import Store

_ENDING: Final = 3.0
"""Seconds that journeys have to answer which were asked when the operation, or its gateway, was stopped."""


class Asking:
    """Asks journeys, and puts what each answers on record.

    Args:
        store: Keeps it.
        operation: The operation's id.
        send: Sends the operation to one journey.

    Attributes:
        asked: How many were asked.
        answered: How many of them accepted or refused.
    """

    def __init__(self, store: Store, operation: str, send: Callable[[JourneyTarget], Awaitable[Any]]) -> None:
        self.asked = self.answered = 0
        self._store, self._operation, self._send = store, operation, send
        self._under_way: dict[asyncio.Task[None], JourneyTarget] = {}

    async def ask(self, target: JourneyTarget) -> None:
        """Asks one. Who is interrupted meanwhile calls `end`.

        Raises:
            Refusal: It refused, or did not answer.
        """
        self.asked += 1
        task = asyncio.create_task(self._ask(target))
        self._under_way[task] = target
        task.add_done_callback(self._over)
        await asyncio.shield(task)

    def _over(self, task: asyncio.Task[None]) -> None:
        del self._under_way[task]
        if not task.cancelled():
            task.exception()  # whoever was interrupted does not ask for it

    async def _ask(self, target: JourneyTarget) -> None:
        try:
            await self._send(target)
        except NotAnswered as error:
            await self._note(target, None, error.reason)
            raise
        except Refusal as error:
            await self._note(target, "refused", error.reason if isinstance(error, NotAccepted) else str(error))
            raise
        except RPCError as error:
            why = f"the server did not take it ({error.status.name})"
            if error.status is RPCStatusCode.FAILED_PRECONDITION:  # of this journey: it takes no more updates, say
                await self._note(target, "refused", why)
                raise NotAccepted(target.id, why) from None
            await self._note(target, None, why)
            raise NotAnswered(target.id, why) from None
        await self._note(target, "accepted", None)

    async def _note(self, target: JourneyTarget, outcome: str | None, reason: str | None) -> None:
        await self._store.answered(self._operation, target.id, outcome, reason, datetime.now(UTC))
        self.answered += outcome is not None

    async def end(self) -> None:
        """Lets those that were asked answer, for a moment."""
        under_way = dict(self._under_way)
        if not under_way:
            return
        _, late = await asyncio.wait(under_way, timeout=_ENDING)
        for task in late:
            task.cancel()
            await self._note(under_way[task], None, "it had not answered yet when it was interrupted")
