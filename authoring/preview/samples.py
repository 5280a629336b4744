"""Made-up entries, from the models of entries: with difficult values in every field, or with usual values."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache, partial
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from typing_extensions import override

from authoring.preview import worst
from authoring.preview.contact import PreviewInputs, refusal
from authoring.preview.draft import Draft, FieldPath, UsedFields, loops, named
from authoring.preview.walk import GivenEvent
from authoring.preview.worst import DATES, NAMED
from scenario.entry import values
from scenario.entry.objects import DATA, Contact
from scenario.entry.values import as_custom
from scenario.errors import EntryError
from scenario.steps.delivery import DeliveryStep
from scenario.type_guards import is_list, is_mapping, mapping_or_empty, walk
from scenario.words import MARKETING

_ROWS: Final = (0, 1, 2, 3, 7)
MANY: Final = 500  # number of lines of a very long order
_UNENDED: Final = 0.3  # probability that no event ends a repetition


class Samples:
    """Entries for one scenario. The same seed and number give the same entry."""

    def __init__(self, draft: Draft, seed: int) -> None:
        self._draft, self._seed = draft, seed
        self._used = UsedFields.of(draft)

    def entry(self, number: int, again: int = 0, make: Callable[..., EntryMaker] | None = None) -> dict[str, Any]:
        """Return an entry by its number, from 1, or the `again`th one in its place if that is of no use.

        The first is ordinary, the second has only an id, in the third every field is empty.
        """
        chance = random.Random(f"{self._seed}/{number}/{again}")  # noqa: S311
        maker = (make or EntryMaker)(chance, 0 if again else number, self._used)
        contact = {**maker.shape(Contact, ("contact",)), "id": number}
        trigger: dict[str, Any] = {"type": self._draft.scenario.trigger}
        if self._draft.scenario.trigger in DATA:
            root, shape = DATA[self._draft.scenario.trigger]
            made = maker.shape(shape, (root,))
            trigger[root] = made if made or number > 1 else {}
        return {"scenario": self._draft.scenario.scenario, "contact": contact, "trigger": trigger}

    def events(
        self, number: int, entry: Mapping[str, Any], responses: Mapping[str, Any] | None = None
    ) -> list[GivenEvent]:
        """Return one event of each kind that the scenario awaits. They may carry ids of responses of webhooks."""
        chance = random.Random(f"{self._seed}/{number}/events")  # noqa: S311
        maker = EntryMaker(chance, 0, self._used)
        # A property is named by `event.properties.sku` or by `event.sku`.
        own = self._used.inside("event").named
        named = {path[1] if path[0] == "properties" else path[0] for path in own if path != ("properties",)}
        # Events carry the ids of the trigger's data.
        identifiers = [mapping_or_empty(value).get("external_id") for value in entry["trigger"].values()]
        identifiers += [one for _, one in walk(responses or {}) if not is_mapping(one) and not is_list(one)]
        identifiers = [value for value in identifiers if value not in (None, "")]
        # Without such an event, a repetition ends by its number of rounds. Later conditions may depend on that.
        ending = {name for row in self._draft.plan.steps.values() if row.again for name in row.awaited.values()}
        made: list[GivenEvent] = []
        for name in sorted({name for row in self._draft.plan.steps.values() for name in row.awaited.values()}):
            if name in ending and chance.random() < _UNENDED:
                continue
            properties: dict[str, Any] = {}
            for key in sorted(named - {"name", "time", "properties"}):
                roots = (("event", key), ("event", "properties", key))
                known = [*(value for path in roots for value in self._used.literals.get(path, ())), *identifiers]
                if inside := [path for path in roots if self._used.below(path)]:
                    properties[key] = maker.value(inside[0])
                else:
                    properties[key] = chance.choice(known if known and chance.random() < 0.6 else worst.ANYTHING)
            made.append(GivenEvent(name, properties))
        return made


class EntryMaker:
    """Makes one entry."""

    def __init__(self, chance: random.Random, number: int, used: UsedFields) -> None:
        self._chance, self._used = chance, used
        self._mode = {1: "ordinary", 2: "bare", 3: "empty"}.get(number, "mixed")
        # A very long order has short lines: it is to be long, and not to break every bound there is.
        self._rows = MANY if self._mode == "mixed" and chance.random() < 0.02 else None
        self._lavish = self._rows is None

    def shape(self, shape: type[BaseModel], path: FieldPath) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for name, info, reader in _fields(shape):
            if self._mode == "bare" or (self._mode == "mixed" and self._chance.random() < 0.08):
                continue
            if reader is as_custom:
                made.update(self._custom((*path, name)))
            else:
                made[name] = self._field(info, reader, (*path, name))
        for unknown in self._used.below(path):
            if unknown not in shape.model_fields and self._mode != "bare" and self._chance.random() < 0.9:
                made[unknown] = self.value((*path, unknown))
        return made

    def _field(self, info: FieldInfo, reader: Callable[..., Any] | None, path: FieldPath) -> Any:
        if path[-1] in worst.NAMED:
            usual = worst.NAMED[path[-1]]
            return self.value(path, usual, usual[:1])
        if reader is not None:
            return self.value(path, worst.KINDS.get(reader, worst.ANYTHING), worst.PLAIN.get(reader, ("Zoé",)))
        return self._part(info.annotation, path)

    def _part(self, annotation: Any, path: FieldPath) -> Any:
        if self._mode == "empty" or (self._mode == "mixed" and self._chance.random() < 0.1):
            return self._chance.choice((None, "", []))
        arguments = [part for part in get_args(annotation) if part is not type(None)]
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return self.shape(annotation, path)
        if get_origin(annotation) is list:
            rows = 2 if self._mode == "ordinary" else self._chance.choice(self._sizes(path) or _ROWS)
            if path[-1] == "products" and self._rows is not None:
                rows = self._rows
            return [self._part(arguments[0], path) or {} for _ in range(rows)]
        if get_origin(annotation) is dict:
            return {name: self.value((*path, name)) for name in self._used.below(path)}
        if get_origin(annotation) in (Union, UnionType) and len(arguments) == 1:
            return self._part(arguments[0], path)
        return self.value(path)

    def _custom(self, path: FieldPath) -> dict[str, Any]:
        """Return custom fields: those used and one more, as a mapping or as the platform's list."""
        if self._mode == "empty":
            return {"custom_fields": []}
        names = [*self._used.below(path), "c0"]
        fields = {name: self.value((*path, name)) for name in names}
        if self._chance.random() < 0.5:
            return {"custom": fields}
        rows = [{"id": index, "name": name, "value": value} for index, (name, value) in enumerate(fields.items())]
        return {"custom_fields": rows}

    def value(self, path: FieldPath, pool: tuple[Any, ...] = worst.ANYTHING, usual: tuple[Any, ...] = ("Zoé",)) -> Any:
        if self._mode == "empty":
            return self._chance.choice((None, ""))
        if pool is worst.ANYTHING and (below := self._used.below(path)) and self._chance.random() < 0.9:
            return self._nested(path, below)
        literals = self._used.literals.get(path)
        if literals and self._chance.random() < 0.6:
            return self._chance.choice(literals)
        if self._mode == "ordinary" or not self._lavish or self._chance.random() < 0.4:
            return self._chance.choice(usual)
        return self._chance.choice(pool)

    def _nested(self, path: FieldPath, names: list[str]) -> Any:
        rows = self._sizes(path)
        made = [
            {name: self.value((*path, name)) for name in names} for _ in range(self._chance.choice(rows) if rows else 1)
        ]
        return made if rows else made[0]

    def _sizes(self, path: FieldPath) -> list[int]:
        """Return the numbers of items of a list that conditions distinguish, if any."""
        wanted = self._used.sizes(path, MANY)
        return [*wanted, 0, 3] if wanted else []


@cache
def _fields(shape: type[BaseModel]) -> tuple[tuple[str, FieldInfo, Callable[..., Any] | None], ...]:
    return tuple((name, info, values.reader_of(info)) for name, info in shape.model_fields.items())


_DRAWS: Final = 50
_ALWAYS: Final[frozenset[FieldPath]] = frozenset({("contact", "id"), ("contact", "timezone")})
"""Fields that journeys need in any case."""


def first_entry(draft: Draft) -> dict[str, Any] | None:
    """Return an entry that the scenario admits, always the same one, or None if none was found."""
    samples, wanted = Samples(draft, 0), _wanted(draft)
    for again in range(_DRAWS):
        made = samples.entry(1, again, partial(_UsualEntryMaker, compared=again > 0))
        parts = {name: _part(data, (name,), wanted) for name, data in made["trigger"].items() if name != "type"}
        trigger = {"type": made["trigger"]["type"], **parts}
        pruned = {**made, "contact": _part(made["contact"], ("contact",), wanted), "trigger": trigger}
        entry = _with_consent(pruned, draft)
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


def _plausible(path: FieldPath, reader: Callable[..., Any] | None = None, *, is_date: bool = False) -> Any:
    """Return a usual value for a field of this name, which `reader` reads, or None if the field is unknown.

    `is_date` is True if the scenario waits for it, or formats it as a date.
    """
    name = path[-1]
    parts = {word.lower() for word in _WORD.findall(name)} | {name.lower()}
    found = next((value for known, value in _BY_WORD if parts & known), None)
    if is_date:
        return found if found in (_BIRTHDAY, _PAST) else _FUTURE
    if found is None:  # a text that names its field: ``Program name``
        words = path[-2:] if name == "name" else path[-1:]
        label = " ".join(words).replace("_", " ").capitalize()
        found = "Sérum éclat 30 ml" if name == "name" and _ARTICLES & {*path} else label
    return found if reader is None or reader not in _KINDS else _KINDS[reader](found)


class _UsualEntryMaker(EntryMaker):
    """Makes an entry of usual values; with `compared`, also of values that conditions compare with."""

    def __init__(self, chance: random.Random, _number: int, used: UsedFields, *, compared: bool) -> None:
        super().__init__(chance, 1, used)
        self._compared = compared

    @override
    def _field(self, info: FieldInfo, reader: Callable[..., Any] | None, path: FieldPath) -> Any:
        return self._part(info.annotation, path) if reader is None else self._usual(path, reader)

    @override
    def _custom(self, path: FieldPath) -> dict[str, Any]:
        return {"custom": {name: self.value((*path, name)) for name in self._used.below(path)}}

    @override
    def value(self, path: FieldPath, pool: tuple[Any, ...] = (), usual: tuple[Any, ...] = ()) -> Any:
        below = self._used.below(path)
        return self._nested(path, below) if below else self._usual(path)

    def _usual(self, path: FieldPath, reader: Callable[..., Any] | None = None) -> Any:
        literals = self._used.literals.get(path, ())
        compared = [value for value in literals if value not in DATES]
        if self._compared and compared and self._chance.random() < 0.6:
            return self._chance.choice(compared)
        return _plausible(path, reader, is_date=DATES[0] in literals and path[-1] not in NAMED)

    @override
    def _sizes(self, path: FieldPath) -> list[int]:
        sizes = super()._sizes(path)
        return sizes if self._compared or not sizes else [2]


def _wanted(draft: Draft) -> frozenset[FieldPath]:
    inside = loops(draft)
    paths = {path for path in named(draft) if path not in inside}
    addresses = {step.recipient for step in draft.steps.values() if step.recipient is not None}
    for step in draft.steps.values():
        if isinstance(step, DeliveryStep) and not step.is_message:
            addresses |= {(root, name) for root, name in step.always}
    return _ALWAYS | addresses | paths | {(*path, name) for path, names in inside.items() for name in names or {""}}


def _with_consent(entry: dict[str, Any], draft: Draft) -> dict[str, Any]:
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


def _part(value: Any, path: FieldPath, wanted: frozenset[FieldPath]) -> Any:
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
