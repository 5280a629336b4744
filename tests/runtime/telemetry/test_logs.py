"""A line a record, with ids and without anything that an exception quotes."""

import asyncio
import gc
import io
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from temporalio import activity, workflow
from temporalio.exceptions import ApplicationError

from runtime.errors import SetupError
from runtime.store import Store, StoreUnavailable
from runtime.telemetry import logs
from tests.fakes import Terminal

EMAIL = "ann@example.com"
logger = logging.getLogger("runtime.tests")
Written = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """What is written, with the logging of this process put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    quiet = {name: logging.getLogger(name).level for name in ("httpx", "httpcore", "mail.log", "alembic")}
    context = workflow.logger.workflow_info_on_message, activity.logger.activity_info_on_message
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, former in quiet.items():
        logging.getLogger(name).setLevel(former)
    workflow.logger.workflow_info_on_message, activity.logger.activity_info_on_message = context


@pytest.fixture
def written(stream: io.StringIO) -> Written:
    logs.configure(stream=stream)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_record_is_one_json_object(written: Written):
    logger.info("published %s", "post-purchase@3", extra={"scenario": "post-purchase", "contact": {"email": EMAIL}})
    [line] = written()
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "info",
        "logger": "runtime.tests",
        "message": "published post-purchase@3",
        "scenario": "post-purchase",
    }


def test_a_message_of_several_lines_is_one_line(written: Written):
    logger.warning("first\n  second\r\nthird é")
    assert [line["message"] for line in written()] == ["first second third é"]


def test_temporals_context_is_folded_in(written: Written):
    details = {
        "activity_id": "whatsapp",
        "activity_type": "send_webhook",
        "attempt": 2,
        "namespace": "default",
        "task_queue": "webhooks",
        "workflow_id": "post-purchase/3028687",
        "workflow_run_id": "run",
        "workflow_type": "Journey",
    }
    logger.warning("Completing activity as failed", extra={"temporal_activity": details})
    [line] = written()
    assert {name: value for name, value in line.items() if name not in {"time", "level", "logger"}} == {
        "message": "Completing activity as failed",
        "activity_id": "whatsapp",
        "activity_type": "send_webhook",
        "attempt": 2,
        "task_queue": "webhooks",
        "workflow_id": "post-purchase/3028687",
        "run_id": "run",
        "workflow_type": "Journey",
    }
    assert not workflow.logger.workflow_info_on_message
    assert not activity.logger.activity_info_on_message


def test_of_the_native_parts_fields_only_ids_are_written(written: Written):
    fields = {"run_id": "run", "failure": f"ValueError: {EMAIL}", "task_queue": "journeys"}
    logger.warning("Failing workflow task", extra={"temporal_log": SimpleNamespace(fields=fields)})
    [line] = written()
    assert (line["run_id"], line["task_queue"]) == ("run", "journeys")
    assert EMAIL not in json.dumps(line)


def fail() -> None:
    """Raises an exception that quotes data, because of another that does."""
    try:
        {}[EMAIL]
    except KeyError as cause:
        raise ValueError(f"no such contact: {EMAIL}") from cause


def test_an_exception_is_its_type_and_place(written: Written):
    try:
        fail()
    except ValueError:
        logger.exception("a step failed")
    [line] = written()
    assert line["error"] == "ValueError < KeyError"
    assert line["stack"][-1].endswith(" fail")
    assert EMAIL not in json.dumps(line)


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (SetupError("SCENARIO_SMTP must\nlook right"), "SetupError: SCENARIO_SMTP must look right"),
        (
            ApplicationError("the receiver answered 503", type="DeliveryRetry"),
            "ApplicationError: the receiver answered 503",
        ),
        (RuntimeError(EMAIL), "RuntimeError"),
    ],
)
def test_a_message_of_our_own_is_shown(written: Written, error: Exception, shown: str):
    logger.error("stopped", exc_info=error)
    [line] = written()
    assert line["error"] == shown
    assert ("stack" in line) is not isinstance(error, SetupError)


def test_the_trace_is_named(written: Written):
    with TracerProvider().get_tracer("test").start_as_current_span("here") as span:
        logger.info("within")
    logger.info("without")
    within, without = written()
    assert within["trace_id"] == trace.format_trace_id(span.get_span_context().trace_id)
    assert within["span_id"] == trace.format_span_id(span.get_span_context().span_id)
    assert "trace_id" not in without


async def test_asyncios_complaints_do_not_quote_the_exception(written: Written):
    async def failing() -> None:
        raise ValueError(EMAIL)

    task = asyncio.create_task(failing())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del task
    gc.collect()
    [line] = written()
    assert (line["message"], line["error"]) == ("Task exception was never retrieved", "ValueError")
    assert EMAIL not in json.dumps(line)


@pytest.mark.parametrize(("name", "level"), [("httpx", logging.INFO), ("mail.log", logging.ERROR)])
def test_loggers_that_write_urls_and_addresses_are_quiet(written: Written, name: str, level: int):
    logging.getLogger(name).log(level, "HTTP Request: POST https://hooks.example.com/secret")
    assert written() == []


async def test_a_store_says_nothing_of_how_it_is_set_up(written: Written, tmp_path: Path):
    async with Store.open(f"sqlite+aiosqlite:///{tmp_path}/store.db"):
        pass
    logging.getLogger("alembic.runtime.migration").warning("not so quiet")
    assert [line["message"] for line in written()] == ["not so quiet"]


@pytest.mark.usefixtures("stream")
def test_people_read_text_and_are_told_where_an_error_was():
    logs.configure(stream=(stream := Terminal()))
    logger.info("published", extra={"scenario": "post-purchase"})
    logger.info("ready")
    try:
        fail()
    except ValueError:
        logger.exception("stopped")
    published, ready, stopped = [line.partition(" ")[2] for line in stream.getvalue().splitlines()]
    assert (published, ready) == ("INFO    published  scenario=post-purchase", "INFO    ready")
    assert "error=ValueError < KeyError" in stopped
    assert stopped.endswith(" fail")
    assert EMAIL not in stopped


def test_what_comes_with_each_call_is_said_once_in_a_while():
    now = [0.0]
    seldom = logs.ThrottledFilter(lambda: now[0])

    def said(name: str, text: str, *args: object) -> str | None:
        record = logging.LogRecord(name, logging.WARNING, __file__, 1, text, args, None)
        return record.getMessage() if seldom.filter(record) else None

    core, other = "temporalio.core", "gateway.api.problem"
    assert said(core, "gRPC call start retried %d times", 5) == "gRPC call start retried 5 times"
    assert [said(core, "gRPC call start retried %d times", number) for number in (6, 7, 8)] == [None] * 3
    assert said(core, "gRPC call signal retried 5 times") is not None
    assert [said(core, "Failing workflow task") for _ in range(2)] == ["Failing workflow task"] * 2
    assert [said(other, "Temporal refused a call: %s", name) is None for name in ("A", "A", "B")] == [
        False,
        True,
        False,
    ]
    now[0] = logs.SELDOM
    again = "gRPC call start retried 5 times (and 3 times since the last such line)"
    assert said(core, "gRPC call start retried 5 times") == again
    assert said(other, "Temporal refused a call: B") == "Temporal refused a call: B"


def test_what_the_absence_of_the_store_fails_is_said_once_in_a_while_for_all_journeys():
    seldom = logs.ThrottledFilter(lambda: 0.0)

    def said(error: Exception, run: str) -> bool:
        text = f"Failed handling activation on workflow with run ID {run}"
        record = logging.LogRecord(
            "temporalio.worker._workflow", logging.ERROR, __file__, 1, text, None, (type(error), error, None)
        )
        return seldom.filter(record)

    runs = ("01a21cf3-0b97-701c-a355-0c639833b824", "01a21cf3-0b96-7251-a61a-bdb75f77fc51")
    decoding = ApplicationError("Failed decoding arguments")
    decoding.__cause__ = StoreUnavailable("The store is away.")
    assert [said(StoreUnavailable("The store is away."), run) for run in runs] == [True, False]
    assert not said(decoding, runs[0])
    assert all(said(KeyError(), run) for run in runs)
