"""The workflow `Batch`: one request for many contacts.

It waits until the batch is due or full, and sends it as a journey sends a webhook: with the same retries, holds and
operations. The store holds the items, and its history none of their data.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, Final, NoReturn

from temporalio import workflow
from temporalio.common import RetryPolicy
from typing_extensions import override

from activities.background import BATCH_WORKFLOW, FULL, SETTLE, BatchEnd, BatchStart, read_argument
from activities.interface import priority_of
from scenario.errors import ScenarioError
from scenario.plan.plan import Plan, dump_plan
from scenario.steps.delivery import Send
from scenario.steps.registry import read_row
from scenario.steps.wait_for import WaitForRow
from scenario.words import ItemOutcome
from workflows.journey import Journey, update_of
from workflows.primitives import bad_argument, refusal
from workflows.runner import JourneyRunner
from workflows.state import State
from workflows.updates import OperatorUpdates

_FILL: Final = ".fill"
_SETTLING: Final = timedelta(hours=1)
_HEARTBEAT: Final = timedelta(seconds=30)
_RETRY: Final = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=1))
_OUTCOMES: Final[dict[str, ItemOutcome]] = {"delivered": "delivered", "failed": "refused", "unknown": "unknown"}
"""Outcomes of items by that of the step. All others skip them."""


class BatchRunner(JourneyRunner):
    """Runs a batch as a journey of two steps: wait for its contacts, then send."""

    def __init__(self, argument: Any) -> None:
        start = read_argument(BatchStart, argument)
        self._step = "" if start is None else start.step
        super().__init__(argument, carried=None if start is None else _begun(start))
        if self._carried is not None and not self._step:
            self._step = next(reversed(self.host.plan.steps))

    @override
    async def _depart(self, outcome: str, reason: str) -> None:
        del outcome
        last = next((one for one in self.host.state.steps if one.id == self._step), None)
        end = BatchEnd(
            batch=self.host.entry.contact_id,
            step=self._step,
            outcome=_OUTCOMES.get(last.outcome, "skipped") if last else "skipped",
            reason=(last.reason if last else reason) or None,
        )
        await workflow.execute_activity(
            SETTLE.name,
            end,
            start_to_close_timeout=_SETTLING,
            heartbeat_timeout=_HEARTBEAT,
            retry_policy=_RETRY,
            priority=priority_of(self.host.plan.purpose),
        )
        if not workflow.all_handlers_finished():
            await workflow.wait_condition(workflow.all_handlers_finished)


def _begun(start: BatchStart) -> dict[str, Any] | None:
    """Return the entry and the state of a batch's first run, or None if its step cannot be read."""
    try:
        row = read_row(start.row)
    except ValueError:
        return None
    if not isinstance(row, Send) or row.batch is None:
        return None
    fill = f"{start.step}{_FILL}"
    wait = WaitForRow(kind="wait_for", event=FULL, seconds=row.batch.within, then=start.step, otherwise=start.step)
    send = replace(row, next=None, fields=(), item_fields={}, save=None, batch=None)
    plan = Plan(start=fill, steps={fill: wait, start.step: send}, zone=start.zone, purpose=start.purpose)
    info = workflow.info()
    state = State(
        version=start.version,
        plan=dump_plan(plan),
        zone="UTC",
        entered_at=info.start_time.isoformat(),
        root=start.batch,
        at=fill,
    )
    entry = {
        "scenario": f"{start.scenario}@{start.version}",
        "contact": {"id": start.batch},
        "trigger": {"type": "segment"},
    }
    return {"entry": entry, "state": state.dump()}


def _refuse(updates: OperatorUpdates, argument: Any) -> NoReturn:
    raise refusal("a batch call cannot move to another version: retry its step with 'version'")


@workflow.defn(name=BATCH_WORKFLOW, failure_exception_types=[ScenarioError])
class Batch(Journey):
    """A batch call. It takes the updates of a journey, except `migrate`."""

    @workflow.init
    def __init__(self, argument: Any = None, *_: Any) -> None:
        """Take up the state, of a new batch or of the previous run."""
        self.runner = BatchRunner(argument)

    @workflow.run
    @override
    async def run(self, argument: Any = None, *_: Any) -> dict[str, Any]:
        if not self.runner.is_begun:
            raise bad_argument(f"a {BATCH_WORKFLOW}", "come from a worker", "NotABatch")
        return await self.runner.run(argument)

    migrate = update_of("migrate", "Refused: a batch call stays in its version.", _refuse)
