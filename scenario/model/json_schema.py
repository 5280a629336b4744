"""The JSON Schemas of scenario files and entries, for editors: completion, descriptions, and most mistakes.

Templates, and rules about a scenario as a whole, are checked by ``scenario check`` only. The schema of an entry lists
the known fields and accepts everything that entries accept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin

from pydantic import BaseModel

from scenario.entry import values
from scenario.entry.objects import DATA, Contact
from scenario.model import scenario
from scenario.steps.registry import KINDS
from scenario.time import format_duration, parse_duration
from scenario.type_guards import is_list, is_mapping

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    made = scenario.Scenario.model_json_schema(by_alias=True, mode="validation")
    definitions = made.pop("$defs")
    forms = {name: tidied(form) for name, form in definitions.items()}
    for kind, step in KINDS.items():
        form = forms[step.__name__]
        form.update(step.together)
        # The kind first, as authors write it. It identifies the step.
        form["title"] = kind
        form["properties"] = {kind: form["properties"][kind], **form["properties"]}
    forms["Step"] = {
        "title": "step",
        "description": "One step; its first key is its kind.",
        "oneOf": [{"$ref": f"#/$defs/{step.__name__}"} for step in KINDS.values()],
    }
    return {"$schema": DIALECT, **tidied(made), "$defs": dict(sorted(forms.items()))}


def tidied(part: Any) -> Any:
    """Return a part of pydantic's schema, simplified for editors.

    It has no titles made from field names and no null, and every list of steps refers to one definition.
    """
    if is_list(part):
        return [tidied(item) for item in part]
    if not is_mapping(part):
        return part
    if "oneOf" in part and len(part["oneOf"]) == len(KINDS):
        return {"$ref": "#/$defs/Step"}
    kept = {
        # A body that is a reference to a file is a mapping too: one of them is enough.
        "anyOf" if key == "oneOf" else key: _members(value) if key == "properties" else tidied(value)
        for key, value in part.items()
        if key != "title" and not (key == "default" and (value is None or is_mapping(value)))
    }
    if "patternProperties" in kept:  # pydantic leaves it open whether other keys may stand there
        kept["additionalProperties"] = False
    if "pattern" in kept and (default := str(kept.get("default", ""))).startswith("P"):
        kept["default"] = format_duration(parse_duration(default))  # pydantic writes that of a duration as ISO 8601
    choices = [choice for choice in kept.get("anyOf", ()) if choice != {"type": "null"}]
    if "anyOf" in kept and len(choices) == 1:
        del kept["anyOf"]
        return {**choices[0], **kept}
    return {**kept, "anyOf": choices} if choices else kept


def _members(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tidied(value) for name, value in properties.items()}


# ---- entries

_KINDS: Final[Mapping[Callable[..., Any], str]] = {
    values.as_id: "an id",
    values.as_text: "a text",
    values.as_number: "a number, also as text",
    values.as_flag: "true or false, also as 1 or 0",
    values.as_moment: "a date or a date and time",
    values.as_custom: "custom fields, by name or as a list of {name, value}",
}


def entry_schema() -> dict[str, Any]:
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
                    "type": {"enum": [*scenario.TRIGGERS]},
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
        properties: dict[str, Any] = {}
        for name, info in shape.model_fields.items():
            reader = values.reader_of(info)
            properties[name] = {"description": _KINDS[reader]} if reader else _part(info.annotation, shapes)
        if "custom" in properties:
            properties["custom_fields"] = properties["custom"]
        first = (shape.__doc__ or "").partition("\n")[0]
        shapes[shape.__name__] = {"description": first, "properties": properties}
    return {"$ref": f"#/$defs/{shape.__name__}"}


def _part(annotation: Any, shapes: dict[str, Any]) -> dict[str, Any]:
    arguments = [part for part in get_args(annotation) if part is not type(None)]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _shape(annotation, shapes)
    if get_origin(annotation) is list:
        return {"items": _part(arguments[0], shapes)}  # or nothing, in whatever way that is written
    if get_origin(annotation) in (Union, UnionType) and len(arguments) == 1:
        return _part(arguments[0], shapes)
    return {}
