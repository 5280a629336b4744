"""The routes of the API, and an application of them that tests use one after the other."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import Any, Final, cast

from fastapi import FastAPI

from gateway.api import app
from gateway.api.authentication import Keys
from gateway.authoring.process import Authoring
from gateway.authoring.work import Setup
from gateway.service.authoring import AuthoringService

AUTHORS: Final = Authoring(Setup(zone="Europe/Paris"))
"""One for all tests of a process: each starts processes of its own."""


class _Present:
    """What each test has of its own, behind an application that they share."""

    now: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.now, name)


@dataclass(frozen=True)
class _Shared:
    store: _Present = field(default_factory=_Present)
    keys: _Present = field(default_factory=_Present)

    def made(self) -> FastAPI:
        client: Any = SimpleNamespace(store=self.store)
        return app.application(client, cast("Any", self.keys))


_FREE: Final[list[tuple[FastAPI, _Shared]]] = []


@contextmanager
def application(client: Any, keys: Keys) -> Generator[FastAPI]:
    """The API, which an earlier test may have had.

    An application works its routes out when it is first asked, which takes longer than most tests.
    """
    if _FREE:
        made, shared = _FREE.pop()
    else:
        shared = _Shared()
        made = shared.made()
    shared.store.now, shared.keys.now = client.store, keys
    made.state.client, made.state.keys = client, keys
    made.state.authoring = AuthoringService(client.store, AUTHORS)
    made.middleware_stack = None  # so that it is made anew, and nothing in it is from another test
    try:
        yield made
    finally:
        _FREE.append((made, shared))


@cache
def described() -> dict[str, Any]:
    nothing: Any = SimpleNamespace(store=None)
    with application(nothing, nothing) as made:
        return made.openapi()
