"""Scenarios as stored: JSON documents with all defaults written out, their digests, and their YAML."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

import yaml
from pydantic import ValidationError

from scenario.errors import ScenarioError
from scenario.model.scenario import Scenario
from scenario.steps.registry import KINDS, kind_stored
from scenario.type_guards import is_list, is_mapping, with_value


def document(scenario: Scenario) -> dict[str, Any]:
    """Return a scenario as a JSON document with all defaults, so that later defaults change nothing.

    A step's kind is its first key, as `load` requires.
    """
    return _kinds_first(scenario.model_dump(mode="json", by_alias=True))


def concise(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document without its defaults, as an author writes it. Raises as `load`."""
    scenario = load(stored)
    given: dict[str, Any] = {"mode": "json", "by_alias": True, "context": "file"}
    short = _kinds_first(scenario.model_dump(**given, exclude_defaults=True))
    # A default matters if it takes precedence over a destination's setting.
    is_same = document(load(short)) == document(scenario)
    return short if is_same else _kinds_first(scenario.model_dump(**given, exclude_none=True))


def load(stored: Mapping[str, Any]) -> Scenario:
    """Read a document, its keys in any order. Raise ScenarioError if it is none, or one of a newer version."""
    try:
        return Scenario.model_validate(_kinds_first(stored), by_alias=True, by_name=False)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ScenarioError(f"this is not a scenario that this version can read: {first['msg']} at '{place}'") from None


def _kinds_first(stored: Mapping[str, Any]) -> dict[str, Any]:
    steps = stored.get("steps")
    if not is_list(steps):
        return {**stored}
    return {**stored, "steps": [_kind_first(step) for step in steps]}


def _kind_first(step: Any) -> Any:
    """Return a step with its kind as the first key. 'if' is a kind, and also a key of 'wait_for'."""
    if not is_mapping(step):
        return step
    kind = kind_stored(step)
    if kind is None:
        return {**step}
    ordered: Any = {kind: step[kind], **step}
    for _, path, steps in KINDS[kind].lists(step):
        if is_list(steps):
            ordered = with_value(ordered, path, [_kind_first(inner) for inner in steps])
    return ordered


def digest(stored: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a document's canonical JSON (sorted keys, no blanks, UTF-8), in hexadecimal."""
    canonical = json.dumps(stored, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


_LIKE_NUMBERS: Final = frozenset("0123456789+-.")
_ODD_BREAKS: Final = frozenset("\x85\u2028\u2029")  # line breaks for PyYAML, but not for YAML 1.2


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, and quotes those that YAML 1.2 might take for numbers."""


def _text(dumper: Any, text: str) -> yaml.ScalarNode:
    style = "'" if text[:1] in _LIKE_NUMBERS else None
    if not _ODD_BREAKS.isdisjoint(text):
        style = '"'
    elif "\n" in text:
        style = "|"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def written(document: Mapping[str, Any]) -> str:
    """Return a document as YAML that `scenario.source.yaml` reads back as the same values."""
    return yaml.dump(dict(document), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
