"""Scenarios as they are stored: JSON documents with nothing left to a default, and their digests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, cast

from pydantic import ValidationError

from scenario import model
from scenario.errors import ScenarioError
from scenario.outline import BRANCHES


def document(scenario: model.Scenario) -> dict[str, Any]:
    """A scenario as a JSON document, with all defaults written out: a later version's other defaults change nothing.

    Keys come in the order that `load` needs: a step's kind first.
    """
    return _kinds_first(scenario.model_dump(mode="json", by_alias=True))


def load(stored: Mapping[str, Any]) -> model.Scenario:
    """Reads what `document` wrote, also where a database has sorted its keys.

    Raises:
        ScenarioError: It is no such document, or one of a newer version.
    """
    try:
        return model.Scenario.model_validate(_kinds_first(stored), by_alias=True, by_name=False)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ScenarioError(f"this is no scenario that this version can read: {first['msg']} at '{place}'") from None


def _kinds_first(stored: Mapping[str, Any]) -> dict[str, Any]:
    steps = stored.get("steps")
    if not isinstance(steps, list):
        return {**stored}
    return {**stored, "steps": [_kind_first(step) for step in cast("list[Any]", steps)]}


def _kind_first(step: Any) -> Any:
    """A step with its kind as its first key: 'if' names a kind, and is also a key of the kind 'wait_for'."""
    if not isinstance(step, Mapping):
        return step
    keys = cast("Mapping[str, Any]", step)
    kind = "wait_for" if "wait_for" in keys else next((key for key in keys if key in model.KINDS), None)
    ordered = {kind: keys[kind], **keys} if kind else {**keys}
    for branch in BRANCHES.get(kind or "", ()):
        if isinstance(steps := ordered.get(branch), list):
            ordered[branch] = [_kind_first(inner) for inner in cast("list[Any]", steps)]
    return ordered


def digest(stored: Mapping[str, Any]) -> str:
    """SHA-256 of a document's canonical JSON (keys sorted, no blanks, UTF-8), in hexadecimal."""
    canonical = json.dumps(stored, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()
