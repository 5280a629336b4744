"""Dependencies of routes."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Depends, Request

from gateway.authoring.process import Authoring
from gateway.client import ScenarioClient


def _client(request: Request) -> ScenarioClient:
    return cast("ScenarioClient", request.app.state.client)


def _authoring(request: Request) -> Authoring:
    return cast("Authoring", request.app.state.authoring)


Client = Annotated[ScenarioClient, Depends(_client)]
"""The application's client."""
Authors = Annotated[Authoring, Depends(_authoring)]
"""The application's checks and previews."""
