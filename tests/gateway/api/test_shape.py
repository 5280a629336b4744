"""The shape of the HTTP API: paths, parameters, bodies and answers, without names of models and without prose."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

from tests.gateway.api.conftest import Api

SNAPSHOT: Final = Path(__file__).with_name("shape.json")
_PROSE: Final = ("description", "title", "examples", "summary", "operationId", "tags", "example")


async def test_the_shape_of_the_api_is_that_of_the_snapshot(api: Api):
    """Run with SCENARIO_WRITE_SHAPE=1 to accept a deliberate change."""
    document = (await api.http.get("/v1/openapi.json")).json()
    paths = resolved(document["paths"], document["components"]["schemas"])
    shape = {f"{method} {path}": operation for path, methods in paths.items() for method, operation in methods.items()}
    if os.environ.get("SCENARIO_WRITE_SHAPE"):
        lines = [f"{json.dumps(name)}: {json.dumps(shape[name], sort_keys=True)}" for name in sorted(shape)]
        SNAPSHOT.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    kept = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    assert {*shape} == {*kept}
    for name, operation in shape.items():
        assert operation == kept[name], name


def resolved(value: Any, schemas: dict[str, Any], within: tuple[str, ...] = ()) -> Any:
    """Return a part of the document with its references replaced by what they refer to, without prose."""
    match value:
        case {"$ref": str(reference)}:
            name = reference.rpartition("/")[2]
            return "recursive" if name in within else resolved(schemas[name], schemas, (*within, name))
        case {"responses": {**responses}}:  # problems are all alike: their codes are enough
            rest = {key: item for key, item in value.items() if key != "responses"}
            kept = {code: resolved(item, schemas) if code < "400" else {} for code, item in responses.items()}
            return {**resolved(rest, schemas), "responses": kept}
        case {"properties": {**properties}}:
            rest = {key: item for key, item in value.items() if key != "properties"}
            inner = {key: resolved(item, schemas, within) for key, item in properties.items()}
            return {**resolved(rest, schemas, within), "properties": inner}
        case {"required": [*required], **rest} if "required" in value and all(isinstance(one, str) for one in required):
            return {**resolved(rest, schemas, within), "required": sorted(required)}
        case dict():
            return {key: resolved(item, schemas, within) for key, item in value.items() if key not in _PROSE}
        case list():
            items = [resolved(item, schemas, within) for item in value]
            return items[0] if len(items) == 1 and isinstance(items[0], dict) else items
        case _:
            return value
