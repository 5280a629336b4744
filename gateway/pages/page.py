"""The base of every page: caller, permissions, and protection of forms.

A module of pages has ``ROUTES``, made by `shows` and `does`; `gateway.pages.app` lists them all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from starlette.datastructures import ImmutableMultiDict
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from gateway.api.authentication import Keys
from gateway.api.limits import Work
from gateway.api.problem import Problem, again
from gateway.client import ScenarioClient
from gateway.pages.rendering import render
from gateway.pages.session import is_from_here, session_of
from gateway.service.caller import Caller, caller_with
from gateway.service.services import Services
from runtime.store.api_access import Scope
from scenario.errors import DurationError
from scenario.time.duration import parse_duration

_Value = TypeVar("_Value")

TOKEN: Final = "token"  # noqa: S105 - the name of a field
"""The form field that proves that a form belongs to the session."""
LONGEST_REASON: Final = 500
"""Maximum characters of the reason for an operation."""
_FIELDS: Final = 1000

Form = ImmutableMultiDict[str, str]
"""A sent form."""


class SignInFirst(Exception):
    """The request has no valid session."""


@dataclass(frozen=True)
class Page:
    """A request for a page.

    Attributes:
        token: The token for their forms.
    """

    request: Request
    caller: Caller
    token: str

    @property
    def client(self) -> ScenarioClient:
        """The client that executes requests."""
        return self.request.app.state.client

    @property
    def use(self) -> Services:
        """The use cases."""
        return self.client.services

    @property
    def path(self) -> str:
        """The quoted path without the query."""
        return self.request.url.path

    @property
    def address(self) -> str:
        """The path with the query."""
        url = self.request.url
        return f"{url.path}?{url.query}" if url.query else url.path

    def asked(self, name: str) -> str | None:
        """Return a query parameter without surrounding spaces, or None if it is empty or missing."""
        return self.request.query_params.get(name, "").strip() or None

    def place(self, work: Work) -> AbstractAsyncContextManager[None]:
        """Occupy one of the key's places for requests.

        Raises:
            Problem: All of them are taken.
        """
        keys: Keys = self.request.app.state.keys
        return keys.places.place(self.caller, work)

    def may(self, scope: Scope) -> bool:
        """Return True if the caller has a scope."""
        return self.caller.has(scope)

    def render(self, template: str, *, status: int = 200, **context: Any) -> HTMLResponse:
        """Render a template for the answer."""
        return render(template, status=status, page=self, **context)


Show = Callable[[Page], Awaitable[Response]]
Do = Callable[[Page, Form], Awaitable[Response]]


def shows(path: str, show: Show) -> Route:
    """Return the route of a page, for callers with the scope read."""

    async def answer(request: Request) -> Response:
        page = await _page_of(request)
        async with page.place("read"):
            return await show(page)

    return Route(path, answer, methods=["GET"], name=f"shows {path}")


def does(path: str, do: Do, scope: Scope = "operate", work: Work = "write", *, files: int = 0) -> Route:
    """Return the route of a form, for callers with the scope read and another.

    Args:
        files: Maximum number of files in the form. They are in `Request.form`.
    """

    async def answer(request: Request) -> Response:
        page = await _page_of(request, scope)  # before the form is read, which may be slow
        async with page.place(work):
            form = await read_form(request, files)
            try:
                session = await session_of(request, request.app.state.keys)
                if not is_from_here(request) or session is None or not session.owns(form.get(TOKEN, "")):
                    raise Problem(
                        "forbidden", "this form belongs to another session: load its page again, then send it"
                    )
                return await do(page, form)
            finally:
                await request.close()

    return Route(path, answer, methods=["POST"], name=f"does {path}")


async def read_form(request: Request, files: int = 0) -> Form:
    """Return the sent form, without its files."""
    given = await request.form(max_files=files, max_fields=_FIELDS)
    return ImmutableMultiDict([(name, value) for name, value in given.multi_items() if isinstance(value, str)])


def reason_in(form: Form) -> str:
    """Return the required reason for an operation.

    Raises:
        Problem: It is missing or too long.
    """
    reason = form.get("reason", "").strip()
    if not reason:
        raise Problem("invalid", "give a reason: every operation needs one, and it is recorded with the journey")
    if len(reason) > LONGEST_REASON:
        raise Problem("invalid", f"the reason is too long: the maximum is {LONGEST_REASON} characters")
    return reason


def field(given: Mapping[str, Any], name: str, read: Callable[[str], _Value], wanted: str) -> _Value | None:
    """Return the value of a field, or None if it is empty.

    Args:
        read: Parses the text. It raises ValueError, OverflowError or DurationError if it cannot.
        wanted: The sentence for an invalid value.

    Raises:
        Problem: The value is invalid.
    """
    text = str(given.get(name, "")).strip()
    try:
        return read(text) if text else None
    except (ValueError, OverflowError, DurationError):
        raise Problem("invalid", wanted) from None


def natural(text: str) -> int:
    """Parse a positive number of at most nine digits. Raise ValueError if it is not one."""
    if text.isascii() and text.isdigit() and len(text) < 10 and int(text):
        return int(text)
    raise ValueError(text)


def seconds(text: str) -> float:
    """Parse a duration such as ``30s`` or ``3d``. Raise DurationError if it is not one."""
    return parse_duration(text).total_seconds()


def since(text: str) -> datetime:
    """Parse a duration ago (``2h``), or an ISO 8601 date and time, in UTC by default."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return datetime.now(UTC) - abs(parse_duration(text))
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def go_to(address: str) -> Response:
    """Redirect the browser to the result of a form."""
    return RedirectResponse(address, 303)


async def _page_of(request: Request, *scopes: Scope) -> Page:
    keys: Keys = request.app.state.keys
    session = await session_of(request, keys)
    if session is None:
        raise SignInFirst
    caller = request.state.caller = caller_with(session.key)
    page = request.state.page = Page(request, caller, session.token)  # also for the page of an error
    if pause := keys.wait(session.key):
        raise again("too-many", "this key requests too many pages: wait some seconds", pause)
    for scope in ("read", *scopes):
        caller.require(scope)
    return page
