"""One line per attempt for `scenario dev`, with ids only."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final

from rich.text import Text
from temporalio import workflow

from activities.attempt_log import Log
from gateway.terminal import STYLES, plain
from runtime.store.deliveries import Attempt

_BREAKER: Final = "activities.webhook.throttle.limiter"
_LOGGERS: Final = ("activities", "gateway", "runtime", "temporalio.workflow", "worker", "workflows")
_ENDS: Final = {"delivered": "delivered", "skipped": "nothing to send", "cancelled": "called off", "failed": "for good"}


def line(who: str, step: str, what: str, word: str = "") -> Text:
    """Return one line: local time, journey, step, and what happened.

    Args:
        who: The journey's id.
        step: The step's id.
        what: What happened.
        word: The outcome, which decides on the colour.
    """
    made = Text(f"{datetime.now():%H:%M:%S}  ", "dim")  # noqa: DTZ005 - a clock on the wall
    for part in filter(None, (who, step)):
        made.append(f"{plain(part)}  ")
    return made.append_text(Text(plain(what), STYLES.get(word, "")))


class LiveLog:
    """A log of attempts that also prints each attempt.

    Args:
        log: The log.
        say: Prints a line.
        names: Displayed names of destinations, by channel.
    """

    def __init__(self, log: Log, say: Callable[[Text], None], names: Mapping[str, str]) -> None:
        self._log, self._say, self._names = log, say, names

    def put(self, attempt: Attempt) -> None:
        self._log.put(attempt)
        to = self._names.get(attempt.channel, attempt.destination)
        said = f"{attempt.channel} → {to} {attempt.status or attempt.error or ''}".rstrip()
        what = f"{said} in {attempt.milliseconds} ms, {_then(attempt)}"
        if attempt.attempt > 1:
            what += f" (attempt {attempt.attempt})"
        self._say(line(attempt.workflow_id, attempt.step, what, attempt.outcome))


def _then(attempt: Attempt) -> str:
    if attempt.next_try_at is None:
        return _ENDS.get(attempt.outcome, attempt.outcome)
    # Both are server times, which are ahead for journeys with skipped waits.
    pause = attempt.next_try_at - attempt.started_at - timedelta(milliseconds=attempt.milliseconds)
    maybe = "may have arrived, " if attempt.outcome == "unknown" else ""
    return f"{maybe}again in {_spelt(pause)}"


def _spelt(pause: timedelta) -> str:
    seconds = max(0.0, pause.total_seconds())
    for least, unit, name in ((7200, 3600, "h"), (120, 60, "min")):
        if seconds >= least:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


class LiveWarnings(logging.Handler):
    """Prints warnings of the worker's log: held journeys, opened breakers.

    Args:
        say: Prints a line.
    """

    def __init__(self, say: Callable[[Text], None]) -> None:
        super().__init__()
        self._say = say

    def __enter__(self) -> None:
        self._loop = asyncio.get_running_loop()
        workflow.logger.workflow_info_on_message = False  # the line begins with what matters of it
        logging.getLogger(_BREAKER).setLevel(logging.INFO)
        for name in _LOGGERS:
            logging.getLogger(name).addHandler(self)

    def __exit__(self, *_: object) -> None:
        logging.getLogger(_BREAKER).setLevel(logging.NOTSET)
        for name in _LOGGERS:
            logging.getLogger(name).removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Print in the event loop, because a workflow's thread must not."""
        if record.levelno >= logging.WARNING or record.name == _BREAKER:
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._tell, record)

    def _tell(self, record: logging.LogRecord) -> None:
        of: dict[str, Any] = getattr(record, "temporal_workflow", {})
        cause = getattr(record, "cause", "")
        what = f"{record.getMessage()}: {cause}" if cause else record.getMessage()
        self._say(line(of.get("workflow_id", ""), getattr(record, "step", ""), what, "held"))
