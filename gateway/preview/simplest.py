"""Making an entry that fails as simple as it can be, so that a person sees which value it is."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any, Final, cast

Path = tuple[str | int, ...]
ENTRY: Final[frozenset[Path]] = frozenset(
    (("scenario",), ("contact",), ("contact", "id"), ("trigger",), ("trigger", "type"))
)
"""What an entry cannot do without."""


def simplest(
    entry: dict[str, Any], fails: Callable[[dict[str, Any]], bool], tries: int, *, kept: frozenset[Path] = ENTRY
) -> dict[str, Any]:
    """The entry without all that its failing does not need.

    Args:
        entry: Fails.
        fails: Whether an entry fails in the same way.
        tries: How many entries may be looked at.
        kept: The places that stay as they are.

    Returns:
        An entry that fails; the one that was given where nothing can be left out.
    """
    best = entry
    left = tries
    for change in (_without, _halved, _plain):
        again = True
        while again and left > 0:
            again = False
            for path in [path for path in _paths(best, ()) if path not in kept]:
                candidate = change(best, path)
                if candidate is None:
                    continue
                left -= 1
                if fails(candidate):
                    # What stood at a path may have moved or gone: look at what there is now.
                    best, again = candidate, change is not _plain
                    if again:
                        break
                if left <= 0:
                    break
    return best


def _paths(data: Any, path: Path) -> Iterator[Path]:
    """Every place in an entry that may be changed: the whole before its parts, so that much goes at once."""
    if path:
        yield path
    if isinstance(data, dict):
        for key, value in cast("dict[str, Any]", data).items():
            yield from _paths(value, (*path, key))
    elif isinstance(data, list):
        for index, value in enumerate(cast("list[Any]", data)):
            yield from _paths(value, (*path, index))


def _at(data: Any, path: Path) -> Any:
    for part in path:
        data = data[part]
    return data


def _without(entry: dict[str, Any], path: Path) -> dict[str, Any] | None:
    """The entry without the value at a path."""
    changed = copy.deepcopy(entry)
    del _at(changed, path[:-1])[path[-1]]
    return changed


def _halved(entry: dict[str, Any], path: Path) -> dict[str, Any] | None:
    """The entry with the first or the second half of a long text at a path: what is wrong with it is in one of them."""
    value = _at(entry, path)
    if not isinstance(value, str) or len(value) < 2:
        return None
    changed = copy.deepcopy(entry)
    _at(changed, path[:-1])[path[-1]] = value[: len(value) // 2]
    return changed


def _plain(entry: dict[str, Any], path: Path) -> dict[str, Any] | None:
    """The entry with a plain text at a path."""
    value = _at(entry, path)
    if not isinstance(value, str) or value == "x":
        return None
    changed = copy.deepcopy(entry)
    _at(changed, path[:-1])[path[-1]] = "x"
    return changed
