"""The base of every page: caller, permissions, protection of forms, and routes, which `gateway.pages.app` lists."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, ClassVar, Final, TypeVar

from markupsafe import Markup
from starlette.datastructures import ImmutableMultiDict
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from authoring.errors import BadInput, Refusal
from gateway.api.authentication import Keys
from gateway.api.limits import Work
from gateway.api.problem import Problem, again, problem_at, problem_of
from gateway.pages.rendering import link, render, with_visible_characters
from gateway.pages.session import is_from_here, session_of
from runtime.api_keys import Scope
from scenario.errors import DurationError
from scenario.time import parse_duration
from scenario.words import Operation
from service.caller import Caller, caller_with
from service.client import ScenarioClient, Services
from service.errors import Forbidden, NotFound
from service.index import JourneyFilter
from service.operations.request import RATE, RequestedOperation
from service.view import PageRequest, PageView

_Item = TypeVar("_Item")
_Value = TypeVar("_Value")
_Word = TypeVar("_Word", bound=str)
TOKEN: Final = "token"  # noqa: S105 - the name of a field
"""The form field that proves that a form belongs to the session."""
LISTED: Final = 50  # items of a list per page
LONGEST_REASON: Final = 500  # maximum characters of the reason for an operation
_FIELDS: Final = 1000
_OTHER_SESSION: Final = "this form belongs to another session: load its page again, then send it"
_KEPT: Final = (409, 422, 503)  # statuses of refusals after which a form is shown again, with its values
Form = ImmutableMultiDict[str, str]  # a sent form


class SignInFirst(Exception):
    """The request has no valid session."""


@dataclass(frozen=True)
class Page:
    """A request for a page."""

    request: Request
    caller: Caller
    token: str  # the token for their forms
    form: Form | None = None  # the form that was refused, or None
    problem: Problem | None = None  # the reason why it, or the query, was refused
    tag: ClassVar[str] = "tag of all regions"
    """Stands in templates for the tag of the regions, which depends on all of them."""
    _regions: list[str] = dataclasses.field(default_factory=list[str])

    @property
    def client(self) -> ScenarioClient:
        return self.request.app.state.client

    @property
    def use(self) -> Services:
        return self.client.services

    @property
    def path(self) -> str:
        """The path as the browser sent it, without the query."""
        return self.request.scope["raw_path"].decode("latin-1").partition("?")[0]

    @property
    def address(self) -> str:
        """The path with the query."""
        query = self.request.url.query
        return f"{self.path}?{query}" if query else self.path

    @property
    def given(self) -> Mapping[str, str]:
        """The fields of the refused form, or else the parameters of the query."""
        return self.request.query_params if self.form is None else self.form

    def asked(self, name: str) -> str | None:
        """Return a parameter without surrounding spaces, or None if it is empty or missing."""
        return self.given.get(name, "").strip() or None

    def choice(self, name: str, words: Iterable[_Word]) -> _Word | None:
        """Return a parameter, or None if it is empty. Raise Problem if it is not one of some words."""
        words, wanted = tuple(words), self.asked(name)
        found = next((word for word in words if word == wanted), None)
        if wanted is not None and found is None:
            raise at_field(name, f"there is no such {name}: it is one of {', '.join(words)}")
        return found

    @property
    def range(self) -> PageRequest:
        return PageRequest(LISTED, self.asked("after"))

    def following(self, cursor: str | None) -> str | None:
        """Return the URL of the next part of a list, or None if this is the last."""
        query = {name: value for name, value in self.request.query_params.items() if name != "done"}
        return link(self.path, **{**query, "after": cursor}) if cursor else None

    def kept(self, name: str, default: object = "") -> str:
        """Return the text to show in a field: the one that was refused, or else the default."""
        return str(default) if self.form is None else self.form.get(name, "")

    def wrong(self, name: str) -> str | None:
        """Return the message for a field, or None if it was not refused."""
        errors = self.problem.errors if self.problem else ()
        return next((one.detail for one in errors if one.pointer.endswith((f"/{name}", f":{name}"))), None)

    def place(self, work: Work) -> AbstractAsyncContextManager[None]:
        """Occupy one of the key's places for requests. Raise Problem if all of them are taken."""
        keys: Keys = self.request.app.state.keys
        return keys.places.place(self.caller, work)

    def may(self, scope: Scope) -> bool:
        return self.caller.has(scope)

    def region(self, html: Markup) -> Markup:
        """Note a part that the script replaces, and return it."""
        self._regions.append(html)
        return html

    def render(self, template: str, *, status: int = 200, **context: Any) -> Response:
        """Render a template for the answer. The script gets only the regions that it replaces, if one has changed."""
        status = status if self.problem is None else self.problem.status_code
        answer = render(template, status=status, page=self, **context)
        if not self._regions:
            return answer
        regions = "".join(self._regions)
        tag = hashlib.sha256(regions.replace(self.token, "").encode()).hexdigest()[: len(self.tag)]
        if "hx-request" not in self.request.headers:
            return HTMLResponse(bytes(answer.body).replace(self.tag.encode(), tag.encode()), status)
        if self.request.headers.get("if-none-match") == tag:
            return Response(status_code=304)
        return HTMLResponse(with_visible_characters(regions).replace(self.tag, tag), status)


Show = Callable[[Page], Awaitable[Response]]
Do = Callable[[Page, Form], Awaitable[Response]]


def shows(path: str, show: Show) -> Route:
    """Return the route of a page, for callers with the scope read."""

    async def answer(request: Request) -> Response:
        page = await _page_of(request)
        async with page.place("read"):
            return await show(page)

    return Route(path, answer, methods=["GET"], name=f"shows {path}")


def does(
    path: str, do: Do, scope: Scope = "operate", work: Work = "write", *, files: int = 0, form_page: Show | None = None
) -> Route:
    """Return the route of a form with `files` at most, for callers with the scope read and another.

    If the form is refused, `form_page` shows it again with what was typed: see `Page.given`, `Page.kept` and
    `Page.wrong`.
    """

    async def answer(request: Request) -> Response:
        page = await _page_of(request, scope)  # before the form is read, which may be slow
        async with page.place(work):
            form = await read_form(request, files)
            try:
                session = await session_of(request, request.app.state.keys)
                if not is_from_here(request) or session is None or not session.owns(form.get(TOKEN, "")):
                    raise Problem("forbidden", _OTHER_SESSION)
                try:
                    return await do(page, form)
                except (Problem, Refusal) as error:
                    problem = problem_of(error)
                    if form_page is None or problem.status_code not in _KEPT:
                        raise
                    return await form_page(refused(page, problem, form))
            finally:
                await request.close()

    return Route(path, answer, methods=["POST"], name=f"does {path}")


def refused(page: Page, problem: Problem, form: Form | None = None) -> Page:
    """Return the page that shows why the query or a form was refused."""
    return replace(page, problem=problem, form=form)


async def listed(page: Page, find: Callable[[], Awaitable[PageView[_Item]]]) -> tuple[Page, PageView[_Item]]:
    """Return the found items. If the query is refused, return none, and the page that shows why."""
    try:
        return page, await find()
    except (Problem, BadInput) as error:
        return refused(page, problem_of(error)), PageView[_Item](items=[], next=None)


async def existing(found: Awaitable[_Value], what: str) -> _Value:
    """Return what is found. Raise Problem if it does not exist, or is of a scenario that the caller may not use."""
    try:
        return await found
    except (NotFound, Forbidden):
        raise Problem("not-found", f"there is no such {what}") from None


async def read_form(request: Request, files: int = 0) -> Form:
    """Return the sent form, without its files."""
    given = await request.form(max_files=files, max_fields=_FIELDS)
    return ImmutableMultiDict([(name, value) for name, value in given.multi_items() if isinstance(value, str)])


def reason_in(form: Form) -> str:
    """Return the required reason for an operation. Raise Problem if it is missing or too long."""
    reason = form.get("reason", "").strip()
    if not reason:
        raise at_field("reason", "give a reason: every operation needs one, and it is recorded with the journey")
    if len(reason) > LONGEST_REASON:
        raise at_field("reason", f"the reason is too long: the maximum is {LONGEST_REASON} characters")
    return reason


def check_sure(form: Form, what: str) -> None:
    """Raise Problem if the tick that confirms an operation is missing."""
    if form.get("sure") != "yes":
        raise at_field("sure", f"confirm that {what}")


def at_field(name: str, sentence: str) -> Problem:
    return problem_at(f"/{name}", "value", sentence)


def field(given: Mapping[str, Any], name: str, read: Callable[[str], _Value], wanted: str) -> _Value | None:
    """Return the value of a field, or None if it is empty. Raise Problem with the sentence `wanted` if it is invalid.

    `read` parses the text. It raises ValueError, OverflowError or DurationError if it cannot.
    """
    text = str(given.get(name, "")).strip()
    try:
        return read(text) if text else None
    except (ValueError, OverflowError, DurationError):
        raise at_field(name, wanted) from None


def version_in(given: Mapping[str, Any], name: str = "version") -> int | None:
    """Return the number of a version in a field, or None if it is empty. Raise Problem if it is no number."""
    return field(given, name, natural, "the version is a number, such as 3")


def moment_in(given: Mapping[str, Any], name: str) -> datetime | None:
    """Return the time in a field, or None if it is empty: ISO 8601, in UTC by default, or a duration ago (``2h``).

    Raise Problem if it is neither.
    """

    def read(text: str) -> datetime:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return datetime.now(UTC) - abs(parse_duration(text))
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)

    return field(given, name, read, f"'{name}' is neither a time nor a duration: write 2026-03-31T10:00 or 2h")


def natural(text: str) -> int:
    """Parse a positive number of at most nine digits. Raise ValueError if it is not one."""
    if text.isascii() and text.isdigit() and len(text) < 10 and int(text):
        return int(text)
    raise ValueError(text)


def seconds(text: str) -> float:
    """Parse a duration such as ``30s`` or ``3d``. Raise DurationError if it is not one."""
    return parse_duration(text).total_seconds()


def go_to(address: str) -> Response:
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


async def begin_operation(page: Page, form: Form, operation: Operation, which: JourneyFilter, **more: Any) -> Response:
    """Begin an operation with the reason and rate of a form, and go to its page. `more` as in `RequestedOperation`."""
    rate = field(form, "rate", float, "the rate is a number of journeys a second")
    request = RequestedOperation(
        operation=operation,
        which=which,
        operator=page.caller.name,
        reason=reason_in(form),
        rate=RATE if rate is None else rate,
        **more,
    )
    begun = await page.use.operations.begin(page.caller, request)
    page.use.refresh()
    return go_to(f"/operations/{begun.id}")
