"""Checks the scope of a route before the request's body is read.

FastAPI reads a body before it evaluates dependencies. A key without the scope could otherwise occupy a place by sending
its body slowly.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from re import Pattern
from typing import Annotated, Any, Final

from fastapi import Request, Security
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from gateway.api.authentication import Keys, bearer
from gateway.api.limits import UPLOADS, Work
from gateway.api.problem import Problem
from gateway.service.caller import Caller
from runtime.api_keys import Scope

_EXPORTS: Final = ("/campaigns/{name}/results", "/feed")  # routes whose answers may take long: they need no turn


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


@dataclass(frozen=True)
class _Rule:
    pattern: Pattern[str]
    path_format: str
    methods: frozenset[str]
    scope: Scope


class Authorization:
    """An ASGI application that passes only requests whose key has the scope and a free place.

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
        self._rules = [
            _Rule(route.path_regex, route.path_format, frozenset(route.methods or ()), scope_of(route))
            for route in routes
            if isinstance(route, APIRoute)
        ]

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        caller: Caller | None = scope.get("state", {}).get("caller")
        if caller is None:
            await self._application(scope, receive, send)
            return
        caller.require(self._needed(scope))
        async with self._keys.places.place(caller, self._work(scope)):
            await self._application(scope, receive, send)

    def _work(self, scope: Connection) -> Work:
        if scope["method"] == "GET":
            return "waiting" if scope["route"].path_format in _EXPORTS else "read"
        if scope["route"].scope == "publish":
            return "authoring"
        # Batches have turns for their items, and some requests wait for a worker.
        if scope["path"] in self._waiting or scope["path"].startswith(UPLOADS):
            return "waiting"
        return "waiting" if any(name == b"prefer" for name, _ in scope["headers"]) else "write"

    def _needed(self, scope: Connection) -> Scope:
        path = scope["path"].removeprefix(self._prefix)
        found = [rule for rule in self._rules if rule.pattern.match(path)]
        if not found:
            raise Problem("not-found", "there is nothing at this address: see /v1/openapi.json")
        rule = next((rule for rule in found if scope["method"] in rule.methods), None)
        scope["route"] = rule or found[0]  # for metrics: a refused request does not reach the router, which sets it
        if rule is None:
            allowed = ", ".join(sorted({method for rule in found for method in rule.methods}))
            sentence = "this address does not take this method: see /v1/openapi.json"
            raise Problem("not-allowed", sentence, headers={"allow": allowed})
        return rule.scope


def scope_of(route: APIRoute) -> Scope:
    """Return the scope that a route declares. Raise TypeError if it declares none, or several."""
    calls = (dependency.call for dependency in route.dependant.dependencies)
    declared: list[Scope] = [call.scope for call in calls if isinstance(call, Requires)]
    if len(declared) != 1:
        raise TypeError(f"{route.path} must declare one scope: see gateway.api.authorization")
    return declared[0]
