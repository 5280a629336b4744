"""The API as one application, with its description (OpenAPI 3.1). It lists all modules of routes.

FastAPI does not know problems, Idempotency-Key and response headers, which are handled outside the routes: `describe`
adds them to its description.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, Final, cast

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from gateway.api import authoring, campaigns, contacts, entries, journeys, operations, outgoing, problem, scenarios
from gateway.api.authentication import Authentication, Authorization, Keys
from gateway.api.body import WRITING, StrictJson
from gateway.api.entries import SCHEMA
from gateway.api.idempotency import HEADER, REPLAYED, Idempotency
from gateway.api.limits import MOST_UPLOADED, UPLOADS, Bounds
from gateway.api.problem import Failsafe
from gateway.asgi import Measured, Traced, Unstored
from service.authoring import AuthoringService, ContentService
from service.authoring_process import Authoring, Setup
from service.client import ScenarioClient

PREFIX: Final = "/v1"
DESCRIPTION: Final = f"{PREFIX}/openapi.json"  # the path of the API's public description
METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
SENT: Final = ("Authorization", "Content-Type", HEADER, "Prefer")
EXPOSED: Final = ("Retry-After", REPLAYED, "Preference-Applied", "Location", outgoing.CURSOR)
"""Response headers that scripts of other origins may read."""
ROUTERS: Final[tuple[APIRouter, ...]] = (
    entries.router,
    contacts.contacts,
    contacts.router,
    journeys.router,
    operations.router,
    operations.on_journeys,
    journeys.batches,
    campaigns.router,
    campaigns.audiences,
    scenarios.overview,
    outgoing.feed,
    outgoing.router,
    scenarios.router,
    authoring.router,
    journeys.deliveries,
)
UNKEPT: Final = (f"{PREFIX}/check", f"{PREFIX}/preview")  # paths whose requests change nothing
BATCHES: Final = (f"{PREFIX}/entries/batch", f"{PREFIX}/events/batch")
LARGER: Final = dict.fromkeys(
    (*BATCHES, *(f"{PREFIX}/{name}" for name in ("scenarios/", "check", "preview"))), 5 * 1024 * 1024
)
"""Maximum bytes of a body, by path, if larger than the default."""


def application(
    client: ScenarioClient, keys: Keys, authors: Authoring | None = None, *, origins: Sequence[str] = ()
) -> FastAPI:
    """Create the API. By default, `authors` checks and previews scenarios without any settings.

    `origins` are those of pages whose scripts may use the API (CORS), such as ``https://shop.example.com``.
    """
    app = FastAPI(
        title="Scenario Runner",
        version=PREFIX.strip("/"),  # public, so not the release
        description="Start journeys, report events, show journeys and operate them. See docs/integrate/api.md.",
        openapi_url=DESCRIPTION,
        docs_url=None,  # its pages load scripts of other origins
        redoc_url=None,
        redirect_slashes=False,
        responses=problem.problems(*problem.EVERYWHERE),
        generate_unique_id_function=operation_id,
        # Its spans would hold ids of paths and queries, its logs errors in bodies. `Measured` measures.
        telemetry={
            "tracing": False,
            "operation_spans": False,
            "metrics": False,
            "logs": False,
            "auto_configure": False,
        },
    )
    app.state.client, app.state.keys = client, keys
    app.state.authoring = AuthoringService(client.store, authors or Authoring(Setup()))
    app.state.contents = ContentService(client, app.state.authoring)
    problem.install(app)
    # The last is the outermost: the form and the key of a request are checked before its body is read.
    app.add_middleware(Idempotency, client.store, UNKEPT)
    app.add_middleware(StrictJson, BATCHES)
    app.add_middleware(Authorization, keys, [route for router in ROUTERS for route in router.routes], PREFIX, BATCHES)
    app.add_middleware(Authentication, keys, {DESCRIPTION})
    app.add_middleware(Failsafe)
    app.add_middleware(Traced)
    if origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=origins, allow_methods=METHODS, allow_headers=SENT, expose_headers=EXPOSED
        )
    for router in ROUTERS:
        app.include_router(router, prefix=PREFIX)
    describe(app)
    return app


def bounded(app: FastAPI, uploaded: int = MOST_UPLOADED) -> ASGIApp:
    """Return the API with its limits, ready to serve. `uploaded` is the maximum number of bytes of an upload."""
    return Unstored(Measured(Bounds(app, larger=LARGER, streamed={UPLOADS: uploaded}), PREFIX))


_KEY: Final = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "A value that is unique to this request, such as a UUID. If the request is sent again with it "
    "within a day, it is answered as before and not executed twice.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}
_AGAIN: Final = {"Retry-After": {"description": "Seconds to wait before a repetition", "schema": {"type": "integer"}}}
_HEADERS: Final = {
    "401": {"WWW-Authenticate": {"description": "How to authenticate", "schema": {"type": "string"}}},
    **dict.fromkeys(("409", "429", "503"), _AGAIN),
}
_REPLAYED: Final = {
    REPLAYED: {"description": "`true` if the request was answered before", "schema": {"type": "string"}}
}


def operation_id(route: APIRoute) -> str:
    first, *others = route.name.split("_")
    return first + "".join(word.title() for word in others)


def describe(app: FastAPI) -> None:
    described = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(described())
        return described()

    app.openapi = openapi  # pyright: ignore[reportAttributeAccessIssue] as its documentation does


def _complete(document: dict[str, Any]) -> None:
    schemas: dict[str, Any] = document.setdefault("components", {}).setdefault("schemas", {})
    described = problem.ProblemBody.model_json_schema(ref_template="#/components/schemas/{model}")
    inner: dict[str, Any] = described.pop("$defs", {})
    for name, schema in {**inner, "ProblemBody": described, "Entry": SCHEMA}.items():
        schemas.setdefault(name, schema)
    paths: dict[str, dict[str, Any]] = document.get("paths", {})
    for method, operation in chain.from_iterable(methods.items() for methods in paths.values()):
        is_writing, answers = method.upper() in WRITING, cast("dict[str, Any]", operation["responses"])
        for status, answer in answers.items():
            if answer["description"] == "Successful Response":
                answer["description"] = "Done"
            answer.setdefault("headers", {}).update(_HEADERS.get(status, {}))
            if is_writing and int(status) < 500:
                answer["headers"].update(_REPLAYED)
        if is_writing:
            operation.setdefault("parameters", []).append(_KEY)
            answers.setdefault("409", {**problem.problems("conflict")[409], "headers": {**_AGAIN, **_REPLAYED}})
