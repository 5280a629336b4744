"""A sample entry: the fields that a scenario's templates and conditions use, with usual values."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from pydantic.fields import FieldInfo
from typing_extensions import override

from gateway.preview.contact import PreviewInputs, refusal
from gateway.preview.draft import Draft
from gateway.preview.samples import EntryMaker, Samples
from gateway.preview.uses import Path, UsedFields, loops, named
from gateway.preview.worst import DATES, NAMED
from scenario.entry import values
from scenario.errors import EntryError
from scenario.steps.delivery import DeliveryStep
from scenario.type_guards import is_list, is_mapping
from scenario.words import MARKETING

_DRAWS: Final = 50
_ALWAYS: Final[frozenset[Path]] = frozenset({("contact", "id"), ("contact", "timezone")})
"""Fields that journeys need in any case."""


def first_entry(draft: Draft) -> dict[str, Any] | None:
    """Return an entry that the scenario admits, always the same one, or None if none was found."""
    samples, wanted = _UsualSamples(draft, 0), _wanted(draft)
    for again in range(_DRAWS):
        entry = _with_consent(_pruned(samples.entry(1, again), wanted), draft)
        with suppress(EntryError):
            if refusal(draft, entry, PreviewInputs()) is None:
                return entry
    return None


_BIRTHDAY: Final = "1988-03-02"
_PAST: Final = "2026-03-02 10:00:00"
_FUTURE: Final = "2030-06-01 10:00:00"
_ARTICLES: Final = frozenset({"products", "recommendations"})
_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_BY_WORD: Final[tuple[tuple[frozenset[str], Any], ...]] = tuple(
    (frozenset(words.split()), value)
    for words, value in (
        ("email mail", NAMED["email"][0]),
        ("phone cellphone mobile cell msisdn tel", NAMED["cellphone"][0]),
        ("timezone", NAMED["timezone"][0]),
        ("currency", NAMED["currency"][0]),
        ("language locale lang", NAMED["language"][0]),
        ("country", "FR"),
        ("image photo picture img", "https://cdn.example.com/1.jpg"),
        ("url link href website", "https://shop.example.com/p/1"),
        ("firstname first", "Zoé"),
        ("lastname surname last", "O'Brien"),
        ("birthday birthdate birth", _BIRTHDAY),
        ("optin consent enabled active available vip is has", True),
        ("expires expiry expiration expire until end ends deadline due slot appointment starts", _FUTURE),
        ("date at time since day updated created", _PAST),
        ("price amount total cost fee value revenue tax discount shipping sum paid", 39.9),
        ("quantity qty count number nb score points rank stock age days percent size version rating", 3),
        ("city town", "Paris"),
        ("zip postcode postal", "75001"),
        ("street address", "1 rue de Rivoli"),
        ("civility gender", "mme"),
        ("id sku code ref reference token key uuid card extid", "A-1"),
    )
)
_KINDS: Final[dict[Callable[..., Any], Callable[[Any], Any]]] = {
    values.as_number: lambda value: value if isinstance(value, int | float) and not isinstance(value, bool) else 3,
    values.as_flag: lambda value: True,
    values.as_moment: lambda value: value if value == _FUTURE else _PAST,
    values.as_text: lambda value: "1" if value is True else str(value),
    values.as_id: lambda value: "A-1",
}
"""Conversions of a value to the kind that a reader expects."""


def _plausible(path: Path, reader: Callable[..., Any] | None = None, *, is_date: bool = False) -> Any:
    """Return a usual value for a field of this name.

    Args:
        reader: The function that reads the field, or None for unknown fields.
        is_date: True if the scenario waits for it, or formats it as a date.
    """
    name = path[-1]
    words = {word.lower() for word in _WORD.findall(name)} | {name.lower()}
    found = next((value for known, value in _BY_WORD if words & known), None)
    if is_date:
        return found if found in (_BIRTHDAY, _PAST) else _FUTURE
    if found is None:
        found = "Sérum éclat 30 ml" if name == "name" and _ARTICLES & {*path} else _label(path)
    return found if reader is None or reader not in _KINDS else _KINDS[reader](found)


def _label(path: Path) -> str:
    """Return a text that names its field: ``Program name``."""
    words = path[-2:] if path[-1] == "name" else path[-1:]
    return " ".join(words).replace("_", " ").capitalize()


class _UsualSamples(Samples):
    """Entries of usual values, or values of conditions if usual values admit no contact."""

    @override
    def _maker(self, chance: random.Random, number: int, again: int) -> EntryMaker:
        return _UsualEntryMaker(chance, self._used, compared=again > 0)


class _UsualEntryMaker(EntryMaker):
    """Makes an entry of usual values.

    Args:
        compared: True to try values that conditions compare with.
    """

    def __init__(self, chance: random.Random, used: UsedFields, *, compared: bool) -> None:
        super().__init__(chance, 1, used)
        self._compared = compared

    @override
    def _field(self, info: FieldInfo, reader: Callable[..., Any] | None, path: Path) -> Any:
        return self._part(info.annotation, path) if reader is None else self._usual(path, reader)

    @override
    def _custom(self, path: Path) -> dict[str, Any]:
        return {"custom": {name: self.value((*path, name)) for name in self._used.below(path)}}

    @override
    def value(self, path: Path, pool: tuple[Any, ...] = (), usual: tuple[Any, ...] = ()) -> Any:
        below = self._used.below(path)
        return self._nested(path, below) if below else self._usual(path)

    def _usual(self, path: Path, reader: Callable[..., Any] | None = None) -> Any:
        literals = self._used.literals.get(path, ())
        compared = [value for value in literals if value not in DATES]
        if self._compared and compared and self._chance.random() < 0.6:
            return self._chance.choice(compared)
        return _plausible(path, reader, is_date=DATES[0] in literals and path[-1] not in NAMED)

    @override
    def _sizes(self, path: Path) -> list[int]:
        sizes = super()._sizes(path)
        return sizes if self._compared or not sizes else [2]


def _wanted(draft: Draft) -> frozenset[Path]:
    inside = loops(draft)
    paths = {path for path in named(draft) if path not in inside}
    addresses = {step.recipient for step in draft.steps.values() if step.recipient is not None}
    for step in draft.steps.values():
        if isinstance(step, DeliveryStep) and not step.is_message:
            addresses |= {(root, name) for root, name in step.always}
    return _ALWAYS | addresses | paths | {(*path, name) for path, names in inside.items() for name in names or {""}}


def _with_consent(entry: dict[str, Any], draft: Draft) -> dict[str, Any]:
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
    """Return a part of an entry reduced to the used fields."""
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
