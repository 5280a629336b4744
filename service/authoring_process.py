"""Checks and previews of scenarios, in child processes: their input may be hostile, and must not exhaust the gateway.

Requests and answers are JSON objects. A request has ``do`` (``check``, ``preview``, ``sample`` or ``render``) and
``with`` (`Setup`). A submitted scenario has ``source``, ``files`` and ``name``; a published one ``version`` (with its
name), ``document`` and ``plan``. A preview also has ``entry``, and optionally ``at``, ``events``, ``responses`` and
``step``. A message to render again has the ``document`` of its version, the ``delivery`` and the ``journey``.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter, deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from activities.interface import Delivery
from activities.webhook.destinations.destinations import Destinations
from activities.webhook.destinations.reading import read as read_destinations
from authoring.errors import BadInput, Refusal
from authoring.preview import draft as drafts
from authoring.preview.contact import PreviewInputs, preview, report
from authoring.preview.draft import Draft
from authoring.preview.rendering import MessageRenderer, TemplateLocator, described, render_again
from authoring.preview.samples import first_entry
from authoring.preview.walk import GivenEvent
from authoring.publishing import ScenarioFile, check_file
from runtime.errors import SetupError
from runtime.process.sandboxed import SandboxedProcess, SandboxEnded, answer_requests
from runtime.watched_file import read_policies
from scenario.dates import DateOrder
from scenario.entry.values import PlatformDates
from scenario.errors import EntryError, ScenarioError
from scenario.model.scenario import document
from scenario.policies.policies import Policies
from scenario.source.findings import Finding
from service.caller import Caller
from service.errors import Busy, Forbidden, MistakenEntry

if TYPE_CHECKING:
    from runtime.settings import Settings

logger = logging.getLogger("gateway")
WAITING: Final = 3  # maximum number of waiting requests of one key
TOGETHER: Final = 40  # maximum number of waiting requests of all keys
PROCESSES: Final = 2
"""Maximum number of processes. Each starts when it is first needed, unless `Authoring.prepare` started it."""
SECONDS: Final = 10.0  # maximum duration of a request, once it has a process
NICE: Final = 5  # lower priority than the gateway's
MEGABYTES: Final = 512  # memory that a process may use beyond its initial size
DONE: Final = b"+"  # first byte of a successful answer
REFUSED: Final = b"-"
"""First byte of a refusal: ``{"said", "at", "meant"}``: the reason, the place in the request, a suggestion."""
LARGEST: Final = 16 * 2**20  # maximum bytes of an answer
_MODULE: Final = __name__  # of the child process


@dataclass(frozen=True)
class Setup:
    """Settings for checks and previews, without secrets."""

    destinations: str | None = None  # path of `destinations.yaml`, or None
    policies: str | None = None  # path of `policies.yaml`, or None
    zone: str = "UTC"  # IANA zone of the platform's dates without an offset
    dates: DateOrder | None = None  # order of the platform's dates with slashes
    mail_from: str | None = None  # sender of e-mails
    mail_from_allowed: str | None = None  # other allowed senders
    base: str | None = None  # base of callback URLs

    @classmethod
    def of(cls, settings: Settings) -> Self:
        destinations, policies = (path and str(path) for path in (settings.destinations, settings.policies))
        return cls(
            destinations=destinations or None,
            policies=None if policies in (None, ".") else policies,  # a variable that is empty counts as not set
            zone=settings.platform_timezone,
            dates=settings.platform_dates,
            mail_from=settings.mail_from,
            mail_from_allowed=settings.mail_from_allowed,
            base=settings.callback_url,
        )


def too_many_checks(count: int) -> Busy:
    """Return the refusal of a key with so many checks and previews in progress or waiting."""
    return Busy(
        f"this key has {count} checks or previews in progress or waiting: wait for their answers, then try again"
    )


class Turns:
    """Turns at a limited resource, so many at a time. Each key has one at a time. Waiting keys get turns in rotation.

    `waiting` is the maximum number of waiting requests of one key, `together` that of all keys.
    """

    def __init__(self, places: int, *, waiting: int, together: int) -> None:
        self._free, self._waiting, self._together = places, waiting, together
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}
        self._running: Counter[str] = Counter()

    @asynccontextmanager
    async def turn(self, key: str) -> AsyncGenerator[None]:
        """Wait for a turn and hold it. Raise Busy if too many requests are waiting."""
        if self._free and not self._running[key]:
            self._begin(key)
        else:
            await self._wait(key)
        try:
            yield
        finally:
            self._end(key)

    def _begin(self, key: str) -> None:
        self._free -= 1
        self._running[key] += 1

    def _end(self, key: str) -> None:
        self._free += 1
        del self._running[key]
        self._go_on()

    def _go_on(self) -> None:
        for key, queue in list(self._queues.items()):
            if not self._free:
                return
            if self._running[key]:
                continue
            del self._queues[key]
            waiting = [waiter for waiter in queue if not waiter.done()]  # others were cancelled in this moment
            queue.clear()
            if waiting:
                queue.extend(waiting[1:])
                self._begin(key)
                waiting[0].set_result(None)
            if queue:
                self._queues[key] = queue  # at the rotation's end

    async def _wait(self, key: str) -> None:
        queue = self._queues.get(key, deque())
        if len(queue) >= self._waiting:
            raise too_many_checks(len(queue) + 1)
        if sum(map(len, self._queues.values())) >= self._together:
            raise Busy("too many keys wait for checks or previews: try again")
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(key, queue).append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter in queue:
                queue.remove(waiter)
                if not queue:
                    self._queues.pop(key, None)
            elif not waiter.cancelled():  # the turn came in the same moment
                self._end(key)
            raise


class Authoring:
    """Checks and previews scenarios in child processes, which end with this one.

    All requests raise `BadInput` if they take too much time or memory, and `Busy` if too many requests are waiting.
    `key` is the caller's API key.
    """

    def __init__(self, setup: Setup, *, seconds: float = SECONDS) -> None:
        self._setup, self._seconds = vars(setup), seconds
        self._idle = [SandboxedProcess(_MODULE) for _ in range(PROCESSES)]
        self._turns = Turns(PROCESSES, waiting=WAITING, together=TOGETHER)
        self._preparing: asyncio.Task[None] | None = None

    def prepare(self) -> None:
        """Start a process in the background, because a start takes half a second. A failure is that of a request."""
        self._preparing = asyncio.create_task(self._prepare())

    async def _prepare(self) -> None:
        async with self._process("") as process:
            with suppress(RuntimeError):
                await asyncio.to_thread(_start, process)

    @asynccontextmanager
    async def _process(self, key: str) -> AsyncGenerator[SandboxedProcess]:
        async with self._turns.turn(key):
            process = self._idle.pop()
            try:
                yield process
            finally:
                self._idle.append(process)

    async def close(self) -> None:
        """End the processes. They start again with the next request."""
        if self._preparing is not None:
            await self._preparing
        await asyncio.gather(*(asyncio.to_thread(process.end) for process in self._idle))

    async def ask(self, key: str, request: Mapping[str, Any]) -> bytes:
        """Carry out a request, as this module describes it, in a child process. Return the answer: JSON in UTF-8.

        Raise MistakenEntry if the entry is wrong, Forbidden if the caller may not use a scenario of this name, or
        BadInput if the entry does not fit the scenario.
        """
        async with self._process(key) as process:
            data = json.dumps({**request, "with": self._setup}).encode()
            try:
                await asyncio.to_thread(_start, process)
                return await _within(self._seconds, process, data)
            finally:
                if not process.is_running:  # only the key that ended the process waits for its restart
                    with suppress(RuntimeError):
                        await asyncio.to_thread(_start, process)


async def _within(seconds: float, process: SandboxedProcess, data: bytes) -> bytes:
    """Return the answer, or kill the process on a timeout or a cancellation."""
    asking = asyncio.ensure_future(asyncio.to_thread(_request, process, data))
    try:
        done, _ = await asyncio.wait([asking], timeout=seconds)
        if not done:
            raise BadInput(f"this takes more than {seconds:g} seconds: make the scenario smaller")
        told = asking.result()
    finally:
        if not asking.done():
            process.kill()
            with suppress(Refusal, RuntimeError):
                await asking
    if told[:1] != DONE:
        refused = json.loads(told[1:])
        said, at = refused["said"], refused["at"]
        if refused["forbidden"]:
            raise Forbidden(said)
        raise MistakenEntry(said, at=at, meant=refused["meant"]) if at else BadInput(said)
    return told[1:]


def _start(process: SandboxedProcess) -> None:
    try:
        process.start()
    except (SandboxEnded, OSError) as error:  # the latter if the system has no room for another process
        raise RuntimeError(f"the process that checks scenarios could not be started {error}") from None


def _request(process: SandboxedProcess, data: bytes) -> bytes:
    try:
        return process.ask(data, LARGEST)
    except SandboxEnded as error:
        logger.warning("a process that checks scenarios ended (%s)", error.status)
        if error.status == 1:
            raise RuntimeError("a scenario could not be checked or previewed") from None
        raise BadInput("this takes too much memory: make the scenario smaller") from None


# ---- in the child process


def answer(request: Mapping[str, Any]) -> bytes:
    """Answer one request: `DONE` or `REFUSED`, and JSON."""
    setup = Setup(**request["with"])
    try:
        book = read_destinations(Path(setup.destinations)) if setup.destinations else None
        policies = read_policies(Path(setup.policies)) if setup.policies else Policies()
        made = _DONE[request["do"]](request, setup, book, policies)
    except EntryError as error:
        return _refused(str(error), "entry", *error.at, meant=error.meant)
    except (Refusal, ScenarioError) as error:
        return _refused(str(error), forbidden=isinstance(error, Forbidden))
    except SetupError:
        return _refused("destinations.yaml or policies.yaml of this server cannot be used")
    told = DONE + json.dumps(made, ensure_ascii=False).encode(errors="replace")
    return told if len(told) <= LARGEST else _refused(f"that would be more than {LARGEST // 2**20} MB")


def _refused(said: str, *at: str | int, meant: str | None = None, forbidden: bool = False) -> bytes:
    return REFUSED + json.dumps({"said": said, "at": at, "meant": meant, "forbidden": forbidden}).encode()


def _check(request: Mapping[str, Any], _setup: Setup, book: Destinations | None, policies: Policies) -> dict[str, Any]:
    """Return ``{"findings", "document"}``; the document is null if a finding is an error."""
    checked = check_file(_sent(request), book and book.listing, policies)
    made = checked.scenario and document(checked.scenario)
    return {"findings": _plain(checked.findings), "document": made}


def _preview(request: Mapping[str, Any], setup: Setup, book: Destinations | None, policies: Policies) -> dict[str, Any]:
    """Return `authoring.preview.contact.report` with ``findings``; without steps if one is an error."""
    made, findings = draft_of(request, book, policies)
    if made is None:
        return {"steps": [], "findings": _plain(findings)}
    step = request.get("step")
    made.require(step)
    given = given_in(request, setup, book, policies)
    told = report(preview(made, request["entry"], given), TemplateLocator(made.file), step)
    return {**told, "findings": _plain(findings)}


def _sample(request: Mapping[str, Any], _setup: Setup, book: Destinations | None, policies: Policies) -> dict[str, Any]:
    """Return ``{"entry", "findings"}``; the entry is null if none was found or a finding is an error."""
    made, findings = draft_of(request, book, policies)
    return {"entry": made and first_entry(made), "findings": _plain(findings)}


def _render(request: Mapping[str, Any], setup: Setup, book: Destinations | None, _policies: Policies) -> dict[str, Any]:
    delivery = Delivery(**request["delivery"])
    return described(render_again(request["document"], _renderer(setup, book), delivery, request["journey"]))


def draft_of(
    request: Mapping[str, Any], book: Destinations | None, policies: Policies
) -> tuple[Draft | None, tuple[Finding, ...]]:
    """Return the scenario of a request, or None if it has a mistake, and its findings.

    Raise Forbidden if the caller may not use a scenario of this name.
    """
    if "document" in request:
        return drafts.published(request["version"], request["document"], request["plan"]), ()
    made, findings = drafts.draft(_sent(request), book and book.listing, policies)
    if made is not None:
        Caller(id="", name="", scopes=(), scenarios=request.get("scenarios")).check(made.scenario.scenario)
    return made, findings


def given_in(request: Mapping[str, Any], setup: Setup, book: Destinations | None, policies: Policies) -> PreviewInputs:
    at = request.get("at")
    return PreviewInputs(
        at=datetime.fromisoformat(at) if at else None,
        events=[GivenEvent(event["name"], event["properties"]) for event in request.get("events") or ()],
        responses=request.get("responses") or {},
        platform=PlatformDates(setup.zone, setup.dates),
        renderer=_renderer(setup, book),
        policies=policies,
    )


def _renderer(setup: Setup, book: Destinations | None) -> MessageRenderer:
    return MessageRenderer.configured(setup.mail_from, setup.mail_from_allowed, setup.base, book)


def _sent(request: Mapping[str, Any]) -> ScenarioFile:
    return ScenarioFile.sent(request["source"], request.get("files"), request.get("name") or "scenario.yaml")


def _plain(findings: tuple[Finding, ...]) -> list[dict[str, Any]]:
    return [finding.as_json() for finding in findings]


_DONE: Final = {"check": _check, "preview": _preview, "sample": _sample, "render": _render}


def serve() -> None:
    """Answer requests. The main function of the child process."""
    answer_requests(lambda request: answer(json.loads(request)), megabytes=MEGABYTES, nice=NICE)
