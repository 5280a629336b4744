"""The API as one application. Each module of routes beside this one has a ``router``; all of them are listed here."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, Final

from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp

from gateway.api import authoring, deliveries, entries, problem, results, scenarios, why
from gateway.api.authentication import Keys
from gateway.api.bounds import Bounds
from gateway.authoring.process import Authoring
from gateway.authoring.work import Setup
from gateway.client import ScenarioClient

PREFIX: Final = "/v1"
ROUTERS: Final[tuple[APIRouter, ...]] = (
    entries.router,
    scenarios.router,
    authoring.router,
    deliveries.router,
    why.router,
    results.router,
)
LARGER: Final = dict.fromkeys(
    (f"{PREFIX}/{name}" for name in ("entries/batch", "events/batch", "scenarios/", "check", "preview")),
    5 * 1024 * 1024,
)
"""Bytes of a body where it may be larger than others."""


def application(client: ScenarioClient, keys: Keys, authors: Authoring | None = None) -> FastAPI:
    """The API.

    Args:
        client: Does what is asked for.
        keys: Knows who asks.
        authors: Checks and previews scenarios; without it, as if nothing were set.
    """
    app = FastAPI(
        title="Scenario Runner",
        version=version("scenario-runner"),
        description="Lets contacts into scenarios, tells events, looks at journeys and operates them. See docs/api.md.",
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,  # its pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        responses=problem.problems(*problem.EVERYWHERE),
    )
    app.state.client, app.state.keys, app.state.authoring = client, keys, authors or Authoring(Setup())
    problem.install(app)
    for router in ROUTERS:
        app.include_router(router, prefix=PREFIX)
    described = app.openapi

    def openapi() -> dict[str, Any]:
        document = described()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for name, schema in _problem_schemas().items():
            schemas.setdefault(name, schema)
        return document

    app.openapi = openapi  # pyright: ignore[reportAttributeAccessIssue] as its documentation does
    return app


def bounded(app: FastAPI) -> ASGIApp:
    """The API with bounds around it, as it is served."""
    return Bounds(app, larger=LARGER)


def _problem_schemas() -> dict[str, Any]:
    schema = problem.ProblemBody.model_json_schema(ref_template="#/components/schemas/{model}")
    inner: dict[str, Any] = schema.pop("$defs", {})
    return {**inner, "ProblemBody": schema}
