"""The API without a server: an application of its routes, which tests use one after the other, over a store."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cache
from types import SimpleNamespace
from typing import Any, Final, cast
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.types import Message

from gateway.api import app
from gateway.api.authentication import Keys
from gateway.api.limits import MOST_UPLOADED
from runtime.api_keys import Scope
from runtime.store import Store
from scenario.entry.values import PlatformDates
from service.authoring import AuthoringService
from service.authoring_process import Authoring, Setup
from service.caller import Caller
from service.client import EventView, ScenarioClient, Services
from service.entries import Entered
from tests.factories import add_key

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
        self.services: Any = Services(cast("Any", None), self.store)
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
        known["indifferent"] = EventView(unused=1)
        return known.get(whom, usually)


@dataclass(frozen=True)
class Door:
    """The API, as the holder of a key sees it."""

    client: Any
    keys: Keys
    app: FastAPI
    http: httpx.AsyncClient
    token: str = ""

    @property
    def store(self) -> Store:
        return self.client.store

    async def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        return await self.http.request(method, f"/v1{path}", headers=headers, **options)

    async def post(self, path: str, json: Any, **headers: str) -> httpx.Response:
        """A POST of JSON; ``idempotency_key`` and the like are headers."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.ask("POST", path, json=json, headers=named)

    async def call(self, method: str, path: str, *, status: int = 200, **options: Any) -> Any:
        """Asks for something, and expects a status. Returns the answer's JSON."""
        answer = await self.ask(method, path, **options)
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

    def holding(self, token: str) -> "Door":
        return replace(self, token=token)

    async def limited(self, *scopes: Scope, **more: Any) -> "Door":
        """As the holder of a new key, which is for some scopes or scenarios alone."""
        return self.holding((await add_key(self.store, *scopes, **more))[0])


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


@asynccontextmanager
async def entered(
    client: Any, rate: float = 10_000, origins: Sequence[str] = (), uploaded: int = MOST_UPLOADED
) -> AsyncGenerator[Door]:
    """The API over a client, asked by who may do all."""
    keys = Keys(client.store, rate=rate)
    alone = nullcontext(app.application(client, keys, origins=origins)) if origins else None
    with alone or application(client, keys) as made:
        transport = httpx.ASGITransport(app.bounded(made, uploaded))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            yield await Door(client, keys, made, http).limited()


def opened(store: Store, temporal: object = None, **given: Any) -> AbstractAsyncContextManager[Door]:
    return entered(ScenarioClient(cast("Any", temporal), store, PlatformDates("Europe/Paris")), **given)


@pytest.fixture
async def api(store: Store) -> AsyncIterator[Door]:
    """The API over a client that is told what to answer."""
    async with entered(Client(store)) as door:
        yield door


@pytest.fixture
async def door(store: Store) -> AsyncIterator[Door]:
    """The API over an empty store."""
    async with opened(store) as door:
        yield door


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
