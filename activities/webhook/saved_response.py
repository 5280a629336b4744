"""The part of a response that later templates and conditions can use: JSON, small, without secrets.

A response that cannot be saved is still a delivery; a note says why.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple, NoReturn

from activities.redaction import KnownSecrets, NestedTooDeeply, masked
from activities.webhook.http.exchange import Response
from scenario.model.parts import Save
from scenario.responses import misfit
from scenario.type_guards import is_list, is_mapping, members

MAX_SAVED: Final = 16 * 1024
"""Maximum bytes of a saved response, which becomes part of the journey's history."""
MAX_DEPTH: Final = 32
"""Maximum nesting of a saved response."""
_MAX_INTEGER: Final = 2**63


class SavedResponse(NamedTuple):
    """The saved response."""

    value: Any = None  # the JSON with masked secrets, or None
    note: str | None = None  # why nothing, or not all, is saved: one sentence


class _UnfitError(ValueError):
    """Why a response is not saved."""


def save_response(save: Save, response: Response, given: KnownSecrets) -> SavedResponse:
    """Return the part of a 2xx response that a step saves.

    Only the request's secrets are masked, because conditions read the rest.
    """
    try:
        value = _read(response)
        if save.shape is not None:
            _fit(value, save.shape)
        value, changed = _clean(value, given)
        return SavedResponse(
            value, f"the response kept as '{save.name}' held a secret, which was masked" if changed else None
        )
    except NestedTooDeeply:
        return SavedResponse(note=f"the response was not kept as '{save.name}': it cannot be read through")
    except _UnfitError as error:
        return SavedResponse(note=f"the response was not kept as '{save.name}': {error}")


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

    Members keep their names, because conditions use them. A member with a secret in its name is left out.
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
    if isinstance(value, str):
        texts.append(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        if abs(value) >= _MAX_INTEGER:
            raise _UnfitError("it holds a whole number of more than 64 bits")
        texts.append(str(value))
    elif is_mapping(value):
        names.update(value)
    for _, member in members(value):
        _collect(member, texts, names, depth + 1)


def _rewritten(value: Any, shown: Mapping[str, str], named: Collection[str]) -> Any:
    if is_mapping(value):
        return {name: _rewritten(member, shown, named) for name, member in value.items() if name not in named}
    if is_list(value):
        return [_rewritten(item, shown, named) for item in value]
    if isinstance(value, str | int) and not isinstance(value, bool):
        text = shown[str(value)]
        return text if isinstance(value, str) or text != str(value) else value
    return value
