"""The API as one application. It lists all modules of routes; each has a ``router``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fastapi import APIRouter, FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from gateway.api import (
    authoring,
    batches,
    campaigns,
    contacts,
    entries,
    events,
    feed,
    journeys,
    memberships,
    openapi,
    operations,
    outgoing,
    overview,
    problem,
    scenarios,
)
from gateway.api.authentication import Authentication, Keys
from gateway.api.authorization import Authorization
from gateway.api.body import StrictJson
from gateway.api.failsafe import Failsafe
from gateway.api.idempotency import HEADER, REPLAYED, Idempotency
from gateway.api.limits import MOST_UPLOADED, UPLOADS, Bounds
from gateway.asgi import Measured, Traced, Unstored
from gateway.authoring.process import Authoring
from gateway.authoring.work import Setup
from gateway.client import ScenarioClient
from gateway.service.authoring import AuthoringService
from gateway.service.content import ContentService

PREFIX: Final = "/v1"
DESCRIPTION: Final = f"{PREFIX}/openapi.json"  # the path of the API's public description
METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
SENT: Final = ("Authorization", "Content-Type", HEADER, "Prefer")
EXPOSED: Final = ("Retry-After", REPLAYED, "Preference-Applied", "Location", feed.CURSOR)
"""Response headers that scripts of other origins may read."""
ROUTERS: Final[tuple[APIRouter, ...]] = (
    entries.router,
    contacts.router,
    events.router,
    journeys.router,
    operations.router,
    operations.on_journeys,
    batches.router,
    campaigns.router,
    memberships.router,
    overview.router,
    feed.router,
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
    """Create the API.

    Args:
        authors: Checks and previews scenarios; by default without any settings.
        origins: Origins of pages whose scripts may use the API (CORS), such as ``https://shop.example.com``.
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
        generate_unique_id_function=openapi.operation_id,
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
    openapi.describe(app)
    return app


def bounded(app: FastAPI, uploaded: int = MOST_UPLOADED) -> ASGIApp:
    """Return the API with its limits, ready to serve. `uploaded` is the maximum number of bytes of an upload."""
    return Unstored(Measured(Bounds(app, larger=LARGER, streamed={UPLOADS: uploaded}), PREFIX))
