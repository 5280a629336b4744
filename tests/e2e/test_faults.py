"""Temporal frozen, without search attributes, or replaced by an empty one: engines send again, and it recovers."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr
from temporalio.api.operatorservice.v1 import RemoveSearchAttributesRequest

import worker
from authoring.publishing import publish
from gateway import serving
from gateway.serving import Parts
from runtime import search_attributes
from runtime.connection import connect
from runtime.local.devserver import DevServer
from runtime.process.shutdown import Deadline
from runtime.settings import Settings
from runtime.store import Store
from tests.e2e.conftest import add_key, entry, is_ready, until
from tests.servers import reserved_port

SCENARIO = "scenario: hello\ntrigger: segment\nsteps:\n  - exit: done\n"


@dataclass(frozen=True)
class Site:
    http: httpx.AsyncClient
    health: str
    gateway: str

    async def enter(self, contact: int) -> httpx.Response:
        headers = {"idempotency-key": f"entry-{contact}", "prefer": "wait=5"}
        return await self.http.post("/v1/entries", json=entry("hello", contact), headers=headers)

    async def refused(self, contact: int) -> None:
        answer = await self.enter(contact)
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable"), answer.text
        assert int(answer.headers["retry-after"]) > 0

    async def accepted(self, contact: int) -> None:
        async with asyncio.timeout(60):
            while (answer := await self.enter(contact)).status_code == 503:
                await asyncio.sleep(0.2)
        assert answer.status_code in (201, 202), answer.text

    async def ready(self) -> None:
        for url in (self.health, self.gateway):
            await until(partial(is_ready, url))


@asynccontextmanager
async def running(address: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Site]:
    monkeypatch.setenv("TEMPORAL_ADDRESS", address)
    monkeypatch.setattr("runtime.process.namespace._EVERY", 0.5)
    settings = Settings(store=SecretStr(f"sqlite:///{folder / 'store.db'}"))
    file = folder / "hello.yaml"
    file.write_text(SCENARIO, "utf-8")
    async with Store.open(settings.store.get_secret_value()) as store:
        await publish(file, store)
        token = await add_key(store)
    health, port = reserved_port(), reserved_port()
    tasks = [
        asyncio.create_task(worker.serve(settings, ["journeys"], Deadline(1), health_port=health)),
        asyncio.create_task(serving.serve(settings, "127.0.0.1", port, Parts(api=True))),
    ]
    gateway = f"http://127.0.0.1:{port}"
    headers = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=gateway, headers=headers, trust_env=False) as http:
        site = Site(http, f"http://127.0.0.1:{health}", gateway)
        try:
            await site.ready()
            yield site
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def frozen(server: DevServer) -> Generator[None]:
    process = server._process  # pyright: ignore[reportPrivateUsage]
    assert process is not None
    os.killpg(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGCONT)


async def remove(address: str, attribute: str) -> None:
    temporal = await connect(address)
    request = RemoveSearchAttributesRequest(namespace="default", search_attributes=[attribute])
    await temporal.operator_service.remove_search_attributes(request)


@pytest.mark.nightly
@pytest.mark.usefixtures("temporal_program")
async def test_what_temporal_lacks_is_never_the_engines_fault_and_is_repaired(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    port = reserved_port()
    async with AsyncExitStack() as servers:
        first = await servers.enter_async_context(DevServer(tmp_path / "first", port=port))
        async with running(first.address, tmp_path, monkeypatch) as site:
            await site.accepted(1)
            with frozen(first):
                await site.refused(2)
            await site.accepted(2)
            await remove(first.address, "ContactId")
            await site.refused(3)
            await site.accepted(3)
            assert "lacked search attributes: they have been registered again" in caplog.text
            await first.__aexit__()
            caplog.clear()
            with monkeypatch.context() as patch:
                patch.setattr(search_attributes, "ALL", ())  # an empty one has none
                await servers.enter_async_context(DevServer(tmp_path / "second", port=port))
            await site.accepted(4)
            await site.ready()
    assert "is another than before" in caplog.text
    assert "lacked search attributes: they have been registered again" in caplog.text
