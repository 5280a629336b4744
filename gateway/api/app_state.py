"""The objects of an application that its routes use."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Depends, Request

from gateway.authoring.process import Authoring
from gateway.client import ScenarioClient
from gateway.service.services import Services


def _client(request: Request) -> ScenarioClient:
    return cast("ScenarioClient", request.app.state.client)


def _services(request: Request) -> Services:
    return _client(request).services


def _authoring(request: Request) -> Authoring:
    return cast("Authoring", request.app.state.authoring)


Client = Annotated[ScenarioClient, Depends(_client)]
Use = Annotated[Services, Depends(_services)]
"""The use cases."""
Authors = Annotated[Authoring, Depends(_authoring)]
"""Checks and previews scenarios."""
