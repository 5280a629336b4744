"""The API's description (OpenAPI 3.1): FastAPI's description of the routes, completed.

FastAPI does not know problems, Idempotency-Key and response headers, which are handled outside the routes. It also
uses a whole docstring as description: here, attributes described in docstrings become descriptions of fields.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any, Final, cast

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel

from gateway.api import problem
from gateway.api.body import WRITING
from gateway.api.entries import SCHEMA
from gateway.api.idempotency import HEADER, REPLAYED

_SECTION: Final = re.compile(r"\n\s*\n(Args|Attributes|Raises|Returns|Example):+\n(.*?)(?=\n\s*\n\S|\Z)", re.DOTALL)
_ENTRY: Final = re.compile(r"^ {4}(\w+): (.*(?:\n {8,}.*)*)", re.MULTILINE)
_KEY: Final = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "What tells this request from others, a UUID say. Sent again with it within a day, the request is "
    "answered as before, and not done twice.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}
_AGAIN: Final = {"Retry-After": {"description": "Seconds after which to try again", "schema": {"type": "integer"}}}
_HEADERS: Final = {
    "401": {"WWW-Authenticate": {"description": "How to show a key", "schema": {"type": "string"}}},
    **dict.fromkeys(("409", "429", "503"), _AGAIN),
}
_REPLAYED: Final = {
    REPLAYED: {"description": "`true` where the request was answered before", "schema": {"type": "string"}}
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
    models = {model.__name__: model for model in _models(BaseModel)}
    for name, schema in schemas.items():
        _tell_attributes(schema, models.get(name))
    for method, operation in _operations(document):
        if "description" in operation:
            operation["description"] = _parted(operation["description"])[0]
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


def _models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for derived in model.__subclasses__():
        if derived.__module__.startswith("gateway.api."):
            yield derived
        yield from _models(derived)


def _tell_attributes(schema: dict[str, Any], model: type[BaseModel] | None) -> None:
    if "description" not in schema:
        return
    schema["description"], attributes = _parted(schema["description"])
    for base in model.__mro__[1:] if model else ():  # a docstring says nothing of what is inherited
        attributes = {**_parted(base.__doc__ or "")[1], **attributes}
    for name, described in schema.get("properties", {}).items():
        if name in attributes:
            described.setdefault("description", attributes[name])


def _parted(docstring: str) -> tuple[str, dict[str, str]]:
    """Return a docstring without its sections, and its descriptions of attributes."""
    text = inspect.cleandoc(docstring)
    attributes = {
        name: " ".join(said.split()).replace("``", "`")
        for kind, section in _SECTION.findall(text)
        if kind == "Attributes"
        for name, said in _ENTRY.findall(section)
    }
    return _SECTION.sub("", text).strip().replace("``", "`"), attributes
