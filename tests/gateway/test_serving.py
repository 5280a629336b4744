"""One process serves what it is asked to, and nothing else; it says so where it cannot."""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import httpx
import pytest
from pydantic import SecretStr
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from temporalio.client import Client
from temporalio.service import RPCStatusCode

from gateway import serving
from gateway.serving import OPEN, Front, Parts, serve
from runtime.errors import AttributesMissing, LocalError, SettingsError, WorkerFailed
from runtime.process.health import watching
from runtime.process.http_server import HttpServer
from runtime.process.namespace import NamespaceCheck
from runtime.process.workers import Workers, running_workers
from runtime.settings import Settings
from runtime.store import Store, StoreError, StoreUnavailable
from runtime.telemetry import metrics
from service.authoring_process import Authoring
from tests.claims import OwnNamespace, own_journal
from tests.factories import add_key
from tests.fakes import RefusingService
from tests.measured import Measured, now

NOTHING = {"error": "there is nothing here"}


def saying(word: str) -> ASGIApp:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse(f"{word} {scope['path']}")(scope, receive, send)

    return application


def asking(application: ASGIApp) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://here")


PATHS = {
    "api": ("/v1/entries", "/%761/entries"),
    "open": ("/callbacks/abc", "/u/abc", "/inbound/mail"),
    "pages": ("/", "/v1", "/v10/entries", "/unsubscribe", "//v1/entries"),
}


async def test_parts_are_told_apart_by_path():
    front = Front({"/": saying("pages"), "/v1/": saying("api"), **dict.fromkeys(OPEN, saying("open"))})
    async with asking(front) as client:
        for part, paths in PATHS.items():
            assert {(await client.get(path)).text.split()[0] for path in paths} == {part}


async def test_what_is_open_to_the_world_has_nothing_of_the_other_parts():
    async with asking(Front(dict.fromkeys(OPEN, saying("open")))) as client:
        for path in ("/", "/v1/entries", "/healthz/", "/sign-in"):
            answer = await client.post(path)
            assert (answer.status_code, answer.json()) == (404, NOTHING)
        assert (await client.get("/healthz")).json() == {"alive": True}


KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
CALLBACKS = {"callback_url": "https://hooks.example.com", "callback_key": KEY}


Begin = Callable[..., Coroutine[Any, Any, None]]


@pytest.fixture
def begin(tmp_path: Path) -> Begin:
    def begin(wanted: Parts, port: int = 0, **more: Any) -> Coroutine[Any, Any, None]:
        settings = Settings(store=SecretStr(f"sqlite:///{tmp_path / 'store.db'}"), **more)
        return serve(settings, "127.0.0.1", port, wanted)

    return begin


Served = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@dataclass
class Queue:
    """Stands in for the worker of operations on many journeys, and counts the starts of processes for previews."""

    ended: asyncio.Event = field(default_factory=asyncio.Event)
    prepared: Mock = field(default_factory=Mock)
    task_queue = "operations"
    is_running = True

    async def run(self) -> None:
        await self.ended.wait()

    async def shutdown(self) -> None:
        self.ended.set()


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> Queue:
    """A Temporal server that is there, and knows nothing: nor would it be polled."""
    service, queue = RefusingService(), Queue()
    service.refuse(RPCStatusCode.UNIMPLEMENTED)

    async def connect(**_: Any) -> Client:
        return Client(service)

    def operations(*_: object) -> AbstractAsyncContextManager[Workers]:
        return running_workers([queue])

    monkeypatch.setattr(serving, "connect", connect)
    monkeypatch.setattr(serving, "StoreIdentity", OwnNamespace)
    monkeypatch.setattr(serving, "keeping_journal", own_journal)
    monkeypatch.setattr(serving, "running_operations", operations)
    monkeypatch.setattr(Authoring, "prepare", queue.prepared)
    return queue


async def ready_port(task: asyncio.Task[None], caplog: pytest.LogCaptureFixture) -> int:
    while not (ready := [text for text in caplog.messages if text.startswith("ready")]):
        assert not task.done() or task.result()
        await asyncio.sleep(0.001)
    return int(ready[0].split("port ")[1].split()[0])


@pytest.fixture
def served(begin: Begin, caplog: pytest.LogCaptureFixture) -> Served:
    @asynccontextmanager
    async def served(wanted: Parts, **more: str) -> AsyncGenerator[httpx.AsyncClient]:
        """Serve parts to a client until the end of the block, which asks the process to stop."""
        caplog.set_level(logging.INFO)
        task = asyncio.create_task(begin(wanted, **more))
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{await ready_port(task, caplog)}") as client:
            yield client
        os.kill(os.getpid(), signal.SIGTERM)
        await task

    return served


ALL = {**CALLBACKS, "suppression_key": KEY, "encryption_keys": KEY}


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("wanted", "more", "said"),
    [
        (Parts(api=True), {}, "for the API"),
        (Parts(api=True, callbacks=True, codec=True), ALL, "for the codec, the API, callbacks and unsubscribing"),
    ],
)
async def test_it_says_what_it_serves_and_ends_when_asked_to(
    served: Served, connected: Queue, caplog: pytest.LogCaptureFixture, wanted: Parts, more: dict[str, str], said: str
):
    async with served(wanted, **more) as client:
        assert said in caplog.text
        assert (await client.get("/healthz")).json() == {"alive": True}
        assert (await client.get("/v1/nothing")).status_code == 401
        measured = Measured(metrics.HTTP_SERVER)
        assert (await client.post("/callbacks/abc", json={})).json().keys() == {"error"}
        assert len(measured.of(metrics.HTTP_SERVER)) == wanted.callbacks
        assert (await client.get("/")).json() == NOTHING
    assert caplog.messages[-1] == "stopped"
    assert connected.prepared.call_count == 1


@pytest.mark.usefixtures("connected")
async def test_the_api_asks_for_the_scope_of_providers_only_for_the_events_of_the_setting(served: Served, store: Store):
    token, _ = await add_key(store, "events")
    async with served(Parts(api=True), trusted_events="email.clicked, sms.replied") as client:
        for name, status in {"email.clicked": 403, "sms.replied": 403, "email.opened": 422}.items():
            event = {"contact": "7", "name": name}
            answer = await client.post("/v1/events", json=event, headers={"authorization": f"Bearer {token}"})
            assert answer.status_code == status


@pytest.mark.usefixtures("connected", "store")
async def test_it_is_ready_while_it_can_use_temporal_and_the_store(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    troubles: dict[str, Exception] = {}

    async def check(looked: NamespaceCheck | Store, **_: Any) -> None:
        if (trouble := troubles.get(type(looked).__name__)) is not None:
            raise trouble

    monkeypatch.setattr(NamespaceCheck, "check", check)
    monkeypatch.setattr(Store, "check", check)
    monkeypatch.setattr("runtime.process.namespace._EVERY", 0.01)
    monkeypatch.setattr(serving, "watching", partial(watching, every=0.01))
    troubles["NamespaceCheck"] = AttributesMissing("namespace default lacks the search attributes of journeys")
    async with served(Parts(api=True)) as client, asyncio.timeout(60):
        assert "lacks the search attributes" in caplog.text

        async def until(expected: dict[str, bool]) -> None:
            while (answer := await client.get("/readyz")).json()["checks"] != expected:
                await asyncio.sleep(0.01)
            assert answer.status_code == (200 if all(expected.values()) else 503)

        well = {"gateway": True, "temporal": True, "store": True, "clock": True}
        await until(well | {"temporal": False})
        troubles.clear()
        await until(well)
        troubles["Store"] = StoreUnavailable("the store is away")
        await until(well | {"store": False})
        assert {check: number for (check,), (number, _) in now(metrics.READY).items()} == well | {"store": False}


@pytest.mark.usefixtures("connected", "store")
async def test_what_is_under_way_at_the_end_still_has_its_store(begin: Begin, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    task = asyncio.create_task(begin(Parts(api=True)))
    reader, writer = await asyncio.open_connection("127.0.0.1", await ready_port(task, caplog))
    head = f"POST /v1/entries HTTP/1.1\r\nhost: x\r\nauthorization: Bearer sr_abcdefgh_{'0' * 64}\r\n"
    writer.write(f"{head}content-type: application/json\r\ncontent-length: 2\r\n\r\n{{".encode())
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{writer.get_extra_info('peername')[1]}") as client:
        await client.get("/healthz")  # by now the one before is under way
    os.kill(os.getpid(), signal.SIGTERM)
    while not any(text.startswith("stopping") for text in caplog.messages):
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.05)  # for a store that is closed too early
    writer.write(b"}")
    assert (await reader.readline()).split()[1] == b"401"
    writer.close()
    await task


@pytest.mark.usefixtures("store")
async def test_operations_that_are_not_carried_out_end_all_but_what_is_open_to_the_world(
    begin: Begin, served: Served, connected: Queue, caplog: pytest.LogCaptureFixture
):
    connected.ended.set()
    async with served(Parts(callbacks=True), **CALLBACKS) as client:
        assert "for callbacks; not configured: unsubscribing" in caplog.text
        assert (await client.post("/v1/entries", json={})).status_code == 404
    assert connected.prepared.call_count == 0
    with pytest.raises(WorkerFailed, match="the worker of the queue 'operations' failed"):
        await begin(Parts(pages=True))


@pytest.mark.usefixtures("connected")
async def test_what_is_missing_or_taken_is_said_before_anything_is_served(begin: Begin):
    missing = "set SCENARIO_CALLBACK_URL and SCENARIO_CALLBACK_KEY here"
    async with HttpServer() as taken:
        for wanted, port, error, said in (
            (Parts(api=True, callbacks=True), 0, SettingsError, missing),
            (Parts(api=True), 0, StoreError, "no store"),
            (Parts(api=True), taken.port, LocalError, f"port {taken.port} is in use by another program"),
        ):
            with pytest.raises(error, match=said):
                await begin(wanted, port)


@pytest.mark.usefixtures("store")
async def test_asked_to_stop_before_it_is_ready_it_does(begin: Begin, monkeypatch: pytest.MonkeyPatch):
    waiting = asyncio.Event()

    async def connect(**_: Any) -> None:
        waiting.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(serving, "connect", connect)
    monkeypatch.setattr(serving, "StoreIdentity", OwnNamespace)
    monkeypatch.setattr(serving, "keeping_journal", own_journal)
    task = asyncio.create_task(begin(Parts(api=True)))
    await waiting.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(asyncio.CancelledError):
        await task
