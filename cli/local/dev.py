"""`scenario dev`: local servers, the gateway and a worker until Ctrl-C. It can skip the time of waits."""

from __future__ import annotations

import asyncio
import logging
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from google.protobuf.field_mask_pb2 import FieldMask
from rich.console import Console
from rich.markup import escape
from rich.text import Text
from temporalio import workflow
from temporalio.api.common.v1 import FastForwardConfig, TimeSkippingConfig, WorkflowExecution
from temporalio.api.workflow.v1 import WorkflowExecutionOptions
from temporalio.api.workflowservice.v1 import UpdateWorkflowExecutionOptionsRequest
from temporalio.client import Client
from temporalio.exceptions import TemporalError
from temporalio.service import RPCError

from activities.attempt import Log
from activities.channel import adapters
from activities.channel_registry import CHANNELS
from activities.dependencies import Channels
from cli.local.stack import LocalStack, local
from cli.terminal import STYLES
from runtime.process import HOST
from runtime.settings import Settings
from runtime.store.deliveries import Attempt
from runtime.temporal_faults import unless_gone
from scenario.plain_text import plain
from service.index import JourneyFilter, query_of

USUAL: Final = (f"{HOST}:7233", Path(".scenario"))  # address and folder that other commands use by default
_INBOX: Final = {name: "inbox" for name, channel in CHANNELS.items() if not channel.addressed}


async def dev(state: Path, console: Console, *, send: bool, resume: bool, skip_time: bool, **ports: Any) -> int:
    """Run until interrupted, and return the exit status. `resume` lets running journeys send, too."""
    say = partial(console.print, markup=True, highlight=False, soft_wrap=True)  # addresses and keys are copied

    def tell(text: Text) -> None:
        console.print(text, soft_wrap=True, highlight=False)

    def log(kept: Log) -> Log:
        return LiveLog(kept, tell, {} if send else _INBOX)

    def skipped(journey: str, step: str, what: str) -> None:
        tell(line(journey, step, what, "waiting"))

    with LiveWarnings(tell):
        async with local(state, send=send, resume=resume, log=log, **ports) as place, asyncio.TaskGroup() as tasks:
            place.access.authors.prepare()
            if send:
                say("[bold red]Messages leave this machine and reach real recipients.[/]")
            say(f"[bold]Pages[/]      {place.access.pages}  (signs you in)")
            say(f"[bold]API[/]        {place.access.api}")
            say(f"[bold]Key[/]        {place.access.key}  (of the API and the pages)")
            say(f"[bold]Temporal[/]   {place.server.address}")
            say(f"[bold]UI[/]         {place.server.ui_url}")
            for name, where in _sent(place) if send else _kept(place, state):
                say(f"[bold]{name:<10}[/] {escape(where)}")
            if skip_time:
                say("Waits for a time are skipped, waits for events are not: report the events.")
            say("Now, in another terminal:")
            for command in exports(place.server.address, state):
                say(f"  {escape(command)}")
            say("  scenario publish examples/post-purchase.yaml")
            say("  scenario enter examples/entries/post-purchase.json")
            say("Ctrl-C stops everything; its state is kept. Messages that leave from now on:")
            if skip_time:
                tasks.create_task(skip_waits(place.client.temporal, skipped))
            await asyncio.Event().wait()
    return 0


def _kept(place: LocalStack, state: Path) -> list[tuple[str, str]]:
    """Return where messages go if nothing is sent."""
    return [
        ("Inbox", f"{place.inbox.folder}  (e-mails as .eml, SMS as .json)"),
        (
            "Webhooks",
            f"{state / 'received'}  (all of them, whatever their URL; 'scenario receiver' tells it how to answer)",
        ),
        ("Secrets", "stand-ins: those that are set are not read"),
        ("Callbacks", f"{place.gateway.url}  (what journey.callback_url begins with, until this ends)"),
    ]


def _sent(place: LocalStack) -> list[tuple[str, str]]:
    """Return the channels that send, and missing settings."""
    given = place.services
    webhooks = "to where scenarios say"
    if given.destinations.configured:
        webhooks += f", and destinations as SCENARIO_DESTINATIONS says ({', '.join(given.destinations.book.names)})"
    else:
        webhooks += "; SCENARIO_DESTINATIONS is not set: steps with 'to:' are held"
    url = Settings().callback_url
    callbacks = f"let {url} lead there" if url else "without SCENARIO_CALLBACK_URL, reached from this machine only"
    return [
        ("Webhooks", webhooks),
        *_channels(given.channels),
        ("Secrets", ", ".join(sorted(given.secrets.snapshot())) or "no SCENARIO_SECRET_… is set"),
        ("Callbacks", f"{place.gateway.url}  ({callbacks})"),
    ]


def _channels(channels: Channels) -> Iterator[tuple[str, str]]:
    for name, channel in adapters().items():
        if channel.setting:
            connection = channels.connection(name)
            missing = f"{channel.setting} is not set: those steps are held"
            how = f"by {channel.host(connection)}" if connection else missing
            yield channel.title[0].upper() + channel.title[1:], how


def exports(address: str, state: Path) -> list[str]:
    """Return shell commands for other commands to find this server; none with the default address and folder."""
    usual_address, usual_state = USUAL
    lines = [] if address == usual_address else [f"export TEMPORAL_ADDRESS={address}"]
    if state.resolve() != usual_state.resolve():
        lines.append(f"export SCENARIO_STORE={shlex.quote(f'sqlite:///{state.resolve()}/store.db')}")
    return lines


_BREAKER: Final = "activities.webhook.limiter"
_LOGGERS: Final = ("activities", "gateway", "runtime", "temporalio.workflow", "worker", "workflows")
_ENDS: Final = {
    "delivered": "delivered",
    "batched": "put into a batch call",
    "skipped": "nothing to send",
    "cancelled": "called off",
    "failed": "not retried",
    "refused_answer": "delivered, but its response does not fit",
}


def line(who: str, step: str, what: str, word: str = "") -> Text:
    """Return one line: local time, journey, step, and what happened, in the colour of the outcome `word`."""
    made = Text(f"{datetime.now():%H:%M:%S}  ", "dim")  # noqa: DTZ005 - a clock on the wall
    for part in filter(None, (who, step)):
        made.append(f"{plain(part)}  ")
    return made.append_text(Text(plain(what), STYLES.get(word, "")))


class LiveLog:
    """A log of attempts that also prints each attempt. `names` are displayed for destinations, by channel."""

    def __init__(self, log: Log, say: Callable[[Text], None], names: Mapping[str, str]) -> None:
        self._log, self._say, self._names = log, say, names

    def put(self, attempt: Attempt) -> asyncio.Future[None] | None:
        row = self._log.put(attempt)
        to = self._names.get(attempt.channel, attempt.destination)
        said = f"{attempt.channel} → {to} {attempt.status or attempt.error or ''}".rstrip()
        what = f"{said} in {attempt.milliseconds} ms, {_then(attempt)}"
        if attempt.attempt > 1:
            what += f" (attempt {attempt.attempt})"
        self._say(line(attempt.workflow_id, attempt.step, what, attempt.outcome))
        return row

    async def delivered(self, delivery_id: str) -> Attempt | None:
        return await self._log.delivered(delivery_id)


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
    """Prints warnings of the worker's log: held journeys, opened breakers."""

    def __init__(self, say: Callable[[Text], None]) -> None:
        super().__init__()
        self._say = say

    def __enter__(self) -> None:
        self._loop = asyncio.get_running_loop()
        workflow.logger.workflow_info_on_message = False  # the line begins with its id
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


LONG: Final = timedelta(seconds=10)  # shorter waits are not skipped
_WAITING: Final = query_of(JourneyFilter(), state="waiting")
_EVERY: Final = 0.5  # seconds between two looks
_LATER: Final = 5.0  # seconds until a journey is asked again that waits for something else, or for a moment only
_EVENT: Final = "event "
_ANSWER: Final = timedelta(seconds=5)


async def skip_time(temporal: Client, journey: str, span: timedelta | None = None) -> None:
    """Skip time of an idle journey: a span, or all, also pauses between attempts. One that has ended is left alone."""
    ahead = None
    if span is not None:
        ahead = FastForwardConfig(id=uuid4().hex)
        ahead.duration.FromTimedelta(span)
    skipping = TimeSkippingConfig(enabled=True, fast_forward_config=ahead)
    request = UpdateWorkflowExecutionOptionsRequest(
        namespace=temporal.namespace,
        workflow_execution=WorkflowExecution(workflow_id=journey),
        workflow_execution_options=WorkflowExecutionOptions(time_skipping_config=skipping),
        update_mask=FieldMask(paths=["time_skipping_config"]),
    )
    with unless_gone():
        await temporal.workflow_service.update_workflow_execution_options(request)


async def skip_waits(temporal: Client, said: Callable[[str, str, str], None]) -> None:
    """Skip long waits for a time as journeys reach them, but never waits for events, operators or retries.

    `said` is called with the journey, the step and what happens to its wait.
    """
    loop = asyncio.get_running_loop()
    again: dict[str, float] = {}
    awaited: set[tuple[str, str]] = set()
    while True:
        with suppress(RPCError):  # the server is busy: in a moment it is asked again
            async for found in temporal.list_workflows(_WAITING):
                if loop.time() < again.get(found.run_id, 0.0):
                    continue
                again[found.run_id] = loop.time() + _LATER
                wait = await _wait_of(temporal, found.id, found.run_id)
                if wait is None:
                    continue
                if wait.event and (found.run_id, wait.since) not in awaited:
                    awaited.add((found.run_id, wait.since))
                    said(found.id, wait.step, f"waits for the event {wait.event}, which is not skipped")
                elif not wait.event and wait.left > LONG:
                    await skip_time(temporal, found.id, wait.left)
                    said(found.id, wait.step, f"skipped to {wait.until.astimezone():%a %Y-%m-%d %H:%M:%S}")
                    del again[found.run_id]
        await asyncio.sleep(_EVERY)


@dataclass(frozen=True)
class _JourneyWait:
    """A journey's wait: its step, start, end, length on its own clock, and event."""

    step: str
    since: str
    until: datetime
    left: timedelta
    event: str = ""


async def _wait_of(temporal: Client, journey: str, run: str) -> _JourneyWait | None:
    handle = temporal.get_workflow_handle(journey, run_id=run)
    try:
        progress: dict[str, Any] = await handle.query("progress", rpc_timeout=_ANSWER)
        clock = (await handle.describe()).raw_description.workflow_extended_info.time_skipping_info.current_time
    except TemporalError:  # it is over, or its worker is busy
        return None
    waiting: dict[str, Any] = progress["waiting"] or {}
    if progress["state"] != "waiting" or not waiting:  # a delivery that was put off has neither reason nor end
        return None
    now = clock.ToDatetime(UTC) if clock.seconds else datetime.now(UTC)
    until = datetime.fromisoformat(waiting["until"]) if waiting.get("until") else now
    event = str(waiting["for"]).removeprefix(_EVENT) if str(waiting["for"]).startswith(_EVENT) else ""
    return _JourneyWait(progress["at"], progress["since"], until, until - now, event)
