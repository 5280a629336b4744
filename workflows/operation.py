"""An operation on many journeys, as background work that survives the process that started it.

Its history holds ids and counts. The store holds its journeys and their answers, which the activities write. Those run
in the gateway, since it finds journeys and sends them updates. Without a gateway, an operation waits.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from temporalio import workflow
from temporalio.exceptions import ActivityError

from activities.interface import OPERATORS
from scenario.entry.entry import read_form, reader_of
from scenario.errors import ScenarioError
from workflows.primitives import bad_argument, execute_plain, operator_of, reason_of

QUEUE: Final = "operations"
"""The task queue of these workflows and their activities."""
WORKFLOW: Final = "Operation"
SURVEY: Final = "survey_journeys"
OPERATE: Final = "operate_journeys"
CLOSE: Final = "close_operation"
STOP: Final = "stop"

HEARTBEAT: Final = timedelta(seconds=10)
"""Time after which another gateway retries an activity whose gateway was killed."""
CHUNK: Final = timedelta(minutes=1)
"""Approximate duration of one activity."""
PAUSES: Final = (timedelta(seconds=5), timedelta(seconds=15), timedelta(minutes=1))
"""Back-off while no worker answers. The last pause repeats."""
PATIENCE: Final = timedelta(hours=24)
"""Time without an answer after which the remaining journeys are abandoned."""
_SLACK: Final = timedelta(minutes=10)  # beyond the time that a chunk takes at its rate
_SURVEY: Final = timedelta(hours=6)
SLOWEST: Final = 0.01
"""Minimum rate, in journeys a second."""
_MOST: Final = 1_000
_CHUNKS: Final = 200  # a run; then it continues as new


@dataclass(kw_only=True)
class OperationState:
    """The argument of an operation, which continue-as-new carries along."""

    operation: str
    rate: float  # maximum number of journeys a second
    dry_run: bool = False  # True to find its journeys only
    surveyed: bool = False  # True once all journeys are found
    after: tuple[int, str] | None = None  # the position after which the next chunk begins
    silent_since: str | None = None  # since when no worker answers, ISO 8601
    silences: int = 0  # number of chunks since then


@dataclass(kw_only=True)
class Chunk:
    """Some of an operation's journeys, to be updated."""

    operation: str
    rate: float
    most: int  # maximum number of journeys
    after: tuple[int, str] | None = None
    silent_since: str | None = None  # since when no worker answers, ISO 8601


@dataclass(kw_only=True)
class ChunkDone:
    """The result of a chunk."""

    asked: int  # number of journeys that the update was sent to
    answered: int  # number of those that accepted or refused it
    after: tuple[int, str] | None  # the position of the last journey; None at the end
    left: int  # number of journeys of the operation without an answer


@dataclass(kw_only=True)
class Closing:
    """The end of an operation."""

    operation: str
    outcome: str  # ``finished``, ``stopped`` or ``failed``
    trouble: str | None = None  # why it failed, or which journeys were abandoned
    operator: str | None = None
    reason: str | None = None
    looked: bool = False  # True for a dry run, which changes no journey


@workflow.defn(name=WORKFLOW)
class OperationWorkflow:
    """Finds journeys, sends each an update, and stops on a signal."""

    def __init__(self) -> None:
        self._stopped: tuple[str, str] | None = None

    @workflow.signal(name=STOP, description="Asks no further journey.")
    def stop(self, argument: Any = None, *_: Any) -> None:
        """End the operation: ``{"operator": …, "reason": …}``. The first signal is recorded."""
        self._stopped = self._stopped or operator_of(argument)

    @workflow.run
    async def run(self, argument: Any = None, *_: Any) -> str:
        """Execute the operation, and return its outcome."""
        state = _read(argument)
        closing = Closing(operation=state.operation, outcome="finished", looked=state.dry_run)
        work = asyncio.create_task(self._carry_out(state, closing))
        try:
            await workflow.wait_condition(lambda: work.done() or self._stopped is not None)
        except asyncio.CancelledError:
            self._stopped = self._stopped or ("Temporal", "its workflow was cancelled")
        if self._stopped:
            work.cancel()
        goes_on = False
        try:
            goes_on = await work
        except (ActivityError, asyncio.CancelledError) as error:
            if self._stopped is None:
                closing.outcome = "failed"
                closing.trouble = reason_of(error, "it was ended from outside: see its workflow")
        if self._stopped:
            closing.outcome, (closing.operator, closing.reason) = "stopped", self._stopped
        elif goes_on:
            workflow.continue_as_new(state)
        await _call(CLOSE, closing, _SLACK)
        return closing.outcome

    async def _carry_out(self, state: OperationState, closing: Closing) -> bool:
        """Send the update to journey after journey. Return True if another run must continue."""
        if not state.surveyed:
            await _call(SURVEY, state.operation, _SURVEY)
            state.surveyed = True
        for _ in range(0 if state.dry_run else _CHUNKS):
            chunk = Chunk(
                operation=state.operation,
                rate=state.rate,
                most=most_of(state.rate),
                after=state.after,
                silent_since=state.silent_since,
            )
            span = timedelta(seconds=(chunk.most + 1) / chunk.rate) + _SLACK
            done = read_form(_DONE, await _call(OPERATE, chunk, span), OPERATE)
            workflow.set_current_details(f"{done.left} journeys have not answered yet")
            if not done.left:
                return False
            state.after = done.after
            if done.answered:
                state.silent_since, state.silences = None, 0
            elif done.asked and not await _is_patient(state, done, closing):
                return False
            if workflow.info().is_continue_as_new_suggested():
                break
        return not state.dry_run


async def _is_patient(state: OperationState, done: ChunkDone, closing: Closing) -> bool:
    """Back off after an unanswered chunk. Return False once the time limit is exceeded."""
    now = workflow.now()
    state.silent_since = state.silent_since or now.isoformat(timespec="seconds")
    if now - datetime.fromisoformat(state.silent_since) >= PATIENCE:
        closing.outcome = "failed"
        closing.trouble = f"no worker has answered since {state.silent_since}: {done.left} journeys were given up"
        return False
    pause = PAUSES[min(state.silences, len(PAUSES) - 1)]
    state.silences += 1
    await workflow.sleep(pause, summary="until a worker may answer")
    return True


async def _call(name: str, argument: Any, span: timedelta) -> Any:
    return await execute_plain(name, argument, span, OPERATORS, heartbeat=HEARTBEAT)


def most_of(rate: float) -> int:
    """Return the number of journeys of one activity at a rate."""
    return max(1, min(_MOST, int(rate * CHUNK.total_seconds())))


_DONE: Final = reader_of(ChunkDone)
_READER: Final = reader_of(OperationState)


def _read(argument: Any) -> OperationState:
    try:
        state = read_form(_READER, argument, WORKFLOW)
        if state.operation and state.rate >= SLOWEST:
            return state
    except ScenarioError:
        pass
    raise bad_argument(WORKFLOW, "come from the gateway", "NotAnOperation")
