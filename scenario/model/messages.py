"""Pydantic's errors in the words of the scenario language, one sentence each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from pydantic_core import ErrorDetails

from scenario.model import scalars
from scenario.source.findings import clip, listed, near

_PATTERNS: Final[Mapping[str, tuple[str, str]]] = {
    scalars.NAME: ("a name", "lower-case words joined by '-'"),
    scalars.EVENT: ("an event's name", "letters, digits and '_', in parts joined by '.', such as order.delivered"),
    scalars.STEP_ID: ("an id", "letters and digits, in parts joined by '-', '_' or '.'"),
    scalars.SAVED: ("a name for a response", "letters, digits and '_', the first of them a letter"),
    scalars.SEED: ("a seed", "words on one line, such as subject-2026-11"),
    scalars.BRANCH: ("a branch's name", "letters and digits, in parts joined by '-' or '_'"),
    scalars.PATH: ("a path", "'/' and what follows the destination's URL, such as /orders"),
    scalars.FIELD_PATH: ("a field", "names joined by '.', such as error.code"),
    scalars.COUNTRY: ("a country", "its two capital letters, such as FR"),
    scalars.ACCOUNT: ("an account", "its digits alone"),
}
_LITERAL: Final = re.compile(r"'([^']*)'")


class Wording(NamedTuple):
    """A finding's code and sentence."""

    code: str
    message: str


def empty(name: str) -> Wording:
    """Return the fault of a key without a value."""
    return Wording("empty", f"{name} is empty: give it a value, or remove it")


def worded(detail: ErrorDetails, name: str) -> Wording:
    """Return the fault for an error about the value of a key.

    Args:
        detail: Pydantic's error.
        name: The key, or "the scenario" and the like, as the sentence's subject.
    """
    value: Any = detail["input"]
    context: Mapping[str, Any] = detail.get("ctx", {})
    if value is None:
        return empty(name)
    match detail["type"]:
        case "string_type":
            if isinstance(value, bool | int | float):
                return Wording("type", f"{name} must be text: put {_quoted(value)} in quotes")
            return Wording("type", f"{name} must be text, not a {_kind(value)}")
        case "string_pattern_mismatch":
            what, form = _PATTERNS.get(context["pattern"], ("allowed here", f"what matches {context['pattern']}"))
            return Wording(
                "value", f"{_quoted(value)} is not {what}: write {form}{_such_as(context['pattern'], value)}"
            )
        case "string_too_short":
            return empty(name)
        case "string_too_long":
            return Wording("value", f"{name} is longer than {context['max_length']} characters")
        case "too_short" if value:
            return Wording("value", f"{name} has only {len(value)}: it needs at least {context['min_length']}")
        case "too_long":
            return Wording("value", f"{name} has {len(value)}: {context['max_length']} is the most")
        case "too_short":
            return Wording("empty", f"{name} is empty: it needs at least one entry")
        case "literal_error":
            words = _LITERAL.findall(context["expected"])
            start = str(value).lower()[:3]
            guess = start if start in words else near(str(value), words)
            hint = f": did you mean '{guess}'?" if guess else f": write {listed(words)}"
            what = _quoted(value) if isinstance(value, str | int | float) else f"a {_kind(value)}"
            return Wording("value", f"{what} is not allowed in {name}{hint}")
        case "list_type" | "tuple_type":
            hint = (
                f"write [{clip(value)}]"
                if isinstance(value, str) and name in ("'on'", "'days_off'", "'channels'")
                else "begin each of its entries with '- '"
            )
            return Wording("type", f"{name} must be a list: {hint}")
        case "model_type" | "dict_type" | "model_attributes_type":
            first = next(iter(detail["input"]), None) if _kind(value) == "list" else None
            hint = f": write {{{clip(first)}: …}}" if isinstance(first, str) and name[0] == "'" else ""
            return Wording("type", f"{name} must be keys with values, not a {_kind(value)}{hint}")
        case "union_tag_not_found" | "union_tag_invalid":
            form = "JSON as text or as keys with values" if name == "'body'" else "text"
            return Wording("type", f"{name} must be {form}, or {{file: …}}, not a {_kind(value)}")
        case "int_type" | "int_from_float" | "int_parsing":
            return Wording("type", f"{name} must be a whole number")
        case "float_type" | "float_parsing" | "finite_number":
            return Wording("type", f"{name} must be a number")
        case "bool_type" | "bool_parsing":
            return Wording("type", f"{name} must be true or false")
        case "greater_than_equal":
            return Wording("value", f"{name} must be {context['ge']:g} or more")
        case "less_than_equal":
            return Wording("value", f"{name} must be {context['le']:g} or less")
        case "value_error":
            return Wording("value", str(context["error"]))
        case _:
            return Wording("value", f"{name} is wrong: {detail['msg'][:1].lower()}{detail['msg'][1:]}")


def _quoted(value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"'{clip(text)}'"


def _kind(value: object) -> str:
    match value:
        case bool():
            return "true or false"
        case int() | float():
            return "number"
        case str():
            return "text"
        case list():
            return "list"
        case _:
            return "set of keys"


def _such_as(pattern: str, value: object) -> str:
    if pattern != scalars.NAME:
        return ""
    slug = "-".join(re.findall(r"[a-z0-9]+", str(value).lower()))
    return f", such as {slug}" if slug and len(slug) <= 40 else ""
