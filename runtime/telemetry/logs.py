"""Structured logs: one line a record, as JSON for programs or as text for people.

A line holds ids, never a contact's data. So the texts of exceptions are omitted. Only this project's own classes quote
none, and are shown. The type and the place in the code are always included.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Final, TextIO

from opentelemetry import trace
from temporalio import activity, workflow
from temporalio.exceptions import ApplicationError

from runtime.errors import SetupError, StoreError, StoreUnavailable
from scenario.errors import ScenarioError

OURS: Final = (ScenarioError, SetupError, StoreError, ApplicationError)
"""Exceptions with messages of this project, without data."""

EXPECTED: Final = (SetupError, StoreUnavailable)
"""Exceptions that are logged without a stack trace, which would repeat for each journey."""

SELDOM: Final = 60.0  # seconds during which a repeating line is logged once
FRAMES: Final = 12  # maximum number of frames of a stack trace, the innermost

# Fields of temporalio's loggers, and their names in its UI and command line.
_CONTEXT: Final = {
    "workflow_id": "workflow_id",
    "workflow_run_id": "run_id",
    "run_id": "run_id",
    "workflow_type": "workflow_type",
    "activity_id": "activity_id",
    "activity_type": "activity_type",
    "attempt": "attempt",
    "task_queue": "task_queue",
    "update_id": "update_id",
    "update_name": "update_name",
}
_TEMPORAL: Final = frozenset({"temporal_workflow", "temporal_activity", "temporal_log"})
_USUAL: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
# Loggers, and the start of lines.
_REPEATING: Final = (
    ("temporalio.core", "gRPC call "),
    ("gateway.api.problem", ""),
    ("gateway.pages.app", ""),
    ("runtime.temporal_faults", ""),
)
_NUMBER: Final = re.compile(r"[0-9a-f-]*\d[0-9a-f-]*")  # also ids of runs
_MOST: Final = 100  # different lines to remember
# Loggers that write addresses, URLs, peers, headers with keys or, at DEBUG, results of activities, which may
# be a receiver's response; and Alembic, whose lines at every start are useless.
_QUIET: Final = {
    "alembic": logging.WARNING,
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    "mail.log": logging.CRITICAL,
    "opentelemetry.util.re": logging.CRITICAL,
    "temporalio.worker": logging.INFO,
}


def configure(*, level: int = logging.INFO, stream: TextIO | None = None) -> None:
    """Send all records to one stream, a terminal as text. Call it once, in a process's main function."""
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.addFilter(ThrottledFilter())
    handler.setFormatter(TextFormatter() if handler.stream.isatty() else JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(max(level, least))
    # Their context is in fields, so it is not added to the message.
    workflow.logger.workflow_info_on_message = False
    activity.logger.activity_info_on_message = False


class ThrottledFilter(logging.Filter):
    """Suppresses repetitions of a line for a while, then logs it with their number.

    It applies to loggers that report an unreachable server for every call (Temporal's native part does so five times),
    and to failures caused by an unavailable store, which with encryption affects every task of every journey.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._told: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        said = record.getMessage()
        error = record.exc_info[1] if record.exc_info else None
        away = error is not None and any(isinstance(one, StoreUnavailable) for one in (error, error.__cause__))
        if not away and not any(record.name == name and said.startswith(begins) for name, begins in _REPEATING):
            return True
        same = _NUMBER.sub("#", said)
        told, more = self._told.get(same, (-SELDOM, 0))
        now = self._clock()
        if now - told < SELDOM:
            self._told[same] = told, more + 1
            return False
        if len(self._told) >= _MOST:
            self._told.clear()
        self._told[same] = now, 0
        if more:
            record.msg, record.args = f"{said} (and {more} times since the last such line)", ()
        return True


class JsonFormatter(logging.Formatter):
    """A record as one JSON object: ``time`` (UTC), ``level``, ``logger``, ``message``, then ids and numbers."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _time(record).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": message(record),
            **fields(record),
        }
        return json.dumps(line, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """A record as a line for people: local time, level, message, then ids and numbers."""

    def format(self, record: logging.LogRecord) -> str:
        found = fields(record)
        if "stack" in found:
            found["stack"] = found["stack"][-1]
        named = " ".join(f"{name}={value}" for name, value in found.items())
        time = _time(record).astimezone().strftime("%H:%M:%S")
        return f"{time} {record.levelname:<7} {message(record)}{'  ' if named else ''}{named}"


def message(record: logging.LogRecord) -> str:
    """Return the message, on one line."""
    lines = record.getMessage().splitlines()
    if record.name == "asyncio":
        # The lines after the first quote the task and, with it, its exception's text.
        lines = lines[:1]
    return " ".join(line.strip() for line in lines)


def fields(record: logging.LogRecord) -> dict[str, Any]:
    """Return all but the message: the ids of workflow and activity, the trace, `extra` and the error."""
    found: dict[str, Any] = {}
    for name, value in record.__dict__.items():
        if name in _USUAL:
            continue
        if name in _TEMPORAL:
            # `temporal_log` is of the SDK's native part. Only ids are passed on, since its other fields
            # quote failures.
            context: Mapping[str, Any] = value.fields if name == "temporal_log" else value
            found |= {known: context[key] for key, known in _CONTEXT.items() if context.get(key) is not None}
        elif isinstance(value, str | int | float | bool):
            found[name] = value
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        found |= {"trace_id": trace.format_trace_id(span.trace_id), "span_id": trace.format_span_id(span.span_id)}
    if record.exc_info and record.exc_info[1] is not None:
        found |= _error(record.exc_info[1])
    return found


def _error(error: BaseException) -> dict[str, Any]:
    chain: list[str] = []
    seen: BaseException | None = error
    while seen is not None and len(chain) < FRAMES:
        name = type(seen).__name__
        own = seen.message if isinstance(seen, ApplicationError) else str(seen)
        chain.append(f"{name}: {' '.join(own.split())}" if isinstance(seen, OURS) else name)
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    found: dict[str, Any] = {"error": " < ".join(chain)}
    if not any(isinstance(one, EXPECTED) for one in (error, error.__cause__)):
        frames = traceback.extract_tb(error.__traceback__)[-FRAMES:]
        found["stack"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    return found


def _time(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)
