"""What is kept of a response for later templates and conditions: JSON, small, without secrets.

Whatever is wrong with it, the delivery has succeeded: there is a note for people, and nothing is kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, NoReturn, cast

from activities.redaction import MASK, masked
from activities.webhook.http.transport import Response
from scenario import model
from scenario.fitting import misfit

MAX_SAVED: Final = 16 * 1024
"""Bytes of a response that is kept. It becomes part of the journey's history."""
MAX_DEPTH: Final = 32
"""Levels of lists and objects in one."""
_MAX_INTEGER: Final = 2**63


class Kept(NamedTuple):
    """What came of it.

    Attributes:
        value: The JSON, secrets masked; None where nothing is kept.
        note: Why nothing is kept, as one sentence; None where something is.
    """

    value: Any = None
    note: str | None = None


class _UnfitError(ValueError):
    """Why a text is not kept."""


def kept(save: model.Save, response: Response, spelt: Sequence[str]) -> Kept:
    """What a step keeps of a response.

    Args:
        save: What the step says about it.
        response: A 2xx.
        spelt: What to mask wherever it stands in the response: `redaction.spellings` of the secrets.
    """
    try:
        value = _read(response)
        if save.shape is not None:
            _fit(value, save.shape)
        return Kept(_clean(value, spelt, 0))
    except _UnfitError as error:
        return Kept(note=f"the response was not kept as '{save.name}': {error}")


def _read(response: Response) -> Any:
    if not response.complete:
        raise _UnfitError("it did not arrive as a whole")
    if len(response.body) > MAX_SAVED:
        raise _UnfitError(f"it is larger than {MAX_SAVED // 1024} KB")
    if not response.body.strip():
        raise _UnfitError("it is empty")
    try:
        text = response.body.decode("utf-8-sig")
        value = json.loads(text, parse_constant=_constant)
        # Halves of characters and numbers beyond all bounds can be read, and not be written again.
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise _UnfitError("it is not JSON") from None
    return value


def _constant(name: str) -> NoReturn:
    raise ValueError(name)


def _fit(value: Any, schema: Mapping[str, Any]) -> None:
    """Compares a value with its schema, and says of the response nothing: its keys and values may be personal data."""
    if (fault := misfit(value, schema)) is not None:
        raise _UnfitError(f"it does not fit its schema{fault}")


def _clean(value: Any, spelt: Sequence[str], depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise _UnfitError(f"it is nested more than {MAX_DEPTH} levels deep")
    match value:
        case str():
            return masked(value, spelt)
        case dict():
            members = cast("dict[str, Any]", value).items()
            return {masked(name, spelt): _clean(member, spelt, depth + 1) for name, member in members}
        case list():
            return [_clean(item, spelt, depth + 1) for item in cast("list[Any]", value)]
        case int() if abs(value) >= _MAX_INTEGER:
            raise _UnfitError("it holds a whole number of more than 64 bits")
        case int() if str(value) in spelt:
            return MASK
        case _:
            return value
