"""Journeys to which several messages come in one workflow task, recorded and replayed on any version of Python.

    python -m tests.replay.bursts record ADDRESS FOLDER
    python -m tests.replay.bursts replay FOLDER…

The worker of the journeys is away while the messages are sent: when it is back, the order in which its tasks resume
decides what the journey does. Needs the packages in `NEEDED` and nothing of the worker's: activities are fakes.
"""

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

from temporalio import activity
from temporalio.api.enums.v1 import EventType
from temporalio.client import (
    Client,
    WorkflowExecutionStatus,
    WorkflowHandle,
    WorkflowHistory,
    WorkflowUpdateFailedError,
)
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner, Worker

from activities.channel_registry import CHANNELS
from activities.decision import decide
from activities.failures import SENDING, Failure, FailureKind
from activities.interface import (
    ADMIT,
    ADOPT,
    CLEAR,
    COUNT,
    DEPART,
    GOAL,
    JOURNEYS,
    RECALL,
    RELEASE,
    RENEW,
    REPORT_HELD,
    ActivityType,
    Admission,
    AdmissionResult,
    Delivery,
    DestinationPolicy,
    GoalEvent,
    GoalResult,
    LastAttempt,
    Renewal,
    Renewed,
    Sent,
)
from activities.retry import Retunings
from runtime.search_attributes import JOURNEY_STATE
from scenario.entry.entry import LARGEST_EVENT
from scenario.plan.compile import compile_plan
from scenario.plan.plan import dump_plan, shorten
from tests.scenarios import scenario_of, scenario_text
from workflows.background import Erase, Prune, SyncAudience
from workflows.batch import Batch
from workflows.campaign import CampaignWorkflow
from workflows.journey import Enter, Journey, UnknownWorkflow
from workflows.limits import MOST_SIGNALS
from workflows.operation import OperationWorkflow

NEEDED: Final = ("temporalio[pydantic]", "python-liquid", "pyyaml")
"""The packages that this module needs, and with it all workflow code."""

OTHERS: Final = (Batch, Enter, OperationWorkflow, CampaignWorkflow, Prune, Erase, SyncAudience, UnknownWorkflow)
"""All workflows of which histories are saved, apart from journeys."""
WHO: Final = {"operator": "ann", "reason": "incident 42"}
SMS: Final = "{sms: text, text: hi}"
_CAME: Final = "{sms: came, text: hi}"
GIVEN_UP: Final = 20.0
"""Seconds after which Temporal has given up an attempt with a timeout of one second."""
AWAY: Final = "5s"
"""A wait that ends while the worker is away, unless the machine is very slow: then less is recorded."""

Handle = WorkflowHandle[Any, dict[str, Any]]
Answer = asyncio.Future[dict[str, Any]]
Message = Callable[[Handle], Awaitable[Answer | None]]
"""Sends something to a journey. Returns the answer to come, if any."""


def event(name: str, n: int = 0, **more: Any) -> Message:
    return partial(_signal, "event", {"name": name, "properties": {"n": n, **more}})


def changed(**fields: Any) -> Message:
    return partial(_signal, "contact_changed", fields)


async def _signal(name: str, argument: dict[str, Any], handle: Handle) -> None:
    await handle.signal(name, argument)


def update(name: str, **more: Any) -> Message:
    return partial(_update, name, {**WHO, **more})


async def _update(name: str, argument: dict[str, Any], handle: Handle) -> Answer:
    execute = cast("Callable[..., Awaitable[dict[str, Any]]]", handle.execute_update)  # pyright: ignore[reportUnknownMemberType]
    answer = asyncio.ensure_future(execute(name, argument))
    await asyncio.wait({answer}, timeout=0.05)  # until it is at the server, which does not say so
    return answer


@dataclass(frozen=True)
class Burst:
    """A journey, and the messages that reach it in one workflow task.

    Attributes:
        steps: As a scenario has them.
        told: The messages, while the worker is away.
        state: Of the journey when the worker goes away: ``sending`` is after the first attempt of a delivery.
        before: Messages sent before that, once the journey is `waiting`.
        then: Messages sent after the worker is back.
        more: Other parts of the scenario.
        until: An event of the history that must be there before the worker is back.
        is_slow: Whether it takes long: it is recorded once, and replayed on all versions.
    """

    steps: Sequence[str]
    told: Sequence[Message]
    state: str = "waiting"
    before: Sequence[Message] = ()
    then: Sequence[Message] = ()
    more: str = ""
    until: EventType.ValueType | None = None
    is_slow: bool = False


_TWO: Final = (event("go", 1), event("go", 2))
_FIRED: Final = EventType.EVENT_TYPE_TIMER_FIRED
_WAIT_FOR: Final = "{wait_for: go, if: event.n == 2, for: 7d, then: [" + _CAME + "], else: [{exit: late}]}"
_SEVERAL: Final = (
    "{wait_for: {go: {if: event.n == 2, then: ["
    + _CAME
    + "]}, other: {if: event.n == 2}}, for: 7d, else: [{exit: late}]}"
)
_DATE: Final = '{wait: {until: "{{ contact.custom.date }}"}}'
_EXIT: Final = "exit: [{event: gone, if: event.n == 2}]\n"
_GONE: Final = (event("gone", 1), event("go", 1), event("gone", 2))
_REPEAT: Final = "{repeat: {every: EVERY, times: 3, until: {event: go, if: event.n == 2}}, steps: [" + _CAME + "]}"
_MOVES: Final = (changed(timezone="Asia/Tokyo"), event("go", 1), changed(timezone="America/New_York"))
_SLOW: Final = '{webhook: slow, url: "https://hooks.example.com/a", body: {}, retry: {initial_interval: 5h}}'
_SOON: Final = '{webhook: soon, url: "https://hooks.example.com/a", body: {}, retry: {initial_interval: 5s}}'
_NIGHT: Final = "{sms: night, text: hi}"
_REFUSED: Final = "{sms: refused, text: hi}"
_LEAVE: Final = update("leave")
_LAST: Final = "{{sms: {}, text: hi, timeout: 1s, on_unknown: continue, retry: {{initial_interval: 5h}}}}"
_TWICE: Final = update("retune", retry={"initial_interval": "1s", "maximum_attempts": 2})

BURSTS: Final[dict[str, Burst]] = {
    # ---- waits
    "wait": Burst(['{wait: {until: "10:00", on: [tue]}}', SMS], _MOVES, then=[update("skip_step")]),
    "wait-over": Burst([f"{{wait: {AWAY}}}", SMS, "{wait_for: go, if: event.n == 1, for: 7d}"], _MOVES, until=_FIRED),
    "wait-skipped": Burst(["{wait: 30d}", SMS], (*_TWO, update("skip_step"), changed(firstname="Zoë"))),
    "wait-left": Burst(["{wait: 30d}", SMS], _GONE, more=_EXIT),
    "date": Burst(
        [_DATE, SMS], (changed(custom={"date": "2100-01-01"}), changed(custom={"date": "2020-01-01"}), event("go"))
    ),
    # ---- events
    "event": Burst([_WAIT_FOR, SMS], _TWO),
    "event-after-another": Burst([_WAIT_FOR, SMS], _TWO, before=[event("go", 1)]),
    "event-in-time": Burst(
        [_WAIT_FOR.replace("7d", AWAY), SMS], [event("go", 3), event("go", 2)], before=[event("go", 1)], until=_FIRED
    ),
    "event-too-late": Burst([_WAIT_FOR.replace("7d", AWAY), SMS], [event("go", 1), event("go", 3)], until=_FIRED),
    "event-too-large": Burst(
        [_WAIT_FOR, SMS], (event("go", 2, much="x" * LARGEST_EVENT), event("go", 1), event("go", 2))
    ),
    "event-without-end": Burst([_WAIT_FOR.replace("for: 7d, ", "").replace(", else: [{exit: late}]", "")], _TWO),
    "event-updates": Burst(
        [_WAIT_FOR, SMS],
        (event("go", 1), update("pause"), event("go", 2), update("resume"), changed(firstname="Zoë")),
        then=[update("resume")],
    ),
    "several": Burst([_SEVERAL, SMS], (event("go", 1), event("other", 1), event("go", 2), event("other", 2))),
    "several-in-time": Burst(
        [_SEVERAL.replace("7d", AWAY), SMS], (event("go", 1), event("other", 2), changed(firstname="Zoë")), until=_FIRED
    ),
    "event-left": Burst([_WAIT_FOR, SMS], (*_TWO, *_GONE), more=_EXIT),
    # ---- repetitions
    "repeat": Burst([_REPEAT.replace("EVERY", "30d"), SMS], (*_TWO, changed(timezone="Asia/Tokyo"))),
    "repeat-round": Burst([_REPEAT.replace("EVERY", AWAY), SMS], _TWO, until=_FIRED),
    "repeat-moved": Burst([_REPEAT.replace("EVERY", "30d"), SMS], _MOVES, then=[_LEAVE]),
    # ---- held, paused
    "held": Burst(
        [_REFUSED, SMS], (event("go", 1), changed(firstname="Zoë"), update("retry_step"), event("go", 2)), state="held"
    ),
    "held-skipped": Burst([_REFUSED, SMS], (*_TWO, update("retry_step"), update("skip_step")), state="held"),
    "held-left": Burst([_REFUSED, SMS], (update("retry_step"), *_GONE), state="held", more=_EXIT),
    "held-date": Burst(
        [_DATE, SMS], (changed(custom={"date": "2020-01-01"}), event("go"), update("retry_step")), state="held"
    ),
    "paused": Burst(
        ["{wait: 30d}", _WAIT_FOR],
        (*_TWO, update("resume")),
        before=[update("pause"), update("skip_step")],
        state="paused",
    ),
    "paused-gone": Burst(
        ["{wait: 30d}", SMS], _GONE, state="paused", before=[update("pause"), update("skip_step")], more=_EXIT
    ),
    "paused-left": Burst(
        ["{wait: 30d}", SMS],
        (update("resume"), *_GONE),
        before=[update("pause"), update("skip_step")],
        state="paused",
        more=_EXIT,
    ),
    # ---- deliveries
    "back-off": Burst([_SLOW, SMS], (*_TWO, changed(firstname="Zoë"), update("skip_step")), state="sending"),
    "back-off-left": Burst([_SLOW, SMS], _GONE, state="sending", more=_EXIT),
    "delivered": Burst(
        [_SOON, SMS],
        (event("gone", 1), *_GONE),
        state="sending",
        more=_EXIT,
        until=EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED,
    ),
    "delivered-updates": Burst(
        [_SOON, SMS],
        (*_TWO, update("pause"), update("resume"), update("skip_step", step="soon")),
        then=[update("resume")],
        state="sending",
        until=EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED,
    ),
    "retuned": Burst(
        [_SLOW, SMS],
        (update("retune", retry={"initial_interval": "1h"}), *_TWO, update("retune", retry={"initial_interval": "2h"})),
        state="sending",
        then=[_LEAVE],
    ),
    "unsent": Burst([_LAST.format("unsent"), SMS], (*_TWO, _TWICE), state="sending"),
    "lost": Burst([_LAST.format("lost"), SMS], (*_TWO, _TWICE), state="sending", is_slow=True),
    "marked": Burst([_LAST.format("marked"), SMS], (*_TWO, _TWICE), state="sending", is_slow=True),
    "kept-back": Burst([_NIGHT, SMS], _MOVES),
    "kept-back-at-once": Burst([_NIGHT, SMS], (*_TWO, update("retry_step", now=True), changed(firstname="Zoë"))),
    "kept-back-over": Burst([_NIGHT.replace("night", "evening"), SMS], (*_TWO, changed(firstname="Zoë")), until=_FIRED),
    "kept-back-paused": Burst(
        [_NIGHT, SMS], (*_MOVES, update("pause"), event("go", 2), update("resume")), then=[update("resume")]
    ),
    "kept-back-left": Burst([_NIGHT, SMS], (*_MOVES, *_GONE), more=_EXIT),
    # ---- goals, versions, runs
    "goal": Burst(
        [_WAIT_FOR, SMS],
        (event("bought", 1), event("bought", 2), *_TWO, event("bought", 3)),
        more="goal: {event: bought, if: event.n == 2, within: 14d}\n",
    ),
    "migrated": Burst([_WAIT_FOR, SMS], (event("go", 1), update("migrate", version=2), event("go", 2))),
    "signals": Burst([_WAIT_FOR, SMS], [*[changed(firstname="Zoë")] * (MOST_SIGNALS - 1), event("go", 2)]),
}
"""By the name of the history: every kind of step that waits, every way in which a wait ends."""


def _answering(kind: ActivityType[Any, Any], answer: Any = None) -> Callable[..., Awaitable[Any]]:
    @activity.defn(name=kind.name)
    async def answered(_: Any) -> Any:
        return answer

    return answered


@dataclass
class Fakes:
    """The activities: all succeed, except as the name of a step says; retry policies are changed at the server."""

    plans: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    attempts: dict[str, int] = field(default_factory=dict[str, int])

    @activity.defn(name=ADMIT.name)
    async def admit(self, admission: Admission) -> AdmissionResult:
        return AdmissionResult(version=1, plan=shorten(self.plans[admission.entry["scenario"]]), zone="Europe/Paris")

    @activity.defn(name=RENEW.name)
    async def renew(self, renewal: Renewal) -> Renewed:
        return Renewed(version=2, plan=self.plans[renewal.scenario], at=renewal.place.at)

    @activity.defn(name=GOAL.name)
    async def goal(self, happened: GoalEvent) -> GoalResult:
        return GoalResult(reached=happened.event.properties["n"] == 2)

    def sender(self, name: str) -> Callable[[Delivery], Awaitable[Sent]]:
        @activity.defn(name=name)
        async def send(delivery: Delivery) -> Sent:
            return await self._send(delivery.of_step(activity.info().activity_id))

        return send

    async def _send(self, delivery: Delivery) -> Sent:
        scheduled = self.attempts[delivery.name] = self.attempts.get(delivery.name, 0) + 1
        failing = partial(Failure, destination="sms", attempt=0 if delivery.step in ("night", "evening") else 1)
        match delivery.step:
            case "slow" | "lost" | "marked" if scheduled == 1 or delivery.step == "slow":
                raise failing(kind=FailureKind.RETRY, reason="it answered 503").as_error()
            case "soon" if activity.info().attempt == 1:
                raise failing(kind=FailureKind.RETRY, reason="it answered 503").as_error()
            case "unsent" if scheduled <= 2:
                raise failing(kind=FailureKind.RETRY, reason="not noted", unsent=True).as_error()
            case "lost" | "marked" if scheduled == 2:
                if delivery.step == "marked":
                    activity.heartbeat(SENDING)
                await asyncio.sleep(GIVEN_UP)
                return Sent(status=200)
            case "refused" if scheduled == 1:
                raise failing(kind=FailureKind.PERMANENT, reason="it answered 422").as_error()
            case "night" | "evening" if scheduled == 1:
                due = datetime.now(UTC) + timedelta(seconds=6 if delivery.step == "evening" else 6 * 3600)
                late = failing(kind=FailureKind.NOT_BEFORE, reason="quiet hours", next_try_at=due.isoformat())
                raise late.as_error()
            case _:
                return Sent(attempt=1, status=200)


def _plan(name: str, burst: Burst) -> dict[str, Any]:
    more = f"timezone: Europe/Paris\n{burst.more}"
    return dump_plan(compile_plan(scenario_of(scenario_text(*burst.steps, name=name, trigger="segment", more=more))))


async def _until(what: str, ready: Callable[[], Awaitable[bool]]) -> None:
    try:
        async with asyncio.timeout(60):
            while not await ready():
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise TimeoutError(what) from None


class Recorder:
    """Drives the bursts against a server, and writes their histories.

    Args:
        client: Of the server.
        bursts: Those to record.
    """

    def __init__(self, client: Client, bursts: Mapping[str, Burst]) -> None:
        self._client = client
        self._bursts = bursts
        self._fakes = Fakes({name: _plan(name, burst) for name, burst in bursts.items()})
        self._handles: dict[str, Handle] = {}

    async def record(self, folder: Path) -> None:
        timed = [name for name, burst in self._bursts.items() if burst.until is not None]
        quiet = [name for name in self._bursts if name not in timed]
        async with self._senders():
            async with self._journeys():
                for some in (quiet, timed):  # the latter as late as can be: their time is short
                    await asyncio.gather(*map(self._begin, some))
            told = [one for some in await asyncio.gather(*map(self._tell, (*timed, *quiet))) for one in some]
            async with self._journeys():
                await asyncio.gather(*map(_answered, told))
                for name in self._bursts:
                    await self._end(name, folder)

    @asynccontextmanager
    async def _journeys(self) -> AsyncGenerator[None]:
        fakes = self._fakes
        async with Worker(
            self._client,
            task_queue=JOURNEYS,
            workflows=[Journey],
            activities=[
                *(fakes.admit, fakes.renew, fakes.goal, decide, Retunings(self._client).retune),
                *(_answering(CLEAR, DestinationPolicy()), _answering(RECALL, LastAttempt())),
                *map(_answering, (DEPART, COUNT, ADOPT, RELEASE, REPORT_HELD)),
            ],
            workflow_runner=UnsandboxedWorkflowRunner(),
            # Else the server would keep the messages for the worker that has gone.
            sticky_queue_schedule_to_start_timeout=timedelta(seconds=1),
        ):
            yield

    @asynccontextmanager
    async def _senders(self) -> AsyncGenerator[None]:
        async with AsyncExitStack() as stack:
            for channel in CHANNELS.values():
                if channel.queue == JOURNEYS:  # which has the worker of the journeys; no burst sends there
                    continue
                send = self._fakes.sender(channel.activity)
                await stack.enter_async_context(Worker(self._client, task_queue=channel.queue, activities=[send]))
            yield

    async def _begin(self, name: str) -> None:
        contact = {"id": 1, "cellphone": "+33612345678", "custom": {"date": "2099-01-01"}}
        if name == "held-date":
            contact["custom"] = {}
        entry = {"scenario": name, "contact": contact, "trigger": {"type": "segment"}}
        handle = self._handles[name] = await self._client.start_workflow(
            "Journey", entry, id=f"burst/{name}/{os.getpid()}", task_queue=JOURNEYS, result_type=dict
        )
        burst = self._bursts[name]
        if burst.before:
            await _until(f"{name}: waiting", partial(self._is, name, "waiting"))
        for message in burst.before:
            await _answered(await message(handle))
        await _until(f"{name}: {burst.state}", partial(self._is, name, burst.state))

    async def _is(self, name: str, state: str) -> bool:
        if state == "sending":
            return self._fakes.attempts.get(name, 0) > 0
        shown = (await self._handles[name].describe()).typed_search_attributes
        return shown.get(JOURNEY_STATE) == state

    async def _is_over(self, name: str) -> bool:
        return (await self._handles[name].describe()).status is WorkflowExecutionStatus.COMPLETED

    async def _tell(self, name: str) -> list[Answer | None]:
        told = [await message(self._handles[name]) for message in self._bursts[name].told]
        if (kind := self._bursts[name].until) is not None:
            await _until(f"{name}: {kind}", partial(self._holds, name, kind))
        return told

    async def _holds(self, name: str, kind: EventType.ValueType) -> bool:
        history = await self._handles[name].fetch_history()
        return any(event.event_type is kind for event in history.events)

    async def _end(self, name: str, folder: Path) -> None:
        handle = self._handles[name]
        for message in self._bursts[name].then:
            await _answered(await message(handle))
        await _until(f"{name}: over", partial(self._is_over, name))
        runs = (handle.first_execution_run_id, (await handle.describe()).run_id)
        for run, ending in zip(dict.fromkeys(runs), ("", "-2"), strict=False):
            history = await self._client.get_workflow_handle(handle.id, run_id=run).fetch_history()
            write(folder / f"{file_of(name)}{ending}.json", history)


async def _answered(answer: Answer | None) -> None:
    """Wait for an answer; an update that comes too late, or in another order than it was sent, is refused."""
    try:
        if answer is not None:
            await answer
    except WorkflowUpdateFailedError:
        pass
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise


def write(path: Path, history: WorkflowHistory) -> None:
    """Write a history, without stack traces and without the machine's name, which is in identities and queues."""
    path.write_text(json.dumps(_anonymous(json.loads(history.to_json())), ensure_ascii=False, indent=1) + "\n", "utf-8")


def _anonymous(value: Any) -> Any:
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
        return {name: _anonymous(item) for name, item in items if name != "stackTrace"}
    if isinstance(value, list):
        return [_anonymous(item) for item in cast("list[Any]", value)]
    return value.replace(socket.gethostname(), "recorder") if isinstance(value, str) else value


def file_of(name: str) -> str:
    return f"burst-{name}"


async def record(address: str, folder: Path, names: Sequence[str] = ()) -> None:
    client = await Client.connect(address, data_converter=pydantic_data_converter)
    await Recorder(client, {name: BURSTS[name] for name in names or BURSTS}).record(folder)


async def replay(folders: Sequence[Path]) -> list[str]:
    """Replay all histories in folders. Return a line for each that does not replay."""
    replayer = Replayer(
        workflows=[Journey, *OTHERS],
        workflow_runner=UnsandboxedWorkflowRunner(),
        data_converter=pydantic_data_converter,
    )

    async def histories() -> AsyncIterator[WorkflowHistory]:
        for path in (path for folder in folders for path in sorted(folder.glob("*.json"))):
            yield WorkflowHistory.from_json(f"{path.parent.name}/{path.name}", path.read_text("utf-8"))

    async with replayer.workflow_replay_iterator(histories()) as results:
        return [f"{one.history.workflow_id}: {one.replay_failure}" async for one in results if one.replay_failure]


async def main(command: str, *arguments: str) -> int:
    if command == "replay":
        failed = await replay([Path(folder) for folder in arguments])
        sys.stdout.write("".join(f"{line}\n" for line in failed))
        return bool(failed)
    address, folder = arguments
    await record(address, Path(folder), [name for name, burst in BURSTS.items() if not burst.is_slow])
    return 0


if __name__ == "__main__":
    status = asyncio.run(main(*sys.argv[1:]))
    sys.stdout.flush()
    os._exit(status)  # the SDK may crash an interpreter that ends by itself
