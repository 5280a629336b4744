"""The HTTP API over a real socket, for tests from end to end."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx

from gateway.client import ScenarioClient
from gateway.serving import Front, Parts, parts_of
from runtime.process.http_server import HttpServer
from tests.e2e.conftest import add_key


@dataclass(frozen=True)
class Api:
    url: str
    key: str

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"}

    def http(self, url: str = "") -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=url or self.url, headers=self.headers, trust_env=False, timeout=120)


@asynccontextmanager
async def api(client: ScenarioClient) -> AsyncGenerator[Api]:
    token = await add_key(client.store)
    async with HttpServer() as server:
        server.start(Front(parts_of(client, client.store, Parts(api=True))))
        yield Api(server.url, token)
