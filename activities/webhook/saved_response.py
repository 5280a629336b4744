"""The part of a response that later templates and conditions can use: JSON, small, without secrets.

A response that cannot be saved is still a delivery; a note says why.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple, NoReturn, cast

from activities.redaction import KnownSecrets, NestedTooDeeply, masked
from activities.webhook.http.exchange import Response
from scenario.model.parts import Save
from scenario.responses.validation import misfit

MAX_SAVED: Final = 16 * 1024
"""Maximum bytes of a saved response, which becomes part of the journey's history."""
MAX_DEPTH: Final = 32
"""Maximum nesting of a saved response."""
_MAX_INTEGER: Final = 2**63


class Kept(NamedTuple):
    """The saved response.

    Attributes:
        value: The JSON with masked secrets, or None.
        note: Why nothing, or not all, is saved: one sentence.
    """

    value: Any = None
    note: str | None = None


class _UnfitError(ValueError):
    """Why a response is not saved."""


def kept(save: Save, response: Response, given: KnownSecrets) -> Kept:
    """Return what a step saves of a response.

    Args:
        save: The step's `save`.
        response: A 2xx.
        given: Secrets of the request. Only these are masked, because conditions read the rest.
    """
    try:
        value = _read(response)
        if save.shape is not None:
            _fit(value, save.shape)
        value, changed = _clean(value, given)
        return Kept(value, f"the response kept as '{save.name}' held a secret, which was masked" if changed else None)
    except NestedTooDeeply:
        return Kept(note=f"the response was not kept as '{save.name}': it cannot be read through")
    except _UnfitError as error:
        return Kept(note=f"the response was not kept as '{save.name}': {error}")


def _read(response: Response) -> Any:
    if not response.complete:
        raise _UnfitError("it did not arrive completely")
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
    """Compare a value with its schema. Messages contain nothing of the response."""
    if (fault := misfit(value, schema)) is not None:
        raise _UnfitError(f"it does not fit its schema{fault}")


def _clean(value: Any, given: KnownSecrets) -> tuple[Any, bool]:
    """Return the value with masked secrets, and True if there were any.

    Members keep their names, because conditions use them. A member whose name contains a secret is left out.
    """
    texts: list[str] = []
    names: set[str] = set()
    _collect(value, texts, names, 0)
    shown = dict(zip(texts, masked(texts, given), strict=True))
    listed = list(names)
    named = {
        name
        for name, mask in zip(listed, masked(listed, KnownSecrets(given.long, encoded=given.encoded)), strict=True)
        if name != mask
    }
    changed = bool(named) or any(text != mask for text, mask in shown.items())
    return (_rewritten(value, shown, named), True) if changed else (value, False)


def _collect(value: Any, texts: list[str], names: set[str], depth: int) -> None:
    """Collect all texts and whole numbers of a value, and the names of its members."""
    if depth > MAX_DEPTH:
        raise _UnfitError(f"it is nested more than {MAX_DEPTH} levels deep")
    match value:
        case str():
            texts.append(value)
        case dict():
            members = cast("dict[str, Any]", value)
            names.update(members)
            for member in members.values():
                _collect(member, texts, names, depth + 1)
        case list():
            for item in cast("list[Any]", value):
                _collect(item, texts, names, depth + 1)
        case bool():
            pass
        case int():
            if abs(value) >= _MAX_INTEGER:
                raise _UnfitError("it holds a whole number of more than 64 bits")
            texts.append(str(value))
        case _:
            pass


def _rewritten(value: Any, shown: Mapping[str, str], named: Collection[str]) -> Any:
    match value:
        case str():
            return shown[value]
        case dict():
            members = cast("dict[str, Any]", value).items()
            return {name: _rewritten(member, shown, named) for name, member in members if name not in named}
        case list():
            return [_rewritten(item, shown, named) for item in cast("list[Any]", value)]
        case int() if not isinstance(value, bool) and shown[str(value)] != str(value):
            return shown[str(value)]
        case _:
            return value
