"""The routes of the API."""

from __future__ import annotations

from functools import cache
from typing import Any, cast

from gateway.api import app
from gateway.api.authentication import Keys


class _Nothing:
    store = None


@cache
def described() -> dict[str, Any]:
    """The API's OpenAPI document."""
    nothing = cast("Any", _Nothing())
    return app.application(nothing, Keys(nothing)).openapi()
