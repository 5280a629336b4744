"""Workers that are killed in mid-send, that are asked to stop, and that cannot start: in processes of their own."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, NoReturn

import pytest
from pydantic import SecretStr
from temporalio.api.enums.v1 import EventType

import worker
from activities.webhook.route import Diverted
from gateway.client import Entered, ScenarioClient
from runtime.local.inbox import Inbox
from runtime.store import Store
from scenario.steps.delivery import delivery_id
from tests.e2e.conftest import (
    SENDER,
    WORKER,
    Gate,
    Process,
    Server,
    environment,
    forget_the_dead,
    opened,
    outcomes,
    process,
    publish,
    sealing,
    store_in,
)
from tests.e2e.process import impatient
from tests.servers import reserved_port

pytestmark = pytest.mark.encrypted

Workers = Callable[[str], AbstractAsyncContextManager[Process]]

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
async def client(server: Server, tmp_path: Path) -> AsyncIterator[ScenarioClient]:
    """To enter contacts."""
    async with Store.open(store_in(tmp_path)) as store:
        yield ScenarioClient(sealing(await server.connect(), store), store)


@pytest.fixture
def worker_process(server: Server, inbox: Inbox, tmp_path: Path) -> Workers:
    """Runs a worker that sends all webhooks to a receiver."""
    local = {"SCENARIO_STORE": store_in(tmp_path), "SCENARIO_SMTP": inbox.url, "SCENARIO_MAIL_FROM": SENDER}

    def start(receiver: str) -> AbstractAsyncContextManager[Process]:
        return process(*WORKER, log=tmp_path / "log", environ={**server.environ, **local, "TEST_RECEIVER": receiver})

    return start


async def enter(client: ScenarioClient, folder: Path, contacts: range, time: str) -> list[Entered]:
    await publish(client, folder, SLOW.replace("TIMEOUT", time))
    entries = [{"scenario": "slow", "contact": _contact(number), "trigger": {"type": "segment"}} for number in contacts]
    return await asyncio.gather(*(client.enter(entry, settle=20) for entry in entries))


def _contact(number: int) -> dict[str, Any]:
    return {"id": number, "email": f"contact-{number}@example.com"}


async def test_a_worker_that_is_killed_in_mid_send_loses_nothing_and_its_duplicates_are_known_by_their_ids(
    client: ScenarioClient, server: Server, worker_process: Workers, inbox: Inbox, tmp_path: Path
) -> None:
    contacts = range(1, 6)
    async with Gate(hold=len(contacts)) as gate:
        async with worker_process(gate.url) as first:
            entering = asyncio.create_task(enter(client, tmp_path, contacts, "5s"))
            await gate.called(len(contacts))
            first.kill()
            assert await first.wait() == -signal.SIGKILL
            journeys = await entering
        async with (
            opened(
                await server.connect(), tmp_path, routes=Diverted(gate.url), smtp=SecretStr(inbox.url), mail_from=SENDER
            ) as site,
            site.working(),
            asyncio.timeout(120),
        ):
            for journey in journeys:
                await forget_the_dead(client, journey)
            results = [await journey.result() for journey in journeys]

    for result in results:
        assert outcomes(result) == [("first", "delivered"), ("second", "delivered"), ("third", "delivered")]
    calls = Counter((call.path, call.delivery, call.body) for call in gate.calls)
    expected = {
        (f"/hooks.example.com/{step}", delivery_id(journey.id, journey.run_id, step, 0), b'{"contact":"%d"}' % number)
        for number, journey in zip(contacts, journeys, strict=True)
        for step in ("first", "third")
    }
    assert calls.keys() == expected
    # Of a slow machine, an attempt may have timed out before its worker was killed, too.
    assert all((times > 1) is path.endswith("first") for (path, _, _), times in calls.items())
    assert all(result["steps"][0]["attempts"] > 1 for result in results)
    subjects = [str(mail.message["Subject"]) for mail in inbox.messages()]
    assert sorted(subjects) == [str(number) for number in contacts]


async def test_a_worker_that_is_asked_to_stop_ends_what_it_is_sending_and_exits_0(
    client: ScenarioClient, worker_process: Workers, tmp_path: Path
) -> None:
    async with Gate(hold=1) as gate, worker_process(gate.url) as stopped:
        [journey] = await enter(client, tmp_path, range(10, 11), "1m")
        await gate.called(1)
        stopped.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.3)
        assert stopped.returncode is None, "an attempt is under way"
        gate.opened.set()
        async with asyncio.timeout(60):
            assert await stopped.wait() == 0
    handle = journey.handle
    events = [event.event_type async for event in handle.fetch_history_events()]
    await handle.terminate()
    assert EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED in events
    assert len(gate.calls) == 1


def test_a_worker_that_cannot_start_says_why_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    free = f"127.0.0.1:{reserved_port()}"
    cases: dict[str, dict[str, str]] = {
        "TEMPORAL_ADDRESS must be host:port, without a scheme": {"TEMPORAL_ADDRESS": "http://127.0.0.1:7233"},
        f"no Temporal server at {free}: start one with `scenario dev`, or set TEMPORAL_ADDRESS (and TEMPORAL_TLS=true "
        "if it requires TLS)": {"TEMPORAL_ADDRESS": free},
        "SCENARIO_SMS must look like": {"SCENARIO_SMS": "pigeon:"},
        f"{__file__}:": {"SCENARIO_DESTINATIONS": __file__, "TEMPORAL_ADDRESS": free},
        "OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf": {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        },
    }

    def leave(status: int, *_: object, **_more: object) -> NoReturn:
        raise SystemExit(status)

    monkeypatch.setattr(worker, "exit_process", leave)
    monkeypatch.setattr(worker, "connect", impatient)
    monkeypatch.setattr(worker.logs, "configure", lambda: None)
    for sentence, variables in cases.items():
        with monkeypatch.context() as patch:
            environ = environment(SCENARIO_STORE=store_in(tmp_path), **variables)
            for name in os.environ.keys() - environ.keys():
                patch.delenv(name)
            for name, value in environ.items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as left:
                worker.main([])
        [line] = capsys.readouterr().err.splitlines()
        assert (line[: len("worker: " + sentence)], left.value.code) == (f"worker: {sentence}", 1)


def test_a_queue_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        worker.main(["--queues", "journeys,letters"])
    assert "there is no queue letters; there are journeys, webhooks, email, sms" in capsys.readouterr().err
    assert left.value.code == 2
