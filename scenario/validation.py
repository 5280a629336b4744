"""Pydantic's errors as our own: stable codes, and sentences that quote no value of the input."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, get_args

from pydantic import BaseModel

from scenario.source.findings import listed, near
from scenario.type_guards import members, value_at

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

MISSING: Final = "missing"
UNKNOWN: Final = "unknown-field"
MOST: Final = 50
"""Maximum number of errors that are reported together."""
CODES: Final = (MISSING, UNKNOWN, "type", "length", "range", "form", "value")

_MOMENT: Final = "must be a date and time such as 2026-03-31T10:00:00Z"
_WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "string_type": ("type", "must be text"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), ("type", "must be a whole number")),
    "int_parsing_size": ("range", "is too large a number"),
    **dict.fromkeys(("float_type", "float_parsing", "finite_number"), ("type", "must be a number")),
    **dict.fromkeys(("bool_type", "bool_parsing"), ("type", "must be true or false")),
    "list_type": ("type", "must be a list"),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), ("type", "must be an object")),
    "datetime_type": ("type", _MOMENT),
    **dict.fromkeys(
        ("datetime_parsing", "datetime_from_date_parsing", "datetime_object_invalid", "timezone_naive"),
        ("form", _MOMENT),
    ),
    "timezone_aware": ("form", f"{_MOMENT}, with its offset"),
}
_BOUNDS: Final[Mapping[str, tuple[str, str, str]]] = {
    "string_too_short": ("length", "min_length", "must have at least {} character{s}"),
    "string_too_long": ("length", "max_length", "may have {} character{s} at most"),
    "too_short": ("length", "min_length", "must have at least {} item{s}"),
    "too_long": ("length", "max_length", "may have {} item{s} at most"),
    "greater_than_equal": ("range", "ge", "must be {} or more"),
    "greater_than": ("range", "gt", "must be more than {}"),
    "less_than_equal": ("range", "le", "must be {} or less"),
    "less_than": ("range", "lt", "must be less than {}"),
}
_MUST: Final = "must be "
_OR: Final = re.compile(", | or ")
_LONGEST_NAME: Final = 40


class InputFlaw(NamedTuple):
    """An error in JSON data."""

    at: tuple[str | int, ...]
    """Keys and indexes that lead to it; for a missing field, to the place where it belongs."""
    code: str
    """One of `CODES`."""
    sentence: str
    meant: str | None = None


def flaws(
    errors: Sequence[ErrorDetails],
    data: object,
    model: object = None,
    *,
    whole: str = "the body",
    forms: Mapping[str, str] | None = None,
) -> list[InputFlaw]:
    """Return the errors in data, one for each place, `MOST` at most.

    Args:
        errors: Pydantic's, with their context and without documentation links.
        model: The model it was validated by, which knows names that may have been meant.
        whole: The name of the data in sentences.
        forms: The predicate for a text that does not match a pattern, by the pattern.
    """
    found: dict[tuple[str | int, ...], list[tuple[str, str]]] = {}
    flawed: dict[tuple[str | int, ...], InputFlaw] = {}
    for error in errors[:MOST]:
        at = _place(error, data)
        subject = f"'{'.'.join(map(str, at))}'" if at else whole
        match error["type"]:
            case "missing":
                flawed[at] = InputFlaw(at, MISSING, f"{subject} is missing")
            case "extra_forbidden":
                flawed[at] = _unknown(at, fields_at(model, at[:-1]), whole)
            case _:
                found.setdefault(at, []).append(_said(error, forms or {}))
    for at, said in found.items():
        subject = f"'{'.'.join(map(str, at))}'" if at else whole
        flawed.setdefault(at, _merged(at, subject, said))
    return list(flawed.values())


def fields_at(model: object, at: Sequence[str | int]) -> Collection[str]:
    """Return the names of the fields that a model has at a place; none if it has no model there."""
    here = model
    for part in at:
        found = _model_in(here)
        if found is None or not isinstance(part, str) or part not in found.model_fields:
            return ()
        here = found.model_fields[part].annotation
    found = _model_in(here)
    return () if found is None else tuple(found.model_fields)


def _model_in(annotation: object) -> type[BaseModel] | None:
    """Return the model that an annotation names, alone or among others."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)


def _place(error: ErrorDetails, data: object) -> tuple[str | int, ...]:
    """Return where an error is. Pydantic's own words for choices and wrappers are left out of its location."""
    at: list[str | int] = []
    here: Any = data
    for part in error["loc"]:
        if part in dict(members(here)):
            at.append(part)
            here = value_at(here, (part,))
        elif error["type"] == "missing" and part == error["loc"][-1]:
            at.append(part)
    return tuple(at)


def _unknown(at: tuple[str | int, ...], known: Collection[str], whole: str) -> InputFlaw:
    name = str(at[-1]) if at else ""
    where = f"'{'.'.join(map(str, at[:-1]))}'" if at[:-1] else whole
    shown = f"'{name}'" if len(name) <= _LONGEST_NAME and name.isprintable() else "of that name"
    meant = near(name, known)
    hint = f"did you mean '{meant}'?" if meant else f"it has {listed(known, 'and')}" if known else "leave it out"
    return InputFlaw(at, UNKNOWN, f"{where} has no field {shown}: {hint}", meant)


def _said(error: ErrorDetails, forms: Mapping[str, str]) -> tuple[str, str]:
    """Return the code and the predicate of an error, without its subject; a whole sentence ends with a full stop."""
    kind, context = error["type"], error.get("ctx", {})
    if kind in _WORDS:
        return _WORDS[kind]
    if kind in _BOUNDS:
        code, name, text = _BOUNDS[kind]
        bound = context[name]
        return code, text.format(bound, s="" if bound == 1 else "s")
    match kind:
        case "literal_error" | "enum":
            return "value", f"{_MUST}{str(context['expected']).replace(chr(39), '')}"
        case "string_pattern_mismatch":
            return "form", forms.get(context["pattern"], f"must match {context['pattern']}")
        case "value_error" | "assertion_error":
            text = error["msg"].partition(", ")[2]
            return "value", text if text.startswith("must ") else f"{text}."
        case _:
            return "value", "has a value that it cannot have"


def _merged(at: tuple[str | int, ...], subject: str, said: Sequence[tuple[str, str]]) -> InputFlaw:
    """Return one flaw of a place where several choices were tried."""
    choices = [(code, text) for code, text in said if not text.startswith(_MUST)] or said
    codes, texts = ({choice[part]: None for choice in choices} for part in (0, 1))
    code = next(iter(codes)) if len(codes) == 1 else "value"
    if all(text.startswith(_MUST) for text in texts):
        words = (word for text in texts for word in _OR.split(text.removeprefix(_MUST)))
        text = _MUST + listed(dict.fromkeys(words))
    else:
        text = next(iter(texts))
    return InputFlaw(at, code, text.removesuffix(".") if text.endswith(".") else f"{subject} {text}")
