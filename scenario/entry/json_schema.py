"""The JSON Schema of an entry, for editors and engines.

It lists the known fields and accepts everything that entries accept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo

from scenario.entry import values
from scenario.entry.objects import DATA, Contact
from scenario.model.json_schema import DIALECT
from scenario.model.scenario import TRIGGERS

_KINDS: Final[Mapping[Callable[..., Any], str]] = {
    values.as_id: "an id",
    values.as_text: "a text",
    values.as_number: "a number, also as text",
    values.as_flag: "true or false, also as 1 or 0",
    values.as_moment: "a date or a date and time",
    values.as_custom: "custom fields, by name or as a list of {name, value}",
}


def schema() -> dict[str, Any]:
    shapes: dict[str, Any] = {}
    contact = _shape(Contact, shapes)
    objects = {root: _shape(model, shapes) for root, model in DATA.values() if root != "event"}
    event = {
        "name": {"type": "string", "description": "the event's name, of the trigger 'event'"},
        "time": {"description": _KINDS[values.as_moment]},
        "properties": {"type": "object"},
    }
    return {
        "$schema": DIALECT,
        "title": "entry",
        "description": "One contact and the trigger's data, asking to come into a scenario.",
        "type": "object",
        "required": ["scenario", "contact", "trigger"],
        "additionalProperties": False,
        "properties": {
            "scenario": {"type": "string", "description": "its name, or name@version"},
            "contact": {**contact, "required": ["id"]},
            "trigger": {
                "type": "object",
                "required": ["type"],
                "properties": {
                    "type": {"enum": [*TRIGGERS]},
                    **objects,
                    "event": {"type": "object", "properties": event},
                },
            },
            "key": {"description": "what tells this journey from others of the contact, where the engine names it"},
        },
        "$defs": dict(sorted(shapes.items())),
    }


def _shape(shape: type[BaseModel], shapes: dict[str, Any]) -> dict[str, Any]:
    if shape.__name__ not in shapes:
        shapes[shape.__name__] = {}  # it may hold itself
        properties = {name: _field(info, shapes) for name, info in shape.model_fields.items()}
        if "custom" in properties:
            properties["custom_fields"] = properties["custom"]
        first = (shape.__doc__ or "").partition("\n")[0]
        shapes[shape.__name__] = {"description": first, "properties": properties}
    return {"$ref": f"#/$defs/{shape.__name__}"}


def _field(info: FieldInfo, shapes: dict[str, Any]) -> dict[str, Any]:
    reader = next((mark.func for mark in info.metadata if isinstance(mark, BeforeValidator)), None)
    return {"description": _KINDS[reader]} if reader and reader in _KINDS else _part(info.annotation, shapes)


def _part(annotation: Any, shapes: dict[str, Any]) -> dict[str, Any]:
    arguments = [part for part in get_args(annotation) if part is not type(None)]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _shape(annotation, shapes)
    if get_origin(annotation) is list:
        return {"items": _part(arguments[0], shapes)}  # or nothing, in whatever way that is written
    if get_origin(annotation) in (Union, UnionType) and len(arguments) == 1:
        return _part(arguments[0], shapes)
    return {}
