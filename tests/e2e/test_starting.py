"""Workers that cannot start."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import pytest

import worker
from tests.e2e.conftest import environment, store_in
from tests.e2e.process import impatient
from tests.servers import reserved_port


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
