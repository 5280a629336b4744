"""A sample entry: what a scenario's templates and conditions use, with usual values."""

from __future__ import annotations

from typing import Any, Final

from gateway.preview.contact import Given, kept_out
from gateway.preview.draft import Draft
from gateway.preview.samples import Samples
from gateway.preview.uses import Path, loops, named
from scenario.errors import EntryError
from scenario.type_guards import is_list, is_mapping
from scenario.words import MARKETING

_DRAWS: Final = 50
_ALWAYS: Final[frozenset[Path]] = frozenset({("contact", "id"), ("contact", "timezone")})
"""Fields that journeys need in any case."""


def first_entry(draft: Draft) -> dict[str, Any] | None:
    """Return an entry that the scenario admits, always the same one, or None if none was found."""
    samples, wanted = Samples(draft, 0, plausible=True), _wanted(draft)
    for again in range(_DRAWS):
        entry = _agreeing(_pruned(samples.entry(1, again), wanted), draft)
        if _is_let_in(draft, entry):
            return entry
    return None


def _wanted(draft: Draft) -> frozenset[Path]:
    inside = loops(draft)
    paths = {path for path in named(draft) if path not in inside}
    addresses = {step.recipient for step in draft.steps.values() if step.recipient is not None}
    return _ALWAYS | addresses | paths | {(*path, name) for path, names in inside.items() for name in names or {""}}


def _is_let_in(draft: Draft, entry: dict[str, Any]) -> bool:
    try:
        return kept_out(draft, entry, Given()) is None
    except EntryError:
        return False


def _agreeing(entry: dict[str, Any], draft: Draft) -> dict[str, Any]:
    """Return the entry with the consent that the scenario requires."""
    contact = entry["contact"]
    for channel, asked in (draft.scenario.subscription or {}).items() if draft.scenario.purpose == MARKETING else ():
        if asked.mailing_list is not None:
            row = {"id": 51, "name": asked.mailing_list}
            row |= {"id": int(asked.mailing_list), "name": "Newsletter"} if asked.mailing_list.isdigit() else {}
            contact = {**contact, "lists": [*contact.get("lists", ()), row]}
        if asked.tracking is not None:
            row = {"channel": channel, "scope": asked.tracking, "enabled": True}
            contact = {**contact, "tracking_consent": [*contact.get("tracking_consent", ()), row]}
    return {**entry, "contact": contact}


def _pruned(entry: dict[str, Any], wanted: frozenset[Path]) -> dict[str, Any]:
    parts = {name: _part(data, (name,), wanted) for name, data in entry["trigger"].items() if name != "type"}
    trigger = {"type": entry["trigger"]["type"], **parts}
    return {**entry, "contact": _part(entry["contact"], ("contact",), wanted), "trigger": trigger}


def _part(value: Any, path: Path, wanted: frozenset[Path]) -> Any:
    """Return a part of an entry reduced to what is used."""
    if path in wanted:
        return value
    if is_list(value):
        return [_part(item, path, wanted) for item in value]
    if not is_mapping(value):
        return value
    return {
        name: _part(item, (*path, name), wanted)
        for name, item in value.items()
        if any(one[: len(path) + 1] == (*path, name) for one in wanted)
    }
