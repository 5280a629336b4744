"""The API's errors: problem details (RFC 9457), one sentence each.

Programs use ``code``, which is stable; ``type`` is the same as a URN. ``errors`` has one item for each mistake of a
request, with a JSON pointer (RFC 6901) into its body, or the parameter's name. Problems never quote a request: its
values may be a contact's.
"""

from __future__ import annotations

import logging
import math
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, get_type_hints

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from temporalio.service import RPCError

from runtime.errors import SetupError
from runtime.store import StoreError
from runtime.temporal_faults import fault_of
from scenario.model.parts import EVENT, NAME
from scenario.validation import flaws
from service import errors

logger = logging.getLogger(__name__)
VERSIONED: Final = r"^[^@\s]+(@[1-9]\d{0,8})?$"
CURSOR: Final = "^[A-Za-z0-9_-]+$"
MEDIA: Final = "application/problem+json"
SEND_AGAIN: Final = (
    "send the same request again after Retry-After, with the same Idempotency-Key if it changes anything"
)
"""What a caller can do about an error that is not theirs."""
AGAIN: Final = 5  # seconds to wait before a repetition, if nothing better is known


class ResponseBody(BaseModel):
    """A JSON object in an answer that omits fields. A docstring below a field is the field's description."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Mistake(ResponseBody):
    """One mistake of a request."""

    pointer: str
    """A JSON pointer into the body, `""` for the whole; or `query:limit`, `header:prefer`."""
    code: str
    """The kind of mistake, for programs."""
    detail: str
    """The mistake, as one sentence."""
    did_you_mean: str | None = None
    """The name that was probably meant."""
    file: str | None = None
    """For scenarios: the file, or the file that it refers to."""
    line: int | None = None
    """The file's line, starting at 1."""
    column: int | None = None
    """The line's column in characters, starting at 1."""


class ProblemBody(ResponseBody):
    """A problem (RFC 9457)."""

    type: str = Field(examples=["urn:scenario-runner:not-entered"])
    """The kind of problem as a URN, made from `code`."""
    title: str
    """The kind of problem, for people."""
    status: int
    """The answer's status."""
    code: str = Field(examples=["not-entered"])
    """The kind of problem, for programs. It is stable."""
    detail: str
    """The problem and what to do about it, for people."""
    errors: list[Mistake] = Field(default_factory=list[Mistake])
    """The mistakes of the request, if any."""
    journey: str | None = None
    """The journey that the problem is about, if there is one."""


TITLES: Final = {  # status and title of each code
    "malformed": (400, "The request cannot be read"),
    "unauthorized": (401, "The key is missing or wrong"),
    "forbidden": (403, "The key does not permit this"),
    "not-found": (404, "It was not found"),
    "not-allowed": (405, "This address does not support the method"),
    "too-slow": (408, "The request did not arrive in time"),
    "conflict": (409, "It exists already or is in progress"),
    "not-accepted": (409, "The operation is not possible now"),
    "too-large": (413, "The request is too large"),
    "unsupported-media": (415, "The format of the body is not supported"),
    "invalid": (422, "The request has mistakes"),
    "too-many": (429, "Too many requests"),
    "failed": (500, "An unexpected error occurred"),
    "no-answer": (503, "No worker answered"),
    "unavailable": (503, "A required service is unavailable"),
}


class Problem(HTTPException):
    """Ends a request with a problem. As an `HTTPException`, it passes through FastAPI's reading of bodies.

    `code` is one of `TITLES`. `detail` is one sentence, without anything of a contact except ids.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        errors: Sequence[Mistake] = (),
        *,
        headers: Mapping[str, str] | None = None,
        journey: str | None = None,
    ) -> None:
        super().__init__(TITLES[code][0], detail, headers)
        self.code, self.errors, self.journey = code, errors, journey

    @property
    def body(self) -> dict[str, Any]:
        body = ProblemBody(
            type=f"urn:scenario-runner:{self.code}",
            title=TITLES[self.code][1],
            status=self.status_code,
            code=self.code,
            detail=self.detail,
            errors=list(self.errors),
            journey=self.journey,
        )
        return body.model_dump(exclude_none=True)


def again(code: str, detail: str, seconds: float = AGAIN, **headers: str) -> Problem:
    """Return a problem that may be over after some seconds."""
    return Problem(code, detail, headers={"retry-after": str(math.ceil(seconds)), **headers})


def problem_at(place: str, kind: str, sentence: str, code: str = "invalid", *, meant: str | None = None) -> Problem:
    """Return the problem of one mistake. `place` is a pointer as in `Mistake`, `kind` its code."""
    return Problem(code, sentence, [Mistake(pointer=place, code=kind, detail=sentence, did_you_mean=meant)])


def problem_of(error: Exception) -> Problem:
    match error:
        case Problem():
            return error
        case errors.MistakenEntry():
            return problem_at(pointer_to(error.at), "entry", str(error), meant=error.meant)
        case errors.BadCursor():
            return problem_at("query:cursor", "cursor", str(error))
        case errors.UnknownScenario() | errors.NotFound():
            return Problem("not-found", str(error))
        case errors.BadCombination(parameter=parameter):
            return problem_at(parameter if ":" in parameter else f"query:{parameter}", error.code, str(error))
        case errors.BadInput(at=at) if at is not None:
            return problem_at(pointer_to(at), error.code, str(error))
        case errors.Forbidden():
            return Problem("forbidden", str(error))
        case errors.UnderWay():
            return Problem("conflict", str(error), journey=error.journey)
        case errors.TooMany(seconds=seconds):
            return again("too-many", str(error), seconds)
        case errors.Busy() | errors.NotAnswered() | errors.JourneyStuck():
            return again("no-answer", str(error))
        case errors.NotAccepted() | errors.NotEntered() | errors.JourneyFailed():
            return Problem("not-accepted", str(error))
        case errors.Refusal():
            return Problem("invalid", str(error))
        case StoreError() | SetupError():
            logger.warning("a request failed: %s", error)
            return again("unavailable", f"this service cannot use its store or a setting now: {SEND_AGAIN}")
        case RPCError():  # logged where the call was made
            seconds = fault_of(error, namespace="").retry_after
            return again("unavailable", f"this service cannot use Temporal now: {SEND_AGAIN}", seconds)
        case HTTPException():
            return Problem("malformed", "the request cannot be read", headers=error.headers)
        case _:
            return Problem("failed", "something went wrong here, and is in the log of this server")


FORMS: Final[dict[str, str]] = {  # messages for texts that do not match a pattern
    EVENT: "must be the name of an event, such as order.delivered",
    NAME: "must be the name of a scenario, such as post-purchase",
    VERSIONED: "must be the name of a scenario, or name and version, such as welcome@3",
    CURSOR: "must be a cursor: give back the `next` of the previous page, unchanged",
}


def invalid(errors: Sequence[Any], body: object, model: object = None) -> Problem:
    """Return the problem of a request that pydantic refuses.

    The places of its errors begin with `body`, `query`, `path` or `header`. The body is JSON, or bytes if its type is
    not JSON. The body's model serves for suggestions of names.
    """
    if isinstance(body, bytes) and body:
        return Problem("unsupported-media", "send JSON, with content-type: application/json")
    in_body = [{**item, "loc": item["loc"][1:]} for item in errors if item["loc"][0] == "body"]
    mistakes = mistakes_in(in_body, body, model)
    of_parameters: dict[tuple[str, str], list[Any]] = {}
    for item in errors:
        part, *rest = item["loc"]
        if part != "body":
            of_parameters.setdefault((part, rest[0]), []).append({**item, "loc": (rest[0],)})
    for (part, name), found in of_parameters.items():
        (flaw,) = flaws(found, {name: None}, forms=FORMS)
        mistakes.append(Mistake(pointer=f"{part}:{name}", code=flaw.code, detail=flaw.sentence))
    where = ", ".join(sorted({item.pointer or "the body" for item in mistakes}))
    return Problem("invalid", f"the request has mistakes at {where}", mistakes)


def mistakes_in(errors: Sequence[Any], data: object, model: object = None) -> list[Mistake]:
    """Return the mistakes of JSON that pydantic refuses; see `scenario.validation.flaws`."""
    return [
        Mistake(pointer=pointer_to(flaw.at), code=flaw.code, detail=flaw.sentence, did_you_mean=flaw.meant)
        for flaw in flaws(errors, data, model, whole="the body", forms=FORMS)
    ]


def pointer_to(place: Sequence[str | int]) -> str:
    """Return the JSON pointer (RFC 6901) of keys and indexes."""
    return "".join(f"/{str(name).replace('~', '~0').replace('/', '~1')}" for name in place)


def answer(problem: Problem) -> JSONResponse:
    return JSONResponse(problem.body, problem.status_code, problem.headers, media_type=MEDIA)


def install(application: FastAPI) -> None:
    """Make an application answer all expected errors with problems. `Failsafe` handles unexpected ones."""

    async def handle(request: Request, error: Exception) -> JSONResponse:
        if isinstance(error, RequestValidationError):
            endpoint = request.scope.get("endpoint")
            hints = get_type_hints(endpoint).values() if endpoint is not None else ()
            models = (hint for hint in hints if isinstance(hint, type) and issubclass(hint, BaseModel))
            return answer(invalid(error.errors(), error.body, next(models, None)))
        return answer(problem_of(error))

    for kind in (Problem, RequestValidationError, HTTPException, errors.Refusal, StoreError, SetupError, RPCError):
        application.add_exception_handler(kind, handle)


def problems(*codes: str) -> dict[int | str, dict[str, Any]]:
    """Return what a route may answer besides `EVERYWHERE`, for its ``responses``."""
    content = {MEDIA: {"schema": REFERENCE}}
    return {status: {"description": title, "content": content} for status, title in map(TITLES.__getitem__, codes)}


REFERENCE: Final = {"$ref": "#/components/schemas/ProblemBody"}
EVERYWHERE: Final = (  # codes that every route may answer
    *("malformed", "unauthorized", "forbidden", "too-slow", "too-large", "unsupported-media", "invalid", "too-many"),
    *("failed", "unavailable"),
)


class Failsafe:
    """An ASGI application that lets no exception of another one out.

    Starlette would answer and raise it again, and uvicorn would log its text and traceback.
    """

    def __init__(self, application: ASGIApp, refuse: Callable[[Problem], ASGIApp] = answer) -> None:
        self._application, self._refuse = application, refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._application(scope, receive, watched)
        except ClientDisconnect:  # the client has gone
            return
        except Exception as error:
            problem = problem_of(error)
            if problem.code == "failed":
                log_unexpected(error, scope)
            if not begun:
                await self._refuse(problem)(scope, receive, send)


def log_unexpected(error: Exception, scope: Scope) -> None:
    """Log an error in one line, without its text and the request's path, which may contain a contact's data."""
    route: Any = scope.get("route")
    where = traceback.extract_tb(error.__traceback__)[-1]
    logger.error(
        "%s at %s:%d while answering %s %s",
        *(type(error).__name__, where.filename, where.lineno, scope["method"]),
        getattr(route, "path", "before any route"),
    )
