"""The JSON Schema of a case file, for editors."""

from __future__ import annotations

from typing import Any

from gateway.cases.model import CaseFile
from scenario.model.json_schema import DIALECT, tidied


def schema() -> dict[str, Any]:
    """The schema of a case file (JSON Schema, draft 2020-12), as plain data."""
    made = CaseFile.model_json_schema(by_alias=True, mode="validation")
    return {"$schema": DIALECT, **tidied(made)}
