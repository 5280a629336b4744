"""Responses that a webhook's `save:` keeps: which of them, and why not the others.

A receiver is not trusted. What it answers is read within bounds of size, depth and work, and no sentence that is made
here says anything of what is in it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

from scenario.entry import is_too_deep
from scenario.liquid.values import clean
from scenario.model import Save

if TYPE_CHECKING:
    from jsonschema import ValidationError
    from jsonschema.protocols import Validator

MAX_RESPONSE: Final = 16 * 1024
"""Bytes of a response that is kept: it stays in the journey's history, and goes along with it."""
UNCHECKED: Final = ("pattern", "uniqueItems")
"""Keywords of a schema that are passed over: what a receiver sends could make them take hours."""
_STEPS: Final = 20_000
"""Keywords of a schema that are applied to one response: about a tenth of a second."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of a response.

    Attributes:
        value: Its JSON; None where it is not kept (or is ``null``).
        note: Why it is not kept, as a sentence without anything of the response; None where it is.
    """

    value: Any = None
    note: str | None = None


class _TooMuch(Exception):
    """A schema takes too many steps on some value."""


def keep(save: Save, body: bytes, *, complete: bool = True) -> Kept:
    """Reads a response.

    Args:
        save: What the step says about it.
        body: The response's body.
        complete: Whether that is all of it.
    """
    if not complete or len(body) > MAX_RESPONSE:
        return Kept(note=f"the response was not kept: it is larger than {MAX_RESPONSE // 1024} KB or was cut off")
    try:
        value: Any = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError):  # no UTF-8, no JSON, or a number with thousands of digits
        return Kept(note="the response was not kept: it is no JSON")
    if is_too_deep(value):
        return Kept(note="the response was not kept: it is nested too deeply")
    if b"\\u" in body:  # escapes may be of halves of characters, which no UTF-8 can hold
        value = json.loads(clean(json.dumps(value, ensure_ascii=False)))
    if save.shape is not None and (fault := misfit(value, save.shape)):
        return Kept(note=f"the response was not kept: it does not fit the schema{fault}")
    return Kept(value)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def misfit(value: Any, schema: Mapping[str, Any]) -> str | None:
    """Where a value does not fit a schema, as the end of a sentence, or None where it does.

    Args:
        value: Plain JSON data.
        schema: A schema that `scenario.expectations` finds nothing wrong with. What it says of `UNCHECKED` is passed
            over; nothing is ever fetched.
    """
    try:
        error = next(_validator(schema).iter_errors(value), None)
    except (_TooMuch, RecursionError):
        return ", which takes too many steps on it"
    return None if error is None else f", at {_place(error)}"


def is_endless(schema: Mapping[str, Any]) -> bool:
    """Whether a schema is never through with a value, since it refers to itself without looking deeper into it."""
    samples: tuple[Any, ...] = (None, True, 0, "", [], {})
    for value in samples:
        try:
            next(_validator(schema).iter_errors(value), None)
        except (_TooMuch, RecursionError):
            return True
    return False


def _place(error: ValidationError) -> str:
    """Where the schema says what does not hold: never a value, nor a key that only the response has."""
    return "/".join(str(part) for part in error.absolute_schema_path) or "its top"


def _validator(schema: Mapping[str, Any]) -> Validator:
    from referencing import Registry  # here, not above: what needs no schema need not wait for jsonschema to load

    _work.left = _STEPS
    # An empty registry knows of no other schema, and fetches none.
    return _kind()(dict(schema), registry=cast("Any", Registry)())


class _Work(threading.local):
    """The steps that are left to the validation at work in this thread: there is never more than one."""

    left = 0


_work: Final = _Work()


def _counted(check: Callable[..., Any]) -> Callable[..., Iterator[ValidationError]]:
    def keyword(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        _work.left -= 1
        if _work.left < 0:
            raise _TooMuch
        yield from check(validator, value, instance, schema) or ()

    return keyword


@cache
def _kind() -> Callable[..., Validator]:
    """The class of validators that count their steps."""
    from jsonschema import Draft202012Validator, validators

    known = cast("Mapping[str, Callable[..., Any]]", Draft202012Validator.VALIDATORS)
    counted = {name: _counted(check) for name, check in known.items() if name not in UNCHECKED}
    made = validators.create(Draft202012Validator.META_SCHEMA, counted)  # pyright: ignore[reportUnknownMemberType]
    return cast("Callable[..., Validator]", made)
