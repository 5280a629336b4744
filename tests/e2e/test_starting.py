"""Workers that cannot start, and one that is asked to stop."""

import asyncio
import os
import signal
from pathlib import Path
from typing import NoReturn

import pytest
from temporalio.api.enums.v1 import EventType

import worker
from tests.e2e.conftest import WORKER, Gate, Server, entry, environment, opened, process, publish, store_in, until
from tests.e2e.process import impatient
from tests.servers import reserved_port

SLOW = """
scenario: slow
trigger: segment
steps:
  - webhook: call
    url: https://hooks.example.com/call
    body: {a: 1}
    timeout: 1m
"""


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


async def test_a_worker_that_is_asked_to_stop_ends_the_attempt_in_flight_and_exits_with_0(
    server: Server, tmp_path: Path
) -> None:
    log = tmp_path / "log"

    async def stopping() -> bool:
        return "stopping: " in await asyncio.to_thread(log.read_text, "utf-8")

    async with Gate(hold=1) as gate, opened(await server.connect(), tmp_path) as site:
        variables = {**server.environ, "SCENARIO_STORE": store_in(tmp_path), "TEST_RECEIVER": gate.url}
        command = (*WORKER, "--queues", "journeys,webhooks")
        await publish(site.client, tmp_path, SLOW)
        async with process(*command, log=log, environ=variables) as stopped:
            journey = await site.client.enter(entry("slow"), settle=30)
            await gate.called(1)
            stopped.send_signal(signal.SIGTERM)
            await until(stopping)
            await asyncio.sleep(0.5)  # in which it would cancel the attempt
            assert stopped.returncode is None, "an attempt is in flight"
            gate.opened.set()
            async with asyncio.timeout(60):
                assert await stopped.wait() == 0, log.read_text("utf-8")
        events = [event.event_type async for event in journey.handle.fetch_history_events()]
        await journey.handle.terminate()
    assert EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED in events
    assert len(gate.calls) == 1
