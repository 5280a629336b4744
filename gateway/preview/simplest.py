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
                for candidate in change(best, path):
                    left -= 1
                    if fails(candidate):
                        best, again = candidate, change is not _plain
                        break
                    if left <= 0:
                        return best
                if again:
                    # What stood at a path may have moved or gone: look at what there is now.
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


def _without(entry: dict[str, Any], path: Path) -> Iterator[dict[str, Any]]:
    """The entry without the value at a path."""
    changed = copy.deepcopy(entry)
    del _at(changed, path[:-1])[path[-1]]
    yield changed


def _halved(entry: dict[str, Any], path: Path) -> Iterator[dict[str, Any]]:
    """The entry with either half of a long text at a path: what is wrong with it may be in one of them."""
    value = _at(entry, path)
    if isinstance(value, str) and len(value) > 1:
        middle = len(value) // 2
        for half in (value[:middle], value[middle:]):
            yield _with(entry, path, half)


def _plain(entry: dict[str, Any], path: Path) -> Iterator[dict[str, Any]]:
    """The entry with a plain text at a path."""
    value = _at(entry, path)
    if isinstance(value, str) and value != "x":
        yield _with(entry, path, "x")


def _with(entry: dict[str, Any], path: Path, value: str) -> dict[str, Any]:
    changed = copy.deepcopy(entry)
    _at(changed, path[:-1])[path[-1]] = value
    return changed
