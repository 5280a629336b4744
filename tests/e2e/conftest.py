"""Real servers for journeys from end to end: Temporal's dev server, mail over SMTP, webhooks over HTTP, workers."""

import asyncio
import base64
import itertools
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any, Final, Self

import httpx
import pytest
import pytest_asyncio
from aiohttp import web
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import SecretStr
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest, ResetStickyTaskQueueRequest
from temporalio.client import Client, Interceptor

from activities.dependencies import WorkerServices
from activities.webhook.route import Diverted, Routes
from cli import program
from gateway.api.authentication import Keys
from gateway.codec import PREFIX, application
from gateway.serving import Front, Parts, parts_of
from runtime import search_attributes
from runtime.api_keys import Scope
from runtime.connection import connect
from runtime.encryption.codec import keyring_of
from runtime.encryption.converter import encrypt_client
from runtime.errors import NotInstalled
from runtime.local import devserver
from runtime.local.devserver import DevServer, find_program
from runtime.local.receiver import Inbox, Receiver
from runtime.process.http_server import HttpServer
from runtime.settings import Settings
from runtime.store import Store
from runtime.telemetry.telemetry import provider_of
from runtime.telemetry.tracing import JourneyTracing
from service.client import ScenarioClient
from tests import factories
from tests.fakes import Ran
from tests.replay.record import DELETES_SOON, until
from worker import running_workers, services, workers

ROOT = Path(__file__).resolve().parents[2]
SENDER = "Shop <shop@example.com>"
KEYS = base64.b64encode(b"k" * 32).decode()
"""What everything is encrypted by, where it is."""
ENCRYPTED = os.environ.get("SCENARIO_TEST_ENCRYPTION", "some")
"""Which tests run with everything encrypted: `all`, `none`, or those that are marked so."""


def is_encrypted(marked: bool) -> bool:
    return ENCRYPTED == "all" or (marked and ENCRYPTED != "none")


@pytest.fixture(autouse=True)
def encryption(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether everything is encrypted, as for whoever sets the variable: here, and in all processes of the test."""
    wanted = is_encrypted(request.node.get_closest_marker("encrypted") is not None)
    if wanted:
        monkeypatch.setenv("SCENARIO_ENCRYPTION_KEYS", KEYS)
    else:
        monkeypatch.delenv("SCENARIO_ENCRYPTION_KEYS", raising=False)
    return wanted


def sealing(temporal: Client, store: Store, *, worker: bool = False) -> Client:
    return encrypt_client(temporal, keyring_of(Settings(), store), worker=worker)


@pytest.fixture(scope="session")
def temporal_program(temporal_server: None) -> Path:
    del temporal_server  # a mark
    try:
        return find_program()
    except NotInstalled as missing:
        pytest.skip(str(missing))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_server(temporal_program: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DevServer]:
    del temporal_program  # it is there
    async with DevServer(tmp_path_factory.mktemp("state")) as started:
        yield started


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def deleting_server(temporal_program: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DevServer]:
    """Another one, which deletes runs within seconds instead of minutes. Elsewhere erasures are to last longer."""
    del temporal_program  # it is there
    with pytest.MonkeyPatch.context() as patch:
        for name, value in DELETES_SOON.items():
            patch.setitem(devserver.DYNAMIC_CONFIG, name, value)
        async with DevServer(tmp_path_factory.mktemp("state")) as started:
            yield started


@dataclass(frozen=True)
class Server:
    address: str
    namespace: str
    database: Path
    """The file of all namespaces of the server."""

    @property
    def environ(self) -> dict[str, str]:
        return {"TEMPORAL_ADDRESS": self.address, "TEMPORAL_NAMESPACE": self.namespace}

    async def connect(self, *interceptors: Interceptor) -> Client:
        return await connect(self.address, namespace=self.namespace, interceptors=interceptors)


@pytest.fixture
async def server(shared_server: DevServer) -> Server:
    """A namespace of the test's own: journeys that another test left running meet neither its workers nor its store."""
    return await namespace_on(shared_server)


async def namespace_on(shared_server: DevServer) -> Server:
    made = Server(shared_server.address, f"test-{uuid.uuid4().hex[:8]}", shared_server.log.with_name("temporal.db"))
    request = RegisterNamespaceRequest(namespace=made.namespace)
    request.workflow_execution_retention_period.FromTimedelta(timedelta(days=1))
    default = await connect(made.address, interceptors=[])
    await default.workflow_service.register_namespace(request)
    await search_attributes.ensure(await made.connect())
    return made


@pytest.fixture
async def inbox(tmp_path: Path) -> AsyncIterator[Inbox]:
    async with Inbox(tmp_path / "inbox") as started:
        yield started


@dataclass(frozen=True)
class Call:
    path: str
    delivery: str
    body: bytes


@asynccontextmanager
async def listening(receive: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncGenerator[str]:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", receive)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


class Gate:
    """A receiver at whose gate the first requests wait until it is opened; it answers with what it was told.

    Args:
        hold: So many of the first requests wait.
        fail: So many of the first are answered 503.
    """

    def __init__(self, hold: int, fail: int = 0) -> None:
        self.calls: list[Call] = []
        self.url = ""
        self.opened = asyncio.Event()
        self._numbers = itertools.count(1)
        self._hold, self._fail = hold, fail
        self._serving = listening(self._receive)

    async def __aenter__(self) -> Self:
        self.url = await self._serving.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        self.opened.set()
        await self._serving.__aexit__(*error)

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.calls.append(Call(request.path, request.headers.get("webhook-id", ""), body))
        if (number := next(self._numbers)) <= self._hold:
            await self.opened.wait()
        return web.Response(body=body, status=503 if number <= self._fail else 200)

    async def called(self, times: int) -> None:
        async with asyncio.timeout(240):
            while len(self.calls) < times:
                await asyncio.sleep(0.02)


@dataclass(frozen=True)
class Stand:
    client: ScenarioClient
    inbox: Inbox
    receiver: Receiver
    spans: InMemorySpanExporter
    provider: TracerProvider


Stands = Callable[..., AbstractAsyncContextManager[Stand]]


@dataclass(frozen=True)
class Site:
    """A store, what a worker has beside it, and a client. All of it encrypts if everything is encrypted."""

    client: ScenarioClient
    services: WorkerServices
    temporal: Client
    """The client without encryption."""

    @property
    def store(self) -> Store:
        return self.services.store

    @asynccontextmanager
    async def working(self, *queues: str) -> AsyncGenerator[None]:
        """Run workers of these queues, or of all, in this process."""
        temporal = sealing(self.temporal, self.store, worker=True)
        async with running_workers(await workers(temporal, self.services, queues)):
            yield


@asynccontextmanager
async def opened(
    temporal: Client, folder: Path, *, inbox: Path | None = None, routes: Routes | None = None, **settings: Any
) -> AsyncGenerator[Site]:
    given = Settings(store=SecretStr(store_in(folder)), **settings)
    async with services(given, inbox=inbox, routes=routes) as made:
        yield Site(ScenarioClient(sealing(temporal, made.store), made.store), made, temporal)


def store_in(folder: Path) -> str:
    return f"sqlite+aiosqlite:///{folder / 'store.db'}"


Process = asyncio.subprocess.Process
WORKER: Final = (sys.executable, "-m", "tests.e2e.process")
"""A worker that sends webhooks to the receiver that the variable TEST_RECEIVER names."""


@asynccontextmanager
async def process(*command: str, log: Path, environ: Mapping[str, str], cwd: Path = ROOT) -> AsyncGenerator[Process]:
    """A program whose standard error goes to a file. If it still runs at the end, it is killed."""
    with log.open("ab") as errors:
        started = await asyncio.create_subprocess_exec(
            *command, cwd=cwd, env={**environment(PYTHONPATH=str(ROOT)), **environ}, stderr=errors
        )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.wait()


async def until_state(client: ScenarioClient, journey: str, *states: str) -> str | None:
    return (await until(lambda: client.show(journey), lambda shown: shown.state in states)).state


async def until_held(client: ScenarioClient, number: int, **wanted: Any) -> None:
    await until(partial(client.held, **wanted), lambda held: len(held) >= number)


async def until_received(receiver: Receiver, path: str, number: int) -> None:
    async with asyncio.timeout(60):
        while len(receiver.requests(path)) < number:
            await asyncio.sleep(0.05)


async def is_ready(address: str) -> bool:
    try:
        async with httpx.AsyncClient(trust_env=False) as http:
            return (await http.get(f"{address}/readyz")).status_code == 200
    except httpx.TransportError:  # it does not listen yet
        return False


async def until_found(temporal: Client, query: str, number: int) -> None:
    """Wait until search, which lags, finds so many running journeys."""
    query = f"WorkflowType = 'Journey' AND ExecutionStatus = 'Running' AND {query}"
    await until(lambda: temporal.count_workflows(query), lambda found: found.count == number, within=120)


@pytest.fixture
def codec() -> dict[str, str]:
    """The variables by which Temporal's command line asks the stand's codec server, where everything is encrypted."""
    return {}


@pytest.fixture
def stand(
    server: Server, inbox: Inbox, codec: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Stands:
    """Puts one up, traced into memory; the receiver answers as `fail` says. With `gate`, webhooks go there instead."""
    spans = InMemorySpanExporter()
    provider = provider_of(SimpleSpanProcessor(spans))
    # The global provider can be set but once in a process, which other tests share.
    monkeypatch.setattr("activities.webhook.activity._tracer", provider.get_tracer("test"))

    @asynccontextmanager
    async def put_up(
        fail: Mapping[str, Sequence[int]] | None = None, gate: Gate | None = None
    ) -> AsyncGenerator[Stand]:
        temporal = await server.connect(JourneyTracing(provider))
        local = {"smtp": SecretStr(inbox.url), "mail_from": SENDER, "sms": SecretStr("local:")}
        async with (
            Receiver(fail=fail) as receiver,
            opened(
                temporal, tmp_path, inbox=inbox.folder, routes=Diverted(gate.url if gate else receiver.url), **local
            ) as site,
            site.working(),
            decoding(site.store) as variables,
        ):
            codec.update(variables)
            yield Stand(site.client, inbox, receiver, spans, provider)

    return put_up


@asynccontextmanager
async def decoding(store: Store) -> AsyncGenerator[dict[str, str]]:
    if not (keys := keyring_of(Settings(), store)).encrypts:
        yield {}
        return
    async with HttpServer() as server:
        server.start(application(keys, Keys(store), []))
        key = await add_key(store, "decode")
        yield {"TEMPORAL_CODEC_ENDPOINT": f"{server.url}{PREFIX}", "TEMPORAL_CODEC_AUTH": f"Bearer {key}"}


async def add_key(store: Store, *scopes: Scope) -> str:
    return (await factories.add_key(store, *scopes, rate=10_000.0))[0]


@dataclass(frozen=True)
class Api:
    url: str
    key: str

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"}

    def http(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, headers=self.headers, trust_env=False, timeout=120)


@asynccontextmanager
async def api(client: ScenarioClient) -> AsyncGenerator[Api]:
    token = await add_key(client.store)
    async with HttpServer() as server:
        server.start(Front(parts_of(client, client.store, Parts(api=True))))
        yield Api(server.url, token)


def entry(scenario: str, contact: object = 1, **more: Any) -> dict[str, Any]:
    return {"scenario": scenario, "contact": {"id": contact, **more}, "trigger": {"type": "segment"}}


def command(*arguments: str) -> Ran:
    """Run our command line in this process."""
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = program.run(arguments)
    return Ran(status, out.getvalue(), err.getvalue())


Command = Callable[..., Awaitable[Ran]]


@pytest.fixture
def temporal(server: Server, temporal_program: Path, codec: dict[str, str]) -> Command:
    async def run(*arguments: str) -> Ran:
        process = await asyncio.create_subprocess_exec(
            *(str(temporal_program), *arguments),
            env=environment(**server.environ, **codec),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        async with asyncio.timeout(60):
            out, err = await process.communicate()
        assert process.returncode is not None
        return Ran(process.returncode, out.decode(), err.decode())

    return run


async def publish(client: ScenarioClient, folder: Path, text: str) -> None:
    path = folder / f"{text.split()[1]}.yaml"
    path.write_text(text, "utf-8")
    await client.publish(path)


def outcomes(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(step["id"], step["outcome"]) for step in result["steps"]]


def environment(**more: str) -> dict[str, str]:
    """This process's, without anything that configures a worker or narrows the screen, encryption excepted."""
    ours, kept = ("TEMPORAL_", "SCENARIO_", "OTEL_", "COLUMNS"), "SCENARIO_ENCRYPTION_KEYS"
    return {name: value for name, value in os.environ.items() if name == kept or not name.startswith(ours)} | more


async def forget_the_dead(client: ScenarioClient, journey: str) -> None:
    """Temporal waits ten seconds for a dead worker before it gives its journeys to another: not here."""
    await client.temporal.workflow_service.reset_sticky_task_queue(
        ResetStickyTaskQueueRequest(
            namespace=client.temporal.namespace, execution=WorkflowExecution(workflow_id=journey)
        )
    )
