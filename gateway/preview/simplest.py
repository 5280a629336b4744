"""Reduces an entry that fails to a minimum, so that its cause is visible."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any, Final

from scenario.type_guards import is_list, is_mapping

Path = tuple[str | int, ...]
ENTRY: Final[frozenset[Path]] = frozenset(
    (("scenario",), ("contact",), ("contact", "id"), ("trigger",), ("trigger", "type"))
)
"""Parts that an entry needs."""


def simplest(
    entry: dict[str, Any], fails: Callable[[dict[str, Any]], bool], tries: int, *, kept: frozenset[Path] = ENTRY
) -> dict[str, Any]:
    """Return the smallest variant of an entry that still fails.

    Args:
        entry: An entry that fails.
        fails: Returns True if an entry fails in the same way.
        tries: Maximum number of variants.
        kept: Places that stay unchanged.
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
    """Yield every place of an entry that may be changed, parents first."""
    if path:
        yield path
    if is_mapping(data):
        for key, value in data.items():
            yield from _paths(value, (*path, key))
    elif is_list(data):
        for index, value in enumerate(data):
            yield from _paths(value, (*path, index))


def _at(data: Any, path: Path) -> Any:
    for part in path:
        data = data[part]
    return data


def _without(entry: dict[str, Any], path: Path) -> Iterator[dict[str, Any]]:
    changed = copy.deepcopy(entry)
    del _at(changed, path[:-1])[path[-1]]
    yield changed


def _halved(entry: dict[str, Any], path: Path) -> Iterator[dict[str, Any]]:
    """Yield the entry with either half of a long text."""
    value = _at(entry, path)
    if isinstance(value, str) and len(value) > 1:
        middle = len(value) // 2
        for half in (value[:middle], value[middle:]):
            yield _with(entry, path, half)


def _plain(entry: dict[str, Any], path: Path) -> Iterator[dict[str, Any]]:
    """Yield the entry with a plain text at a path."""
    value = _at(entry, path)
    if isinstance(value, str) and value != "x":
        yield _with(entry, path, "x")


def _with(entry: dict[str, Any], path: Path, value: str) -> dict[str, Any]:
    changed = copy.deepcopy(entry)
    _at(changed, path[:-1])[path[-1]] = value
    return changed
