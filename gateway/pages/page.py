"""What every page has in common: who asks, what they may do, and that a form is theirs.

A module of pages has ``ROUTES``, made by `shows` and `does`; `gateway.pages.app` lists them all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Final, cast

from starlette.datastructures import ImmutableMultiDict
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from gateway.api.authentication import Keys
from gateway.api.problem import Problem, again
from gateway.api.shares import Work
from gateway.client import ScenarioClient
from gateway.pages.rendering import render
from gateway.pages.session import is_from_here, session_of
from gateway.pages.shelf import Shelf
from gateway.service.caller import Caller, caller_with
from gateway.service.services import Services
from runtime.api_key import Scope

TOKEN: Final = "token"  # noqa: S105 - the name of a field
"""The field of a form that shows whose it is."""
LONGEST_REASON: Final = 500
"""Characters of the reason for an operation."""
_FIELDS: Final = 1000

Form = ImmutableMultiDict[str, str]
"""What somebody filled in."""


class SignInFirst(Exception):
    """Nobody is signed in."""


@dataclass(frozen=True)
class Page:
    """A page that somebody asks for.

    Attributes:
        request: How.
        caller: Who, with the key that they signed in with.
        token: What their forms carry.
    """

    request: Request
    caller: Caller
    token: str

    @property
    def client(self) -> ScenarioClient:
        """Does what they ask for."""
        return cast("ScenarioClient", self.request.app.state.client)

    @property
    def use(self) -> Services:
        """The use cases."""
        return self.client.services

    @property
    def shelf(self) -> Shelf:
        """The published versions."""
        return cast("Shelf", self.request.app.state.shelf)

    @property
    def temporal_ui(self) -> str | None:
        """Where Temporal's UI is, with the namespace; None where that is not known."""
        return cast("str | None", self.request.app.state.temporal_ui)

    @property
    def path(self) -> str:
        """The address, without its query, quoted."""
        return self.request.url.path

    @property
    def address(self) -> str:
        """The address, with its query."""
        url = self.request.url
        return f"{url.path}?{url.query}" if url.query else url.path

    def asked(self, name: str) -> str | None:
        """A parameter of the address, without spaces around it; None where it is empty or missing."""
        return self.request.query_params.get(name, "").strip() or None

    def place(self, work: Work) -> AbstractAsyncContextManager[None]:
        """Occupy one of the key's places for requests.

        Raises:
            Problem: All of them are taken.
        """
        keys: Keys = self.request.app.state.keys
        return keys.places.place(self.caller, work)

    def may(self, scope: Scope) -> bool:
        """Whether they may do such a thing."""
        return self.caller.has(scope)

    def render(self, template: str, *, status: int = 200, **context: Any) -> HTMLResponse:
        """The answer."""
        return render(template, status=status, page=self, **context)


Show = Callable[[Page], Awaitable[Response]]
Do = Callable[[Page, Form], Awaitable[Response]]


def shows(path: str, show: Show) -> Route:
    """The route of a page, for whoever may read."""

    async def answer(request: Request) -> Response:
        page = await _page_of(request)
        async with page.place("read"):
            return await show(page)

    return Route(path, answer, methods=["GET"], name=f"shows {path}")


def does(path: str, do: Do, scope: Scope = "operate", work: Work = "write") -> Route:
    """The route of a form that is sent, for those whose key has a scope beside reading."""

    async def answer(request: Request) -> Response:
        page = await _page_of(request, scope)  # before the form is read, which may be slow
        async with page.place(work):
            form = await read_form(request)
            session = await session_of(request, request.app.state.keys)
            if not is_from_here(request) or session is None or not session.owns(form.get(TOKEN, "")):
                raise Problem("forbidden", "this form is not of your session: load its page again, and send it anew")
            return await do(page, form)

    return Route(path, answer, methods=["POST"], name=f"does {path}")


async def read_form(request: Request) -> Form:
    """What somebody filled in; files are not taken."""
    given = await request.form(max_files=0, max_fields=_FIELDS)
    return ImmutableMultiDict([(name, value) for name, value in given.multi_items() if isinstance(value, str)])


def reason_in(form: Form) -> str:
    """The reason that an operation has to have.

    Raises:
        Problem: There is none, or a very long one.
    """
    reason = form.get("reason", "").strip()
    if not reason:
        raise Problem("invalid", "say why: every operation needs a reason, which stays with the journey")
    if len(reason) > LONGEST_REASON:
        raise Problem("invalid", f"the reason is too long: it may have {LONGEST_REASON} characters")
    return reason


def go_to(address: str) -> Response:
    """Sends the browser on, to look at what came of a form."""
    return RedirectResponse(address, 303)


async def _page_of(request: Request, *scopes: Scope) -> Page:
    keys: Keys = request.app.state.keys
    session = await session_of(request, keys)
    if session is None:
        raise SignInFirst
    caller = request.state.caller = caller_with(session.key)
    page = request.state.page = Page(request, caller, session.token)  # also for the page that tells of an error
    if seconds := keys.wait(session.key):
        raise again("too-many", "too many pages are asked for with this key: wait some seconds", seconds)
    for scope in ("read", *scopes):
        caller.require(scope)
    return page
