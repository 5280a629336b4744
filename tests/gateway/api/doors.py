"""The API over a store, without a server: what its routes for authors and readers need."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

import httpx

from gateway.api import app
from gateway.api.authentication import Keys
from gateway.api.limits import MOST_UPLOADED
from gateway.client import ScenarioClient
from runtime.api_keys import SCOPES, Scope
from runtime.store import Store
from tests.factories import add_key
from tests.gateway.api.routes import application


@dataclass(frozen=True)
class Door:
    http: httpx.AsyncClient
    store: Store

    async def call(self, method: str, path: str, *, status: int = 200, **options: Any) -> Any:
        """Asks for something, and expects a status. Returns the answer's JSON."""
        answer = await self.http.request(method, f"/v1{path}", **options)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def limited(self, *scenarios: str, scopes: Sequence[Scope] = SCOPES) -> Door:
        """As who has a key for some scenarios alone."""
        token, _ = await add_key(self.store, *scopes, scenarios=scenarios or None)
        http = httpx.AsyncClient(
            transport=self.http._transport,  # pyright: ignore[reportPrivateUsage]
            base_url="http://test",
            headers={"authorization": f"Bearer {token}"},
        )
        return replace(self, http=http)


@asynccontextmanager
async def opened(store: Store, temporal: object = None, *, uploaded: int = MOST_UPLOADED) -> AsyncGenerator[Door]:
    """The API, asked by who may do all."""
    client = ScenarioClient(cast("Any", temporal), store, "Europe/Paris")
    token, _ = await add_key(store)
    with application(client, Keys(store)) as made:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app.bounded(made, uploaded)),
            base_url="http://test",
            headers={"authorization": f"Bearer {token}"},
        ) as http:
            yield Door(http, store)
