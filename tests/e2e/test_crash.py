"""Workers that are killed in mid-send, that are asked to stop, and that cannot start: in processes of their own."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType

from gateway.client import Entered, ScenarioClient
from runtime.local.inbox import Inbox
from runtime.process.ports import free_port
from runtime.store import Store
from scenario.steps.delivery import delivery_id
from tests.e2e.conftest import ROOT, SENDER, Gate, Server, environment, forget_the_dead, outcomes, publish, sealing

pytestmark = pytest.mark.encrypted

Process = asyncio.subprocess.Process
Workers = Callable[..., AbstractAsyncContextManager[Process]]

SLOW = """
scenario: slow
trigger: segment
steps:
  - webhook: first
    url: https://hooks.example.com/first
    body: {contact: "{{ contact.id }}"}
    timeout: TIMEOUT
    retry: {initial_interval: 1s}
  - email: second
    subject: "{{ contact.id }}"
    text: hi
  - webhook: third
    url: https://hooks.example.com/third
    body: {contact: "{{ contact.id }}"}
"""


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    """The store that workers and tests share."""
    return f"sqlite+aiosqlite:///{tmp_path / 'store.db'}"


@pytest.fixture
async def client(server: Server, store_url: str) -> AsyncIterator[ScenarioClient]:
    """To enter contacts."""
    temporal = await server.connect()
    async with Store.open(store_url) as store:
        yield ScenarioClient(sealing(temporal, store), store)


@pytest.fixture
def worker_process(server: Server, inbox: Inbox, store_url: str, tmp_path: Path) -> Workers:
    """Runs a worker that sends all webhooks to a receiver; what is left of it at the end is killed."""

    @asynccontextmanager
    async def start(receiver: str) -> AsyncGenerator[Process]:
        environ = environment(
            **server.environ,
            SCENARIO_STORE=store_url,
            SCENARIO_SMTP=inbox.url,
            SCENARIO_MAIL_FROM=SENDER,
            TEST_RECEIVER=receiver,
        )
        with (tmp_path / "worker.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.e2e.process"), cwd=ROOT, env=environ, stderr=log
            )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    return start


async def enter(client: ScenarioClient, folder: Path, contacts: range, time: str) -> list[Entered]:
    await publish(client, folder, SLOW.replace("TIMEOUT", time))
    entries = [{"scenario": "slow", "contact": _contact(number), "trigger": {"type": "segment"}} for number in contacts]
    return await asyncio.gather(*(client.enter(entry, settle=20) for entry in entries))


def _contact(number: int) -> dict[str, Any]:
    return {"id": number, "email": f"contact-{number}@example.com"}


async def test_a_worker_that_is_killed_in_mid_send_loses_nothing_and_its_duplicates_are_known_by_their_ids(
    client: ScenarioClient, worker_process: Workers, inbox: Inbox, tmp_path: Path
) -> None:
    contacts = range(1, 6)
    async with Gate(hold=len(contacts)) as gate:
        async with worker_process(gate.url) as first:
            entering = asyncio.create_task(enter(client, tmp_path, contacts, "2s"))
            await gate.called(len(contacts))
            first.kill()
            assert await first.wait() == -signal.SIGKILL
            journeys = await entering
        async with worker_process(gate.url), asyncio.timeout(60):
            for journey in journeys:
                await forget_the_dead(client, journey)
            results = [await journey.result() for journey in journeys]

    for result in results:
        assert outcomes(result) == [("first", "delivered"), ("second", "delivered"), ("third", "delivered")]
    assert [result["steps"][0]["attempts"] for result in results] == [2] * len(contacts)
    expected: Counter[tuple[str, str, bytes]] = Counter()
    for number, journey in zip(contacts, journeys, strict=True):
        body = b'{"contact":"%d"}' % number
        for step, times in (("first", 2), ("third", 1)):
            identifier = delivery_id(journey.id, journey.run_id, step, 0)
            expected[f"/hooks.example.com/{step}", identifier, body] = times
    assert Counter((call.path, call.delivery, call.body) for call in gate.calls) == expected
    subjects = [str(mail.message["Subject"]) for mail in inbox.messages()]
    assert sorted(subjects) == [str(number) for number in contacts]


async def test_a_worker_that_is_asked_to_stop_ends_what_it_is_sending_and_exits_0(
    client: ScenarioClient, worker_process: Workers, tmp_path: Path
) -> None:
    async with Gate(hold=1) as gate, worker_process(gate.url) as process:
        [journey] = await enter(client, tmp_path, range(10, 11), "10s")
        await gate.called(1)
        process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.3)
        assert process.returncode is None, "an attempt is under way"
        gate.opened.set()
        async with asyncio.timeout(60):
            assert await process.wait() == 0
    handle = journey.handle
    events = [event.event_type async for event in handle.fetch_history_events()]
    await handle.terminate()
    assert EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED in events
    assert len(gate.calls) == 1


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"TEMPORAL_ADDRESS": "http://127.0.0.1:7233"}, "worker: TEMPORAL_ADDRESS must be host:port, without a scheme"),
        ({"TEMPORAL_ADDRESS": "FREE"}, "worker: no Temporal server at FREE: start one with `scenario dev`, or set "
         "TEMPORAL_ADDRESS (and TEMPORAL_TLS=true if it requires TLS)"),
        ({"SCENARIO_SMS": "pigeon:"}, "worker: SCENARIO_SMS must look like"),
        ({"SCENARIO_DESTINATIONS": __file__, "TEMPORAL_ADDRESS": "FREE"}, f"worker: {__file__}:"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
         "worker: OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf"),
    ],
    ids=["a wrong address", "no server", "a wrong setting", "a wrong file", "a wrong protocol"],
)  # fmt: skip
async def test_a_worker_that_cannot_start_says_why_in_one_sentence(
    variables: Mapping[str, str], sentence: str, store_url: str
) -> None:
    free = f"127.0.0.1:{free_port()}"
    given = {name: value.replace("FREE", free) for name, value in variables.items()}
    environ = environment(SCENARIO_STORE=store_url, TEST_RECEIVER="http://127.0.0.1:1", **given)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.e2e.process"), cwd=ROOT, env=environ, stderr=subprocess.PIPE
    )
    async with asyncio.timeout(60):
        _, errors = await process.communicate()
    [line] = errors.decode().splitlines()
    assert line.startswith(sentence.replace("FREE", free))
    assert process.returncode == 1


async def test_a_queue_that_does_not_exist_is_refused() -> None:
    command = (sys.executable, str(ROOT / "worker.py"), "--queues", "journeys,letters")
    process = await asyncio.create_subprocess_exec(*command, env=environment(), stderr=subprocess.PIPE)
    _, errors = await process.communicate()
    assert "there is no queue letters; there are journeys, webhooks, email, sms" in errors.decode()
    assert process.returncode == 2
