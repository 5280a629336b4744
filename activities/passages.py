"""Counts of the steps that running journeys complete.

A count by an activity would put events into every history. Instead, a workflow that is not replaying passes its steps
to this worker, which counts them in the background. Nothing depends on it: each report has all steps that are not
counted by the journey itself, which counts them at its departure at the latest. So steps that a killed worker has not
counted are counted with the journey's next step.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from datetime import datetime
from typing import Final, Self

from temporalio.worker import Interceptor, WorkflowInterceptorClassInput
from typing_extensions import override

from activities.interface import REPORT_STEPS, WITHDRAW_STEPS, CompletedSteps
from runtime.errors import StoreUnavailable
from runtime.store import Passage, Store

_logger = logging.getLogger(__name__)
_PAUSE: Final = 0.5


async def count_steps(store: Store, steps: CompletedSteps) -> None:
    """Count completed steps of a journey. Idempotent."""
    passed = [Passage(one.version, one.step, one.outcome, datetime.fromisoformat(one.at)) for one in steps.passed]
    await store.count_passages(
        steps.workflow_id,
        steps.run_id,
        steps.first,
        passed,
        revisable=steps.revisable,
        reported_at=datetime.fromisoformat(steps.now),
    )


class PassageWriter(Interceptor):
    """Counts completed steps in the background. Pass it to the worker of journeys as an interceptor.

    `put` and `withdraw` are called from the threads of workflows.

    Attributes:
        after: Seconds that a report waits: most journeys without waits end within them, and count their steps
            themselves.
        room: Number of journeys with a pending report. Further ones are not counted before their next step.
        closing: Seconds that `__aexit__` may take to count pending passages.
    """

    after = 2.0
    room = 10_000
    closing = 1.0

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pending: dict[tuple[str, str], tuple[float, CompletedSteps]] = {}
        self._task: asyncio.Task[None] | None = None

    @override
    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> None:
        input.unsafe_extern_functions.update(  # pyright: ignore[reportUnknownMemberType]
            {REPORT_STEPS: self.put, WITHDRAW_STEPS: self.withdraw}
        )

    def put(self, report: CompletedSteps) -> None:
        """Take the steps of a journey, in place of an earlier pending report."""
        key = (report.workflow_id, report.run_id)
        earlier = self._pending.get(key)
        if earlier or len(self._pending) < self.room:
            self._pending[key] = (earlier[0] if earlier else time.monotonic(), report)

    def withdraw(self, report: CompletedSteps) -> None:
        self._pending.pop((report.workflow_id, report.run_id), None)

    async def flush(self, *, after: float = 0.0) -> None:
        """Count passages that have been pending for so many seconds. After StoreUnavailable, they stay pending."""
        due = time.monotonic() - after
        for key in list(self._pending):  # one bytecode: workflows' threads cannot change it meanwhile
            found = self._pending.get(key)
            if found is None or found[0] > due or self._pending.pop(key, None) is None:
                continue
            try:
                await count_steps(self._store, found[1])
            except (StoreUnavailable, asyncio.CancelledError):
                self._pending.setdefault(key, found)
                raise
            except Exception:  # the journey counts them later, or its failure to do so shows the mistake
                _logger.exception("the steps of %s are not counted yet", key[0])

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="passage-writer")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        with suppress(StoreUnavailable, TimeoutError):
            async with asyncio.timeout(self.closing):
                await self.flush()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_PAUSE)
            with suppress(StoreUnavailable):
                await self.flush(after=self.after)
