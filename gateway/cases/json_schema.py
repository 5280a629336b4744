"""The JSON Schema of a case file, for editors."""

from __future__ import annotations

from typing import Any

from gateway.cases.model import CaseFile
from scenario.model.json_schema import DIALECT, tidied


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a case file (draft 2020-12)."""
    made = CaseFile.model_json_schema(by_alias=True, mode="validation")
    return {"$schema": DIALECT, **tidied(made)}
