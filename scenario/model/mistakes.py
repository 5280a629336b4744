"""Mistakes of a file that one pydantic model describes: pydantic's errors with places, in the language's words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from scenario.model import parts
from scenario.source.findings import clip, listed, near
from scenario.source.report import Report
from scenario.type_guards import Path, is_mapping, members, value_at

_PATTERNS: Final[Mapping[str, tuple[str, str]]] = {
    parts.NAME: ("a name", "lower-case words joined by '-'"),
    parts.EVENT: ("an event's name", "letters, digits and '_', in parts joined by '.', such as order.delivered"),
    parts.STEP_ID: ("an id", "letters and digits, in parts joined by '-', '_' or '.'"),
    parts.SAVED: ("a name for a response", "letters, digits and '_', the first of them a letter"),
    parts.SEED: ("a seed", "words on one line, such as subject-2026-11"),
    parts.BRANCH: ("a branch's name", "letters and digits, in parts joined by '-' or '_'"),
    parts.PATH: ("a path", "'/' and what follows the destination's URL, such as /orders"),
    parts.FIELD_PATH: ("a field", "names joined by '.', such as error.code"),
    parts.COUNTRY: ("a country", "its two capital letters, such as FR"),
    parts.ACCOUNT: ("an account", "its digits alone"),
}
_LITERAL: Final = re.compile(r"'([^']*)'")
_MEANT: Final = re.compile(r": did you mean '(.*)'\?$")


def tell(error: ValidationError, data: Any, form: type[BaseModel], whole: str, report: Report) -> None:
    """Report pydantic's errors about a file, called `whole`. A missing key that is only misspelt is reported once."""
    said = [explained(detail, data, form, whole) for detail in error.errors(include_url=False)]
    meant = {
        (path[:-1], found[1])
        for path, code, text, _ in said
        if code == "unknown-key" and (found := _MEANT.search(text))
    }
    for path, code, message, key in said:
        if code != "missing" or (path, message.split("'")[1]) not in meant:
            report.add(path, code, message, key=key)


def explained(detail: ErrorDetails, data: Any, form: type[BaseModel], whole: str) -> tuple[Path, str, str, bool]:
    """Return the path, code and sentence of one error, and True if it is about the key."""
    path, around = _resolved(detail["loc"], data, form)
    name = str(path[-1]) if path else ""
    match detail["type"]:
        case "extra_forbidden" if around is not None:
            present = value_at(data, path[:-1])
            known = [field.alias or key for key, field in around.model_fields.items()]
            guess = near(name, [key for key in known if key not in present])
            hint = f"did you mean '{guess}'?" if guess else f"the keys here are {listed(known, 'and')}"
            return path, "unknown-key", f"unknown key '{clip(name)}': {hint}", True
        case "missing":
            return path[:-1], "missing", f"'{name}' is missing here", True
        case _:
            subject = next((part for part in reversed(path) if isinstance(part, str)), None)
            code, message = worded(detail, f"'{clip(subject)}'" if subject else whole)
            return path, code, message, False


def _resolved(place: tuple[str | int, ...], data: Any, form: type[BaseModel]) -> tuple[Path, type[BaseModel] | None]:
    """Return the path of a place in pydantic's report, without names of union members, and the model at its end."""
    path: list[str | int] = []
    around: type[BaseModel] | None = None
    forms: list[Any] = [form]
    for part in place:
        here = value_at(data, tuple(path))
        is_last = len(path) + 1 >= len(place)
        if part not in dict(members(here)) and not (is_last and is_mapping(here)):
            named = [one for one in forms if getattr(one, "__name__", None) == part]
            # An entry that stands alone, without its list.
            alone = [inner for one in forms for inner in _inside(one, part)] if isinstance(part, int) else []
            forms = named or alone or forms
            continue
        models = [one for one in forms if isinstance(one, type) and issubclass(one, BaseModel)]
        around = models[0] if models else None
        path.append(part)
        forms = [inner for one in forms for inner in _inside(one, part)]
    return tuple(path), around


def _inside(form: Any, part: str | int) -> list[Any]:
    """Return models, lists and mappings that may stand at a key or an index."""
    if isinstance(form, type) and issubclass(form, BaseModel):
        found = next((f for key, f in form.model_fields.items() if (f.alias or key) == part), None)
        return _choices(found.annotation) if found else []
    return _choices(get_args(form)[-1]) if get_args(form) else []


def _choices(annotation: Any) -> list[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _choices(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return [inner for choice in get_args(annotation) for inner in _choices(choice)]
    return [annotation]


# ---- the words


def empty(name: str) -> tuple[str, str]:
    """Return the code and sentence about a key without a value."""
    return "empty", f"{name} is empty: give it a value, or remove it"


def worded(detail: ErrorDetails, name: str) -> tuple[str, str]:
    """Return the code and sentence for an error about a value. `name` is the sentence's subject, such as the key."""
    value: Any = detail["input"]
    context: Mapping[str, Any] = detail.get("ctx", {})
    if value is None:
        return empty(name)
    match detail["type"]:
        case "string_type":
            if isinstance(value, bool | int | float):
                return "type", f"{name} must be text: put {_quoted(value)} in quotes"
            return "type", f"{name} must be text, not a {_kind(value)}"
        case "string_pattern_mismatch":
            what, form = _PATTERNS.get(context["pattern"], ("allowed here", f"what matches {context['pattern']}"))
            return "value", f"{_quoted(value)} is not {what}: write {form}{_such_as(context['pattern'], value)}"
        case "string_too_short":
            return empty(name)
        case "string_too_long":
            return "value", f"{name} is longer than {context['max_length']} characters"
        case "too_short" if value:
            return "value", f"{name} has only {len(value)}: it needs at least {context['min_length']}"
        case "too_long":
            return "value", f"{name} has {len(value)}: {context['max_length']} is the most"
        case "too_short":
            return "empty", f"{name} is empty: it needs at least one entry"
        case "literal_error":
            words = _LITERAL.findall(context["expected"])
            start = str(value).lower()[:3]
            guess = start if start in words else near(str(value), words)
            hint = f": did you mean '{guess}'?" if guess else f": write {listed(words)}"
            what = _quoted(value) if isinstance(value, str | int | float) else f"a {_kind(value)}"
            return "value", f"{what} is not allowed in {name}{hint}"
        case "list_type" | "tuple_type":
            is_alone = isinstance(value, str) and name in ("'on'", "'days_off'", "'channels'")
            hint = f"write [{clip(value)}]" if is_alone else "begin each of its entries with '- '"
            return "type", f"{name} must be a list: {hint}"
        case "model_type" | "dict_type" | "model_attributes_type":
            first = next(iter(detail["input"]), None) if _kind(value) == "list" else None
            hint = f": write {{{clip(first)}: …}}" if isinstance(first, str) and name[0] == "'" else ""
            return "type", f"{name} must be keys with values, not a {_kind(value)}{hint}"
        case "union_tag_not_found" | "union_tag_invalid":
            form = "JSON as text or as keys with values" if name == "'body'" else "text"
            return "type", f"{name} must be {form}, or {{file: …}}, not a {_kind(value)}"
        case "int_type" | "int_from_float" | "int_parsing":
            return "type", f"{name} must be a whole number"
        case "float_type" | "float_parsing" | "finite_number":
            return "type", f"{name} must be a number"
        case "bool_type" | "bool_parsing":
            return "type", f"{name} must be true or false"
        case "greater_than_equal":
            return "value", f"{name} must be {context['ge']:g} or more"
        case "less_than_equal":
            return "value", f"{name} must be {context['le']:g} or less"
        case "value_error":
            return "value", str(context["error"])
        case _:
            return "value", f"{name} is wrong: {detail['msg'][:1].lower()}{detail['msg'][1:]}"


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
    if pattern != parts.NAME:
        return ""
    slug = "-".join(re.findall(r"[a-z0-9]+", str(value).lower()))
    return f", such as {slug}" if slug and len(slug) <= 40 else ""
