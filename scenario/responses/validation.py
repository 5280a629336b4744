"""Validation of responses against their schemas, in bounded time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final, cast

from scenario.source.findings import clip

if TYPE_CHECKING:
    from jsonschema import ValidationError
    from jsonschema.protocols import Validator

UNCHECKED: Final = ("pattern", "uniqueItems")
"""Ignored keywords: a response could make them take hours."""
_STEPS: Final = 20_000
"""Maximum number of keywords applied to one response: about a tenth of a second."""


class _TooMuch(Exception):
    """A schema needs too many steps for a value."""


def misfit(value: Any, schema: Mapping[str, Any]) -> str | None:
    """Return where a value violates a schema, as the end of a sentence, or None if it is valid.

    Args:
        value: Plain JSON data.
        schema: A schema without faults. Keywords in `UNCHECKED` are ignored; nothing is downloaded.
    """
    from referencing.exceptions import Unresolvable  # here, not above: most journeys have no schema to wait for

    try:
        error = next(_validator(schema).iter_errors(value), None)
    except (_TooMuch, RecursionError, OverflowError, Unresolvable):
        return ", which cannot be applied to it"
    return None if error is None else f", at '{_place(error)}'"


def _place(error: ValidationError) -> str:
    """Describe the place by the schema, never by a value or a key of the response."""
    return clip("/".join(str(part) for part in error.absolute_schema_path), 200) or "its top"


def _validator(schema: Mapping[str, Any]) -> Validator:
    from referencing import Registry

    _work.left = _STEPS
    # An empty registry knows of no other schema, and fetches none.
    return _kind()(dict(schema), registry=cast("Any", Registry)())


class _Work(threading.local):
    """Steps left for the validation in this thread."""

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
    """Return the class of validators that count their steps."""
    from jsonschema import Draft202012Validator, validators

    known = Draft202012Validator.VALIDATORS
    counted = {name: _counted(check) for name, check in known.items() if name not in UNCHECKED}
    made = validators.create(Draft202012Validator.META_SCHEMA, counted)  # pyright: ignore[reportUnknownMemberType]
    return cast("Callable[..., Validator]", made)
