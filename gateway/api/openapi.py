"""The API's description (OpenAPI 3.1): FastAPI's description of the routes, completed.

FastAPI does not know problems, Idempotency-Key and response headers, which are handled outside the routes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, cast

from fastapi import FastAPI
from fastapi.routing import APIRoute

from gateway.api import problem
from gateway.api.body import WRITING
from gateway.api.entries import SCHEMA
from gateway.api.idempotency import HEADER, REPLAYED

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
    """Return a route's name for generated clients: its function's name in camel case."""
    first, *others = route.name.split("_")
    return first + "".join(word.title() for word in others)


def describe(app: FastAPI) -> None:
    """Make an application return its completed description."""
    described = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(described())
        return described()

    app.openapi = openapi  # pyright: ignore[reportAttributeAccessIssue] as its documentation does


def _complete(document: dict[str, Any]) -> None:
    schemas: dict[str, Any] = document.setdefault("components", {}).setdefault("schemas", {})
    for name, schema in {**_problems(), "Entry": SCHEMA}.items():
        schemas.setdefault(name, schema)
    for method, operation in _operations(document):
        answers = cast("dict[str, Any]", operation["responses"])
        for status, answer in answers.items():
            if answer["description"] == "Successful Response":
                answer["description"] = "Done"
            answer.setdefault("headers", {}).update(_HEADERS.get(status, {}))
            if method in WRITING and int(status) < 500:
                answer["headers"].update(_REPLAYED)
        if method in WRITING:
            operation.setdefault("parameters", []).append(_KEY)
            answers.setdefault("409", {**problem.problems("conflict")[409], "headers": {**_AGAIN, **_REPLAYED}})


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for methods in document.get("paths", {}).values():
        for method, operation in methods.items():
            if isinstance(operation, dict):
                yield method.upper(), cast("dict[str, Any]", operation)


def _problems() -> dict[str, Any]:
    schema = problem.ProblemBody.model_json_schema(ref_template="#/components/schemas/{model}")
    inner: dict[str, Any] = schema.pop("$defs", {})
    return {**inner, "ProblemBody": schema}
