"""The JSON Schema of a scenario file, for editors: completion, descriptions, and most mistakes.

Templates, and rules about a scenario as a whole, are checked by ``scenario check`` only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

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
