"""A stage for journeys: the time-skipping server, real admission on a real store, and channels that tests direct."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import itertools
import subprocess
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal, cast

import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio import activity, workflow
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.api.testservice.v1 import SleepRequest
from temporalio.api.workflowservice.v1 import ListOpenWorkflowExecutionsRequest
from temporalio.bridge.testing import EphemeralServer
from temporalio.client import (
    Client,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowHistory,
    WorkflowUpdateFailedError,
)
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment
from temporalio.testing._workflow import _V1WorkflowEnvironment  # pyright: ignore[reportPrivateUsage]
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner, Worker

from activities.admission import AdmissionActivities
from activities.attempt import DeliveryRecords
from activities.channel_registry import EMAIL, SMS, WEBHOOK
from activities.content import Content, LoadedVersion
from activities.decision import GoalActivities, Renewals, decide
from activities.failures import Failure, FailureKind
from activities.interface import (
    CLEAR,
    JOURNEYS,
    RETUNE,
    Delivery,
    DestinationPolicy,
    DestinationPolicyRequest,
    Retuning,
    RetuningResult,
    Sent,
)
from activities.outgoing.sender import HeldReports
from activities.passages import PassageWriter
from runtime.data_converter import CONVERTER
from runtime.search_attributes import ALL
from runtime.store import Store, StoredEntry
from scenario.entry.entry import parse_entry
from scenario.entry.values import PlatformDates
from scenario.model.scenario import digest, document
from scenario.plan.compile import compile_plan
from scenario.plan.plan import dump_plan
from tests.scenarios import scenario_of
from tests.servers import reserved_port, time_skipping_server
from tests.updates import until_admitted
from workflows.journey import Enter, Journey, UnknownWorkflow

Script = Callable[[Delivery, int], Awaitable[Sent] | Sent]


@dataclass
class Desk:
    """The other activities that tests direct: what destinations ask for, and changes of deliveries under way."""

    cleared: DestinationPolicy = field(default_factory=DestinationPolicy)
    clearances: list[str] = field(default_factory=list[str])
    blocked: asyncio.Event | None = None
    retunings: list[Retuning] = field(default_factory=list[Retuning])
    retuned: RetuningResult | Exception = field(default_factory=RetuningResult)

    @activity.defn(name=CLEAR.name)
    async def clear(self, clearance: DestinationPolicyRequest) -> DestinationPolicy:
        self.clearances.append(clearance.destination)
        if self.blocked is not None:
            await self.blocked.wait()
        return self.cleared

    @activity.defn(name=RETUNE.name)
    async def retune(self, retuning: Retuning) -> RetuningResult:
        self.retunings.append(retuning)
        if isinstance(self.retuned, Exception):
            raise self.retuned
        return self.retuned


@dataclass
class Attempt:
    """What a channel was asked to send, and when by the server's clock."""

    channel: str
    delivery: Delivery
    number: int
    at: datetime


@dataclass
class Channels:
    """The channels' activities: they note what comes, and do what the test says."""

    environment: WorkflowEnvironment
    attempts: list[Attempt] = field(default_factory=list[Attempt])
    scripts: dict[str, Script] = field(default_factory=dict[str, Script])

    async def _send(self, channel: str, delivery: Delivery) -> Sent:
        info = activity.info()
        delivery = delivery.of_step(info.activity_id)
        at = (await self.environment.get_current_time()).astimezone(UTC)
        self.attempts.append(Attempt(channel, delivery, info.attempt, at))
        script = self.scripts.get(delivery.step)
        if script is None:
            return Sent(status=200, attempt=info.attempt)
        sent = script(delivery, info.attempt)
        return sent if isinstance(sent, Sent) else await sent

    @activity.defn(name=EMAIL.activity)
    async def send_email(self, delivery: Delivery) -> Sent:
        return await self._send("email", delivery)

    @activity.defn(name=SMS.activity)
    async def send_sms(self, delivery: Delivery) -> Sent:
        return await self._send("sms", delivery)

    @activity.defn(name=WEBHOOK.activity)
    async def send_webhook(self, delivery: Delivery) -> Sent:
        return await self._send("webhook", delivery)

    def of(self, step: str) -> list[Attempt]:
        return [attempt for attempt in self.attempts if attempt.delivery.step == step]


async def no_activity(handle: WorkflowHandle[Any, Any]) -> None:
    """Wait (in real time) until the server knows how a journey's activity ended."""
    while (await handle.describe()).raw_description.pending_activities:
        await asyncio.sleep(0.02)


def worker(client: Client, workflows: Sequence[type], activities: Sequence[Callable[..., Any]], **more: Any) -> Worker:
    given: dict[str, Any] = {"task_queue": JOURNEYS, "workflow_runner": UnsandboxedWorkflowRunner(), **more}
    return Worker(client, workflows=workflows, activities=activities, **given)


async def replay(*histories: WorkflowHistory) -> None:
    replayer = Replayer(workflows=[Journey], workflow_runner=UnsandboxedWorkflowRunner(), data_converter=CONVERTER)
    for history in histories:
        await replayer.replay_workflow(history)


WHO: Final = {"operator": "ann", "reason": "incident 42"}
"""The operator of updates."""


async def refusal(answer: Awaitable[Any]) -> str:
    with pytest.raises(WorkflowUpdateFailedError) as caught:
        await answer
    assert isinstance(caught.value.cause, ApplicationError)
    return caught.value.cause.message


async def failure_of(result: Awaitable[Any]) -> tuple[str | None, str]:
    with pytest.raises(WorkflowFailureError) as caught:
        await result
    assert isinstance(caught.value.cause, ApplicationError)
    return caught.value.cause.type, caught.value.cause.message


def outcomes(result: dict[str, Any]) -> list[tuple[str, str]]:
    return [(step["id"], step["outcome"]) for step in result["steps"]]


def deep(levels: int) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for _ in range(levels):
        data = {"a": data}
    return data


def raising(failure: Failure) -> Script:
    def script(delivery: Delivery, attempt: int) -> Sent:
        raise failure.as_error()

    return script


def failing(
    kind: FailureKind, *, times: int = 10_000, status: int | None = 503, reason: str = "it answered 503"
) -> Script:
    def script(delivery: Delivery, attempt: int) -> Sent:
        if attempt > times:
            return Sent(status=200, attempt=attempt)
        failure = Failure(kind=kind, reason=reason, destination="hooks.example.com", attempt=attempt, status=status)
        raise failure.as_error()

    return script


def not_before(moment: datetime, attempt: int = 0) -> ApplicationError:
    """The error of a delivery that must not leave before a moment, as `OpenAttempt.permitted` raises it."""
    return Failure(
        kind=FailureKind.NOT_BEFORE,
        reason="quiet hours",
        destination="sms",
        attempt=attempt,
        error="quiet",
        turned_away=True,
        next_try_at=moment.isoformat(timespec="seconds"),
    ).as_error()


def after(gate: asyncio.Event, then: Script | None = None) -> Script:
    """A script that waits, then does what another does; without one, it delivers."""

    async def script(delivery: Delivery, attempt: int) -> Sent:
        await gate.wait()
        sent = then(delivery, attempt) if then is not None else Sent(status=200, attempt=attempt)
        return sent if isinstance(sent, Sent) else await sent

    return script


def timers(history: WorkflowHistory) -> list[Any]:
    started = "timer_started_event_attributes"
    return [event.timer_started_event_attributes for event in history.events if event.HasField(started)]


def _name_of(made: Callable[..., Any]) -> str | None:
    return activity._Definition.must_from_callable(made).name  # pyright: ignore


@dataclass
class Stage:
    environment: WorkflowEnvironment
    store: Store
    channels: Channels
    desk: Desk
    task_timeout: timedelta | None = None
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    passages: PassageWriter = field(init=False)

    def __post_init__(self) -> None:
        self.passages = PassageWriter(self.store)  # not entered: tests flush it

    @property
    def client(self) -> Client:
        return self.environment.client

    def journeys(self, *instead: Callable[..., Any], **options: Any) -> Worker:
        """Return a worker of journeys, some of whose local activities are other ones."""
        store, desk, content = self.store, self.desk, Content(self.store)
        admissions, renewals = (
            AdmissionActivities(content, store, PlatformDates("Europe/Paris")),
            Renewals(content, store),
        )
        records = DeliveryRecords(store)
        usual = [
            *(admissions.admit, admissions.identify, admissions.depart, admissions.count, decide, desk.clear),
            *(GoalActivities(content, store).goal, renewals.amend, renewals.renew, renewals.adopt),
            *(records.recall, records.release, HeldReports(store).report_held, desk.retune),
        ]
        own = {_name_of(one): one for one in (*usual, *instead)}
        options = {"interceptors": [self.passages], **options}
        return worker(self.client, [Journey, Enter, UnknownWorkflow], [*own.values()], **options)

    def senders(self) -> list[Worker]:
        sending = ((EMAIL, self.channels.send_email), (SMS, self.channels.send_sms))
        return [
            Worker(self.client, task_queue=channel.queue, activities=[method])
            for channel, method in (*sending, (WEBHOOK, self.channels.send_webhook))
        ]

    @asynccontextmanager
    async def working(self, *instead: Callable[..., Any]) -> AsyncGenerator[None]:
        workers = [self.journeys(*instead), *self.senders()]
        async with workers[0], workers[1], workers[2], workers[3]:
            try:
                yield
            finally:
                await asyncio.gather(*(worker.shutdown() for worker in workers))

    async def publish(self, text: str, journeys: Literal["pin", "follow"] = "pin") -> str:
        made = scenario_of(text)
        content, plan = document(made), dump_plan(compile_plan(made, follows=journeys == "follow"))
        version = await self.store.publish(made.scenario, content, plan, digest(content), journeys=journeys)
        return f"{made.scenario}@{version}"

    async def start(
        self,
        scenario: str,
        trigger: dict[str, Any] | None = None,
        *,
        contact: dict[str, Any] | None = None,
        identifier: str | None = None,
        **more: Any,
    ) -> WorkflowHandle[Any, dict[str, Any]]:
        """Starts a journey as an engine would: plain JSON and a workflow id."""
        who = {"id": next(self.numbers), "email": "zoe@example.com", "cellphone": "+33612345678", **(contact or {})}
        entry = {"scenario": scenario, "contact": who, "trigger": trigger or {"type": "segment"}, **more}
        if identifier is None:
            key = f"/{more['key']}" if "key" in more else ""
            identifier = f"{parse_entry(entry).name}/{who['id']}{key}"
        return await self.client.start_workflow(
            "Journey",
            entry,
            id=identifier,
            task_queue=JOURNEYS,
            result_type=dict,
            # An update reaches a journey that waits for a local activity only once in four fifths of this.
            task_timeout=self.task_timeout,
        )

    async def run(self, scenario: str, trigger: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        return await self.result(await self.start(scenario, trigger, **more))

    async def operate(
        self, handle: WorkflowHandle[Any, Any], update: str, argument: Any, identifier: str | None = None
    ) -> dict[str, Any]:
        execute = cast("Callable[..., Awaitable[dict[str, Any]]]", handle.execute_update)  # pyright: ignore[reportUnknownMemberType]
        return await execute(update, argument, id=identifier)

    async def begin(self, handle: WorkflowHandle[Any, Any], update: str, argument: Any) -> asyncio.Task[dict[str, Any]]:
        """Send a journey an update while it has no worker; return the answer to come once the server has the update."""
        identifier = uuid.uuid4().hex
        answer = asyncio.create_task(self.operate(handle, update, argument, identifier))
        await until_admitted(self.client, handle.id, identifier)
        return answer

    async def result(self, handle: WorkflowHandle[Any, Any]) -> dict[str, Any]:
        """Waits for a journey's result.

        The time-skipping server may forget to tell who asked while a run was becoming the next one: once the journey
        is over it is asked again. Not before, since a question given up half-way could leave its clock unlocked.
        """
        asked = asyncio.ensure_future(handle.result())
        try:
            while not (await asyncio.wait({asked}, timeout=1))[0]:
                newest = self.client.get_workflow_handle(handle.id)
                if (await newest.describe()).status != WorkflowExecutionStatus.RUNNING:
                    return await newest.result()
            return await asked
        finally:
            asked.cancel()

    async def until(
        self, handle: WorkflowHandle[Any, Any], wanted: str | Callable[[dict[str, Any]], object]
    ) -> dict[str, Any]:
        """Waits (in real time) until a journey is in a state, or its progress as wanted; gives its progress."""

        def is_wanted(progress: dict[str, Any]) -> object:
            return progress.get("state") == wanted if isinstance(wanted, str) else progress and wanted(progress)

        while not is_wanted(progress := await self._progress(handle)):
            await asyncio.sleep(0.02)
        return progress

    async def continued(self, handle: WorkflowHandle[Any, Any]) -> None:
        newest = self.client.get_workflow_handle(handle.id)
        while (await newest.describe()).run_id == handle.first_execution_run_id:
            await asyncio.sleep(0.02)

    async def _progress(self, handle: WorkflowHandle[Any, Any]) -> dict[str, Any]:
        """What a journey answers; nothing where the server lost the question, since the run ended in the meantime."""
        try:
            return await handle.query("progress", rpc_timeout=timedelta(seconds=5))
        except RPCError as error:
            if error.status not in (RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED):
                raise
            return {}

    async def attempted(self, step: str) -> None:
        while not self.channels.of(step):
            await asyncio.sleep(0.02)

    async def entry(self, workflow_id: str) -> StoredEntry:
        found = await self.store.entry(workflow_id)
        assert found is not None
        return found

    async def now(self) -> datetime:
        return (await self.environment.get_current_time()).astimezone(UTC)


@pytest.fixture
def _always_suggested(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every run but its first moments is said to be long enough: continue-as-new wherever the journey can."""

    def suggested(self: workflow.Info) -> bool:
        return self.get_current_history_length() > 12

    monkeypatch.setattr(workflow.Info, "is_continue_as_new_suggested", suggested)


class SlowLookUp:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked, self.answered = asyncio.Event(), asyncio.Event()
        self._monkeypatch, self._look_up = monkeypatch, Content.open

    def begin(self) -> None:
        async def slowly(content: Content, name: str, version: int | None) -> LoadedVersion:
            self.asked.set()
            await self.answered.wait()
            return await self._look_up(content, name, version)

        self._monkeypatch.setattr(Content, "open", slowly)


@pytest.fixture
def slow_look_up(monkeypatch: pytest.MonkeyPatch) -> SlowLookUp:
    return SlowLookUp(monkeypatch)


def _start(port: int) -> subprocess.Popen[bytes]:
    command = [time_skipping_server(), str(port)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class SharedServer:
    """Temporal's time-skipping test server. The tests of a process share one; each has its own namespace.

    A namespace of this server needs no registration, and has its own workflow ids and task queues. The clock is the
    same for all.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    def stop(self) -> None:
        """Stop the server. The next test starts another, whose clock is right."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    async def connect(self, namespace: str) -> Client:
        """Start the server unless it runs. Return a client of a namespace."""
        if self._process is None:
            self._port = reserved_port()
            self._process = _start(self._port)
            client = await self._patiently(namespace)
            names = {key.name: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD for key in ALL}
            attributes = AddSearchAttributesRequest(namespace=namespace, search_attributes=names)
            await client.operator_service.add_search_attributes(attributes)
        return await self._client(namespace)

    async def _patiently(self, namespace: str) -> Client:
        while True:
            try:
                return await self._client(namespace)
            except RuntimeError:  # it does not listen yet
                await asyncio.sleep(0.02)

    async def _client(self, namespace: str) -> Client:
        return await Client.connect(f"127.0.0.1:{self._port}", namespace=namespace, data_converter=CONVERTER)

    async def shutdown(self) -> None:
        """Keep the server for the next test, although the environment of one is over."""


_server: Final = SharedServer()
atexit.register(_server.stop)
stop_server: Final = _server.stop
_LATE: Final = timedelta(days=40)
"""The time by which the server's clock may be fast when a test begins: some tests need an earlier date."""


def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> None:
    """Stop the server after a test that failed: a stuck journey would stop the clock for all others."""
    if call.excinfo is not None and not call.excinfo.errisinstance(pytest.skip.Exception):
        _server.stop()


@pytest.fixture
async def environment(temporal_server: None) -> AsyncIterator[WorkflowEnvironment]:
    """The time-skipping test server, with a new namespace."""
    del temporal_server  # a mark
    namespace = uuid.uuid4().hex
    environment = _V1WorkflowEnvironment(await _server.connect(namespace), cast("EphemeralServer", _server))
    if not await _is_usable(environment):
        _server.stop()
        environment = _V1WorkflowEnvironment(await _server.connect(namespace), cast("EphemeralServer", _server))
    yield environment
    await _terminate(environment.client)


async def _is_usable(environment: WorkflowEnvironment) -> bool:
    """Return True if the server's clock can be moved, and is not too late."""
    if await environment.get_current_time() - datetime.now(UTC) > _LATE:
        return False
    minute = SleepRequest(duration=Duration(seconds=60))
    try:  # a task that the server lost would hold the clock for ever
        await environment.client.test_service.unlock_time_skipping_with_sleep(minute, timeout=timedelta(seconds=1))
    except RPCError:
        return False
    return True


async def _terminate(client: Client) -> None:
    """Terminate the journeys that a test left running: their timers and tasks would hold up or move the clock."""
    request = ListOpenWorkflowExecutionsRequest(namespace=client.namespace)
    with contextlib.suppress(RPCError):  # the test failed and the server is stopped, or the journey is over by now
        for found in (await client.workflow_service.list_open_workflow_executions(request)).executions:
            await client.get_workflow_handle(found.execution.workflow_id).terminate()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store.open(f"sqlite:///{tmp_path / 'store.db'}") as opened:
        yield opened


@pytest.fixture
async def deserted(environment: WorkflowEnvironment, tmp_path: Path) -> AsyncIterator[Stage]:
    async with Store.open(f"sqlite:///{tmp_path / 'store.db'}") as store:
        yield Stage(environment, store, Channels(environment), Desk())


@pytest.fixture
async def stage(deserted: Stage) -> AsyncIterator[Stage]:
    async with deserted.working():
        yield deserted
