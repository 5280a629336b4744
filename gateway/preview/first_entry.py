"""An entry to begin with: what a scenario's templates and conditions name, and no more, with usual values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from gateway.preview.contact import Given, kept_out
from gateway.preview.draft import Draft
from gateway.preview.samples import Samples
from gateway.preview.uses import Path, loops, named
from gateway.preview.worst import NAMED
from scenario.errors import EntryError

_DRAWS: Final = 50
_ALWAYS: Final[frozenset[Path]] = frozenset(
    {("contact", "id"), ("contact", "email"), ("contact", "cellphone"), ("contact", "timezone")}
)
"""What journeys look at, whatever templates name."""
_ADDRESSES: Final = ("email", "cellphone")


def first_entry(draft: Draft) -> dict[str, Any] | None:
    """An entry that the scenario lets in; None where none was found. The same scenario gives the same one.

    Args:
        draft: The scenario.
    """
    samples, wanted = Samples(draft, 0), _wanted(draft)
    for again in range(_DRAWS):
        whole = samples.entry(1, again)
        pruned = _pruned(whole, wanted)
        for entry in (_reached(pruned), pruned, whole):
            if _is_let_in(draft, entry):
                return entry
    return None


def _wanted(draft: Draft) -> frozenset[Path]:
    inside = loops(draft)
    paths = {path for path in named(draft) if path not in inside}
    return _ALWAYS | paths | {(*path, name) for path, names in inside.items() for name in names or {""}}


def _is_let_in(draft: Draft, entry: dict[str, Any]) -> bool:
    try:
        return kept_out(draft, entry, Given()) is None
    except EntryError:
        return False


def _reached(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry whose contact has the addresses that messages go to, whatever conditions compare them with."""
    known = {name: value for name, value in entry["contact"].items() if value not in (None, "")}
    return {**entry, "contact": {**entry["contact"], **{name: NAMED[name][0] for name in _ADDRESSES}, **known}}


def _pruned(entry: dict[str, Any], wanted: frozenset[Path]) -> dict[str, Any]:
    contact = {**entry["contact"]}
    if rows := contact.pop("custom_fields", None):
        contact["custom"] = {row["name"]: row["value"] for row in rows}
    parts = {name: _part(data, (name,), wanted) for name, data in entry["trigger"].items() if name != "type"}
    trigger = {"type": entry["trigger"]["type"], **parts}
    return {**entry, "contact": _part(contact, ("contact",), wanted), "trigger": trigger}


def _part(value: Any, path: Path, wanted: frozenset[Path]) -> Any:
    """A part with what is wanted of it: what is named, what is above that, and all that is below."""
    if path in wanted:
        return value
    if isinstance(value, list):
        return [_part(item, path, wanted) for item in cast("list[Any]", value)]
    if not isinstance(value, Mapping):
        return value
    return {
        name: _part(item, (*path, name), wanted)
        for name, item in cast("Mapping[str, Any]", value).items()
        if any(one[: len(path) + 1] == (*path, name) for one in wanted)
    }
