"""A campaign: works on the lines of a file in chunks, which survive the processes that work on them.

In the gear *enter*, a gateway starts a journey for each line. In the gear *blast*, a worker sends the message of each
line. An activity first reads the file and stores its lines. Where each contact has its own time, lines that are due at
the same time form a group, and the campaign works on one group after the other.

The history holds the campaign's name and positions. The store holds the lines and their outcomes, which the activities
write.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError
from typing_extensions import TypeIs

from activities.background import BLAST, LINES, CampaignChunk
from activities.interface import CAMPAIGNS, priority_of
from scenario.entry.entry import read_form, reader_of
from scenario.errors import ScenarioError
from scenario.type_guards import mapping_or_empty
from workflows.primitives import AGAIN, bad_argument, execute_plain, operator_of, reason_of, refusal, wait

WORKFLOW: Final = "Campaign"
PREPARE: Final = "prepare_campaign"
ENTER: Final = "enter_lines"
RECORD: Final = "record_campaign"
WINDOW: Final = 4
"""Chunks that are worked on at the same time."""
HEARTBEAT: Final = timedelta(seconds=10)
"""Time after which another gateway continues a chunk if its gateway was killed."""
UNCONFIRMED: Final = timedelta(days=1)
"""Time after which a prepared campaign is stopped unless it is started."""
FASTEST: Final = 10_000.0
SLOWEST: Final = 0.01
_SLACK: Final = timedelta(hours=1)  # of a chunk, beyond the time that it takes at its rate
_READING: Final = timedelta(hours=12)  # maximum time to read a file
_SETTLES: Final = timedelta(seconds=2)  # the file is shown as read some moments before this workflow knows of it
_CHUNKS: Final = 200  # a run; then it continues as new


@dataclass(kw_only=True)
class CampaignGroup:
    """The lines of a campaign that are due at the same time. They have the places 1 to `lines`."""

    lines: int
    due: str = ""  # ISO 8601; empty: with the campaign


@dataclass(kw_only=True)
class CampaignState:
    """The argument of a campaign, which continue-as-new carries along."""

    campaign: str
    rate: float  # maximum number of lines a second
    preparing: bool = False  # its lines are not stored yet
    confirmed: bool = True  # its start was requested
    lines: int = 0  # the last place of the group that it works on
    due: str = ""  # of this group, see `CampaignGroup`
    groups: list[CampaignGroup] = field(default_factory=list[CampaignGroup])  # the following ones
    next: int = 1  # the first place that no chunk has had yet
    open: list[int] = field(default_factory=list[int])  # first places of chunks that were interrupted
    starts_at: str = ""  # ISO 8601; empty: immediately
    paused: bool = False
    queue: str = ""  # of the workers that send the messages in the gear blast; empty in the gear enter


@dataclass(kw_only=True)
class CampaignChange:
    """A change of a campaign, to be recorded."""

    campaign: str
    change: str  # ``start``, ``schedule``, ``pause``, ``resume``, ``retune``, ``finished``, ``stopped`` or ``failed``
    operator: str | None = None
    reason: str | None = None
    rate: float | None = None
    trouble: str | None = None
    due: str = ""  # for ``schedule``: the time of the next group, in ISO 8601


@workflow.defn(name=WORKFLOW)
class CampaignWorkflow:
    """Works on chunk after chunk. Updates start, pause, resume, retune and stop it."""

    @workflow.init
    def __init__(self, argument: Any = None, *_: Any) -> None:
        given = _read(argument)
        self._is_sound = given is not None  # an error here would leave the workflow's coroutine unawaited
        self._state = given or CampaignState(campaign="", rate=SLOWEST, lines=0)
        self._stopped: CampaignChange | None = None
        self._changed = self._ended = self._busy = self._starting = False
        self._rounds = 0  # number of rounds that are over

    @workflow.update(name="start", description="Starts a campaign that waits for that once it is prepared.")
    async def start(self, argument: Any = None, *_: Any) -> None:
        """Start: ``{"operator": …, "reason": …}``."""
        state = self._state
        if state.preparing and not state.confirmed:
            await wait(
                lambda: not state.preparing or self._stopped is not None or self._ended, _SETTLES, "for the file"
            )
        self._check(state.confirmed or self._starting, "the campaign was started already")
        self._check(state.preparing, "the campaign is being prepared: start it once that is done")
        self._starting = True  # another start may have waited for the file, too
        try:
            await self._record("start", argument)
            state.confirmed = True
        finally:
            self._starting = False

    @workflow.update(name="pause", description="Starts no further journey until resumed.")
    async def pause(self, argument: Any = None, *_: Any) -> None:
        """Pause: ``{"operator": …, "reason": …}``. It is answered once all starts in progress are over."""
        self._check(self._state.paused, "the campaign is paused already")
        self._state.paused = True
        await self._interrupt("pause", argument)

    @workflow.update(name="resume", description="Continues a paused campaign.")
    async def resume(self, argument: Any = None, *_: Any) -> None:
        """Resume: ``{"operator": …, "reason": …}``."""
        self._check(not self._state.paused, "the campaign is not paused")
        self._state.paused = False
        await self._record("resume", argument)

    @workflow.update(name="retune", description="Changes the rate.")
    async def retune(self, argument: Any = None, *_: Any) -> None:
        """Change the rate: ``{"operator": …, "reason": …, "rate": lines a second}``, also of chunks in progress."""
        rate = mapping_or_empty(argument).get("rate")
        self._check(not _is_rate(rate), f"the rate must be {SLOWEST:g} to {FASTEST:,.0f} lines a second")
        self._state.rate = float(rate or 0.0)
        await self._interrupt("retune", argument)

    @workflow.update(name="stop", description="Ends the campaign. Journeys that were started continue.")
    async def stop(self, argument: Any = None, *_: Any) -> None:
        """Stop: ``{"operator": …, "reason": …}``."""
        self._check(False, "")
        self._stopped = self._change("stopped", argument)
        await workflow.wait_condition(lambda: self._ended)

    @workflow.run
    async def run(self, argument: Any = None, *_: Any) -> str:
        """Work on the lines to the end, and return the outcome."""
        if not self._is_sound:
            raise bad_argument(WORKFLOW, "come from the gateway", "NotACampaign")
        state = self._state
        end = CampaignChange(campaign=state.campaign, change="finished")
        try:
            await self._prepare()
            await self._work_on_groups()
        except ActivityError as error:
            end.change, end.trouble = "failed", reason_of(error, "its work failed: see its workflow")
        await self._save(self._stopped or end)
        self._ended = True
        await workflow.wait_condition(workflow.all_handlers_finished)
        return (self._stopped or end).change

    async def _prepare(self) -> None:
        """Read the file, unless that was done, and wait for the start. Raise ActivityError if it cannot be used."""
        state = self._state
        if state.preparing:
            task = asyncio.create_task(self._read_file())
            await workflow.wait_condition(lambda: task.done() or self._stopped is not None)
            task.cancel()
            await workflow.wait([task])
            error = None if task.cancelled() else task.exception()
            if self._stopped is not None:
                return
            if error is not None:
                raise error
            state.groups, state.preparing = task.result(), False
        if not state.confirmed:
            await wait(lambda: state.confirmed or self._stopped is not None, UNCONFIRMED, "for the confirmation")
            if not state.confirmed:
                who = {"operator": "scenario", "reason": "nobody started it within a day"}
                self._stopped = self._stopped or self._change("stopped", who)
        await self._until(state.starts_at)
        state.starts_at = ""

    async def _until(self, moment: str) -> None:
        if moment:
            left = datetime.fromisoformat(moment) - workflow.now()
            await wait(lambda: self._stopped is not None, left, "until the start")

    async def _read_file(self) -> list[CampaignGroup]:
        groups = await execute_plain(PREPARE, self._state.campaign, _READING, CAMPAIGNS, heartbeat=HEARTBEAT)
        return read_form(_GROUPS, groups, PREPARE)

    async def _work_on_groups(self) -> None:
        """Work on the lines to the end, or until it is stopped. Raise ActivityError if a chunk failed terminally."""
        state, rounds = self._state, 0
        while self._stopped is None:
            if not state.open and state.next > state.lines:
                if not state.groups:
                    return
                group = state.groups.pop(0)
                state.next, state.lines, state.due = 1, group.lines, group.due
                if group.due and datetime.fromisoformat(group.due) > workflow.now():
                    await self._save(CampaignChange(campaign=state.campaign, change="schedule", due=group.due))
                    await self._until(group.due)
                continue
            if state.paused:
                await workflow.wait_condition(lambda: not state.paused or self._stopped is not None)
                continue
            rounds += 1
            if rounds * WINDOW > _CHUNKS or workflow.info().is_continue_as_new_suggested():
                await workflow.wait_condition(lambda: workflow.all_handlers_finished() or self._stopped is not None)
                if self._stopped is not None:
                    return
                workflow.continue_as_new(state)
            await self._round()

    async def _round(self) -> None:
        """Work on a few chunks concurrently until they are done or something changes. Raise as `_work_on_groups`."""
        state, self._changed = self._state, False
        firsts, state.open = state.open[:WINDOW], state.open[WINDOW:]
        while len(firsts) < WINDOW and state.next <= state.lines:
            firsts.append(state.next)
            state.next += LINES
        tasks = {first: asyncio.create_task(self._work(first, 1 / len(firsts))) for first in firsts}
        self._busy = True
        await workflow.wait_condition(
            lambda: self._changed or self._stopped is not None or all(task.done() for task in tasks.values())
        )
        for task in tasks.values():
            task.cancel()
        await workflow.wait(list(tasks.values()))
        self._busy, self._rounds = False, self._rounds + 1
        for first, task in tasks.items():
            error = None if task.cancelled() else task.exception()
            if error and _is_final(error):
                raise error
            if error or task.cancelled():
                state.open.append(first)  # cancelled, or lost with its gateway while it was being cancelled
        workflow.set_current_details(f"at entry {min(firsts):,} of {state.lines:,}")

    async def _work(self, first: int, share: float) -> None:
        state, last = self._state, min(first + LINES - 1, self._state.lines)
        rate = state.rate * share
        chunk = CampaignChunk(campaign=state.campaign, first=first, last=last, rate=rate, share=share, due=state.due)
        span = timedelta(seconds=(last - first + 2) / rate) + _SLACK
        activity, queue = (BLAST, state.queue) if state.queue else (ENTER, None)
        await execute_plain(activity, chunk, span, CAMPAIGNS, heartbeat=HEARTBEAT, queue=queue)

    def _check(self, is_wrong: bool, why: str) -> None:
        """Refuse an update that cannot be carried out."""
        if self._stopped is not None or self._ended:
            raise refusal("the campaign has ended")
        if is_wrong:
            raise refusal(why)

    def _change(self, change: str, argument: Any) -> CampaignChange:
        operator, reason = operator_of(argument)
        campaign, rate = self._state.campaign, self._state.rate
        return CampaignChange(campaign=campaign, change=change, operator=operator, reason=reason, rate=rate)

    async def _interrupt(self, change: str, argument: Any) -> None:
        """Record a change that chunks in progress do not know, and wait until they are over."""
        self._changed, before = True, self._rounds
        await self._record(change, argument)
        await workflow.wait_condition(lambda: not self._busy or self._rounds != before)

    async def _record(self, change: str, argument: Any) -> None:
        await self._save(self._change(change, argument))

    async def _save(self, change: CampaignChange) -> None:
        await workflow.execute_activity(
            RECORD, change, start_to_close_timeout=_SLACK, retry_policy=AGAIN, priority=priority_of(CAMPAIGNS)
        )


def _is_final(error: BaseException) -> bool:
    """Return True if a chunk would fail again."""
    cause = error.cause if isinstance(error, ActivityError) else error
    return isinstance(cause, ApplicationError) and cause.non_retryable


def _is_rate(rate: object) -> TypeIs[float]:
    return isinstance(rate, int | float) and SLOWEST <= rate <= FASTEST


_READER: Final = reader_of(CampaignState)
_GROUPS: Final = reader_of(list[CampaignGroup])


def _read(argument: Any) -> CampaignState | None:
    """Return the state of an argument, or None if it is no campaign's."""
    try:
        state = read_form(_READER, argument, WORKFLOW)
    except ScenarioError:
        return None
    return state if _is_rate(state.rate) else None
