"""The API without a server: an application of its routes, which tests use one after the other, over a store."""

from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from types import SimpleNamespace
from typing import Any, Final, cast

import httpx
from fastapi import FastAPI
from fastapi.routing import APIRoute

from gateway.api import app
from gateway.api.authentication import Keys
from gateway.api.limits import MOST_UPLOADED
from gateway.authoring.process import Authoring
from gateway.authoring.work import Setup
from gateway.client import ScenarioClient
from gateway.service.authoring import AuthoringService
from runtime.api_keys import SCOPES, Scope
from runtime.store import Store
from tests.factories import add_key


@dataclass(frozen=True)
class Door:
    http: httpx.AsyncClient
    store: Store

    async def call(self, method: str, path: str, *, status: int = 200, **options: Any) -> Any:
        """Asks for something, and expects a status. Returns the answer's JSON."""
        answer = await self.http.request(method, f"/v1{path}", **options)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def pages(self, path: str, **params: Any) -> list[list[dict[str, Any]]]:
        """Return the items of a list, page by page."""
        pages: list[list[dict[str, Any]]] = []
        while not pages or params["cursor"]:
            page = await self.call("GET", path, params=params)
            pages.append(page["items"])
            params["cursor"] = page["next"]
        return pages

    async def limited(self, *scenarios: str, scopes: Sequence[Scope] = SCOPES) -> "Door":
        """As who has a key for some scenarios alone."""
        token, _ = await add_key(self.store, *scopes, scenarios=scenarios or None)
        transport = self.http._transport  # pyright: ignore[reportPrivateUsage]
        return replace(self, http=_client(transport, token))


def _client(transport: httpx.AsyncBaseTransport, token: str) -> httpx.AsyncClient:
    headers = {"authorization": f"Bearer {token}"}
    return httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers)


@asynccontextmanager
async def opened(store: Store, temporal: object = None, *, uploaded: int = MOST_UPLOADED) -> AsyncGenerator["Door"]:
    """The API, asked by who may do all."""
    client = ScenarioClient(cast("Any", temporal), store, "Europe/Paris")
    token, _ = await add_key(store)
    with application(client, Keys(store)) as made:
        async with _client(httpx.ASGITransport(app.bounded(made, uploaded)), token) as http:
            yield Door(http, store)


AUTHORS: Final = Authoring(Setup(zone="Europe/Paris"))
"""One for all tests of a process: each starts processes of its own."""
ROUTES: Final = [
    (method, route)
    for router in app.ROUTERS
    for route in router.routes
    if isinstance(route, APIRoute)
    for method in sorted(route.methods or ())
]
HELLO: Final = "scenario: hello\ntrigger: order\nsteps:\n  - sms: hello\n    text: Hello\n"


class _Present:
    """What each test has of its own, behind an application that they share."""

    now: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.now, name)


_FREE: Final[list[tuple[FastAPI, _Present, _Present]]] = []


@contextmanager
def application(client: Any, keys: Keys) -> Generator[FastAPI]:
    """The API, which an earlier test may have had.

    An application works its routes out when it is first asked, which takes longer than most tests.
    """
    if _FREE:
        made, shared_store, shared_keys = _FREE.pop()
    else:
        shared_store, shared_keys = _Present(), _Present()
        made = app.application(cast("Any", SimpleNamespace(store=shared_store)), cast("Any", shared_keys))
    shared_store.now, shared_keys.now = client.store, keys
    made.state.client, made.state.keys = client, keys
    made.state.authoring = AuthoringService(client.store, AUTHORS)
    made.middleware_stack = None  # so that it is made anew, and nothing in it is from another test
    try:
        yield made
    finally:
        _FREE.append((made, shared_store, shared_keys))


@cache
def described() -> dict[str, Any]:
    nothing: Any = SimpleNamespace(store=None)
    with application(nothing, nothing) as made:
        return made.openapi()
