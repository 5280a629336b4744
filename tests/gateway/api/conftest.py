"""The API without a server: its routes over a client that is told what to answer, and a real store of keys."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any, cast
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import Message
from temporalio.client import Client as Temporal

from gateway.api import app as api_app
from gateway.api.authentication import Keys
from gateway.client import EventView, Services
from gateway.service.caller import Caller
from gateway.service.entries import Entered
from runtime.api_keys import Scope
from runtime.store import Store
from tests.factories import add_key
from tests.gateway.api.doors import Door, application, opened


@dataclass
class Client:
    """A stand-in for `ScenarioClient` and its services of entries and events, which have no effect.

    It records what was asked. It raises `refusals`, by the contact's id. Entries wait until it is `opened`, and are
    returned with the changes of `entered`.
    """

    store: Store
    asked: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])
    refusals: dict[str, Exception] = field(default_factory=dict[str, Exception])
    opened: asyncio.Event | None = None
    entered: dict[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        self.services: Any = Services(cast("Temporal", None), self.store)
        self.services.entries = self.services.events = self

    async def enter(
        self, caller: Caller, entry: Mapping[str, Any], *, settle: float, request: UUID | None = None
    ) -> Entered:
        caller.check(str(entry["scenario"]).partition("@")[0])
        contact = str(entry["contact"]["id"])
        self.asked.append((contact, settle, request))
        if self.opened is not None:
            await self.opened.wait()
        if (refusal := self.refusals.get(contact)) is not None:
            raise refusal
        handle = cast("Any", None)
        made = Entered(f"{entry['scenario']}/{contact}", "run", already=False, handle=handle, admitted=settle > 0)
        return replace(made, **self.entered)

    async def report(self, caller: Caller, contact: str, name: str, *given: Any, **more: Any) -> EventView:
        await asyncio.sleep(0)
        return self._reached(EventView(told=2, goals=1), contact, name, *given, {**more, "scenarios": caller.scenarios})

    async def report_to(self, caller: Caller, journey: str, name: str, *given: Any, **more: Any) -> EventView:
        caller.check(journey.partition("/")[0])
        return self._reached(EventView(told=1), journey, name, *given, more)

    async def change(self, caller: Caller, contact: str, patch: Mapping[str, Any]) -> EventView:
        return self._reached(EventView(told=3), contact, patch, {"scenarios": caller.scenarios})

    def _reached(self, usually: EventView, whom: str, *asked: Any) -> EventView:
        self.asked.append((whom, *asked))
        if (refusal := self.refusals.get(whom)) is not None:
            raise refusal
        known = {"nobody": EventView(unknown=True), "early": EventView(pending=1), "over": EventView()}
        return known.get(whom, usually)


@dataclass(frozen=True)
class Api:
    client: Client
    keys: Keys
    app: FastAPI
    http: httpx.AsyncClient
    token: str

    async def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        return await self.http.request(method, f"/v1{path}", headers=headers, **options)

    async def post(self, path: str, json: Any, **headers: str) -> httpx.Response:
        """A POST of JSON; ``idempotency_key`` and the like are headers."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.call("POST", path, json=json, headers=named)

    async def key(self, *scopes: Scope, **more: Any) -> str:
        return (await add_key(self.client.store, *scopes, **more))[0]

    def holding(self, token: str) -> "Api":
        """The same, as the holder of another key sees it."""
        return replace(self, token=token)


def http_scope(method: str, path: str, headers: Mapping[str, str]) -> dict[str, Any]:
    return {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "server": ("test", 80),
        "client": ("test", 1),
        "scheme": "http",
        "http_version": "1.1",
    }


def arriving(*messages: Message) -> Callable[[], Awaitable[Message]]:
    """Return what gives these messages, and then waits."""
    given = iter(messages)

    async def receive() -> Message:
        if (message := next(given, None)) is None:
            await asyncio.Event().wait()
        return message or {}

    return receive


Opening = Callable[..., Awaitable[Api]]


@pytest.fixture
async def opening(store: Store) -> AsyncIterator[Opening]:
    async with AsyncExitStack() as opened:

        async def make(*, rate: float = 10_000, origins: Sequence[str] = ()) -> "Api":
            client, keys = Client(store), Keys(store, rate=rate)
            if origins:
                app = api_app.application(cast("Any", client), keys, origins=origins)
            else:
                app = opened.enter_context(application(client, keys))
            transport = httpx.ASGITransport(api_app.bounded(app))
            http = await opened.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://test"))
            made = Api(client, keys, app, http, "")
            return made.holding(await made.key())

        yield make


@pytest.fixture
async def api(opening: Opening) -> "Api":
    return await opening()


@pytest.fixture
async def door(store: Store) -> AsyncIterator[Door]:
    """The API over an empty store."""
    async with opened(store) as door:
        yield door
