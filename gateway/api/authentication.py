"""Authentication, rate limits and scopes of API keys.

A request without a valid key gets the same answer for every path. FastAPI reads a body before it evaluates
dependencies, so the scope of a route is checked here first. A key without it could otherwise occupy a place by sending
its body slowly.
"""

from __future__ import annotations

import hmac
from collections import OrderedDict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Annotated, Any, Final, TypeVar

from fastapi import Request, Security
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from gateway.api.limits import UPLOADS, KeyPlaces, Work
from gateway.api.problem import SEND_AGAIN, Problem, again
from runtime.api_keys import ApiKey, Scope, digest_of, parse_token
from runtime.store import Store
from service.caller import Caller, caller_with
from service.concurrency import RateLimit

RATE: Final = 200.0  # default limit of requests per second for a key
REMEMBERED: Final = 5.0  # maximum seconds for which a revoked key is still accepted
MISSES: Final = 100  # look-ups of unknown keys per second, so that guesses cannot block the store
_KEPT: Final = 1000
_WINDOW: Final = 2.0  # seconds over which requests are counted, so that a short burst is allowed
_CHALLENGE: Final = {"www-authenticate": "Bearer"}
_NOBODY: Final = digest_of("")
_Value = TypeVar("_Value")
bearer: Final = HTTPBearer(auto_error=False, bearerFormat="sr_<id>_<secret>", description="`scenario keys create`")


class Keys:
    """Verifies API keys, and counts their requests in progress in `places`. Caches for some seconds which exist.

    `rate` are the requests per second of a key without its own limit.
    """

    def __init__(self, store: Store, *, rate: float = RATE) -> None:
        self.store, self._rate, self._clock = store, rate, monotonic
        self._known: OrderedDict[str, tuple[float, ApiKey]] = OrderedDict()
        self._unknown: OrderedDict[str, float] = OrderedDict()
        self._misses = RateLimit(MISSES, 1.0, self._clock)
        self._limits: dict[float, RateLimit] = {}
        self.places = KeyPlaces()

    async def verify(self, token: str) -> ApiKey | None:
        """Return the valid key of a token, or None. Raise StoreError if the store is unavailable.

        Raise Problem if too many unknown keys were looked up within a second.
        """
        parsed = parse_token(token)
        if parsed is None:
            return None
        identifier, secret = parsed
        key = await self._key(identifier)
        if key is None:
            hmac.compare_digest(digest_of(secret), _NOBODY)  # takes as long as where there is one
            return None
        return key if key.fits(secret) and key.is_good(datetime.now(UTC)) else None

    async def named(self, identifier: str) -> ApiKey | None:
        key = await self._key(identifier)
        return key if key is not None and key.is_good(datetime.now(UTC)) else None

    def wait(self, key: ApiKey) -> float:
        """Count one request of a key. Return 0 if it is allowed, else the seconds to wait."""
        rate = key.rate or self._rate
        limit = self._limits.get(rate)
        if limit is None:
            limit = self._limits[rate] = RateLimit(max(1, round(rate * _WINDOW)), _WINDOW, self._clock)
        return limit.take(key.id)

    async def _key(self, identifier: str) -> ApiKey | None:
        now = self._clock()
        found = self._known.get(identifier)
        if found is not None and now - found[0] < REMEMBERED:
            return found[1]
        if found is None:
            if now - self._unknown.get(identifier, -REMEMBERED) < REMEMBERED:
                return None
            if seconds := self._misses.take("", 0):
                raise again("unavailable", f"too many unknown keys are shown: {SEND_AGAIN}", seconds)
        key = await self.store.key(identifier)
        if key is None:
            self._misses.take("")
            self._known.pop(identifier, None)
            _remember(self._unknown, identifier, self._clock())
        else:
            _remember(self._known, identifier, (self._clock(), key))
        return key


def _remember(memory: OrderedDict[str, _Value], identifier: str, value: _Value) -> None:
    memory[identifier] = value
    memory.move_to_end(identifier)
    while len(memory) > _KEPT:
        memory.popitem(last=False)


class Authentication:
    """An ASGI application that passes only requests with a valid key to another one, before their body is read.

    The scope's ``state`` then has the ``caller``. `public` paths need no key.
    """

    def __init__(self, application: ASGIApp, keys: Keys, public: Collection[str] = ()) -> None:
        self._application, self._keys, self._public = application, keys, public

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """Pass a request on. Raise Problem if it has no valid key, or the key exceeds its rate."""
        if scope["path"] not in self._public or scope["method"] not in ("GET", "HEAD"):
            scope.setdefault("state", {})["caller"] = await caller_of(self._keys, shown(scope))
        await self._application(scope, receive, send)


def shown(scope: Connection) -> str | None:
    """Return the token of a request, or None if it has none or several."""
    given = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(given) != 1:
        return None
    scheme, _, token = given[0].decode("latin-1").partition(" ")
    return token.strip(" ") if scheme.lower() == "bearer" else None


async def caller_of(keys: Keys, token: str | None) -> Caller:
    """Return the caller with a token, and count the request.

    Raise Problem if the token is invalid, or exceeds its rate.
    """
    key = await keys.verify(token) if token else None
    if key is None:
        raise Problem("unauthorized", "give a key: Authorization: Bearer sr_…", headers=_CHALLENGE)
    if seconds := keys.wait(key):
        raise again("too-many", "this key makes too many requests: wait, or send batches", seconds)
    return caller_with(key)


_EXPORTS: Final = ("/campaigns/{name}/results", "/feed")  # long answers, which take a place of those that wait


@dataclass(frozen=True)
class Requires:
    """The dependency with which a route declares its scope. Its value is the `Caller`."""

    scope: Scope

    async def __call__(self, request: Request, _described: Annotated[Any, Security(bearer)]) -> Caller:
        return request.state.caller


Entering = Annotated[Caller, Security(Requires("enter"))]
Reporting = Annotated[Caller, Security(Requires("events"))]
Reading = Annotated[Caller, Security(Requires("read"))]
Looking = Annotated[Caller, Security(Requires("content"))]
Operating = Annotated[Caller, Security(Requires("operate"))]
Publishing = Annotated[Caller, Security(Requires("publish"))]
Erasing = Annotated[Caller, Security(Requires("erase"))]


class Authorization:
    """Passes on a request if its key has the scope and not too many other requests are in progress.

    Requests without a caller are public and pass. Those to paths in `waiting` mostly wait. Raise TypeError if a route
    declares no scope, or several.
    """

    def __init__(
        self,
        application: ASGIApp,
        keys: Keys,
        routes: Iterable[BaseRoute],
        prefix: str = "",
        waiting: Collection[str] = (),
    ) -> None:
        self._application, self._keys, self._prefix, self._waiting = application, keys, prefix, waiting
        self._routes: list[tuple[APIRoute, Scope]] = [
            (route, scope_of(route)) for route in routes if isinstance(route, APIRoute)
        ]

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        caller: Caller | None = scope.get("state", {}).get("caller")
        if caller is None:
            await self._application(scope, receive, send)
            return
        needed = self._needed(scope)
        caller.require(needed)
        async with self._keys.places.place(caller, self._work(scope, needed)):
            await self._application(scope, receive, send)

    def _work(self, scope: Connection, needed: Scope) -> Work:
        if scope["method"] == "GET":
            return "waiting" if scope["route"].path_format in _EXPORTS else "read"
        if needed == "publish":
            return "authoring"
        # Batches have turns for their items, and some requests wait for a worker.
        if scope["path"] in self._waiting or scope["path"].startswith(UPLOADS):
            return "waiting"
        return "waiting" if any(name == b"prefer" for name, _ in scope["headers"]) else "write"

    def _needed(self, scope: Connection) -> Scope:
        path = scope["path"].removeprefix(self._prefix)
        found = [one for one in self._routes if one[0].path_regex.match(path)]
        if not found:
            raise Problem("not-found", "there is nothing at this address: see /v1/openapi.json")
        scope["route"] = found[0][0]  # for metrics: a refused request does not reach the router, which sets it
        for route, needed in found:
            if scope["method"] in (route.methods or ()):
                scope["route"] = route
                return needed
        allowed = ", ".join(sorted({method for route, _ in found for method in route.methods or ()}))
        sentence = "this address does not take this method: see /v1/openapi.json"
        raise Problem("not-allowed", sentence, headers={"allow": allowed})


def scope_of(route: APIRoute) -> Scope:
    """Return the scope that a route declares. Raise TypeError if it declares none, or several."""
    calls = (dependency.call for dependency in route.dependant.dependencies)
    declared: list[Scope] = [call.scope for call in calls if isinstance(call, Requires)]
    if len(declared) != 1:
        raise TypeError(f"{route.path} must declare one scope: see gateway.api.authentication")
    return declared[0]
