"""Made-up entries with difficult values in every field, from the models of entries."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo

from gateway.preview import worst
from gateway.preview.draft import Draft
from gateway.preview.uses import Path, UsedFields
from gateway.preview.walk import GivenEvent
from scenario.entry.objects import DATA, Contact
from scenario.entry.values import as_custom
from scenario.type_guards import is_list, is_mapping, mapping_or_empty, walk

_ROWS: Final = (0, 1, 2, 3, 7)
MANY: Final = 500
"""Number of lines of a very long order."""
_UNENDED: Final = 0.3
"""Probability that no event ends a repetition."""


class Samples:
    """Entries for one scenario. The same seed and number give the same entry."""

    def __init__(self, draft: Draft, seed: int) -> None:
        self._draft, self._seed = draft, seed
        self._used = UsedFields.of(draft)

    def entry(self, number: int, again: int = 0) -> dict[str, Any]:
        """Return an entry.

        Args:
            number: From 1. The first is ordinary, the second has only an id, in the third every field is empty.
            again: Number of another entry in place of one that is of no use.
        """
        chance = random.Random(f"{self._seed}/{number}/{again}")  # noqa: S311
        maker = self._maker(chance, number, again)
        contact = {**maker.shape(Contact, ("contact",)), "id": number}
        trigger: dict[str, Any] = {"type": self._draft.scenario.trigger}
        if self._draft.scenario.trigger in DATA:
            root, shape = DATA[self._draft.scenario.trigger]
            made = maker.shape(shape, (root,))
            trigger[root] = made if made or number > 1 else {}
        return {"scenario": self._draft.scenario.scenario, "contact": contact, "trigger": trigger}

    def _maker(self, chance: random.Random, number: int, again: int) -> EntryMaker:
        return EntryMaker(chance, 0 if again else number, self._used)

    def events(
        self, number: int, entry: Mapping[str, Any], responses: Mapping[str, Any] | None = None
    ) -> list[GivenEvent]:
        """Return the events of a contact: one of each kind that the scenario awaits.

        Args:
            responses: Responses of webhooks, whose ids events may carry.
        """
        chance = random.Random(f"{self._seed}/{number}/events")  # noqa: S311
        maker = EntryMaker(chance, 0, self._used)
        # A property is named by `event.properties.sku` or by `event.sku`.
        own = self._used.inside("event").named
        named = {path[1] if path[0] == "properties" else path[0] for path in own if path != ("properties",)}
        # Events carry the ids of the trigger's data.
        identifiers = [mapping_or_empty(value).get("external_id") for value in entry["trigger"].values()]
        identifiers = [*(value for value in identifiers if value not in (None, "")), *_leaves(responses or {})]
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

    def shape(self, shape: type[BaseModel], path: Path) -> dict[str, Any]:
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

    def _field(self, info: FieldInfo, reader: Callable[..., Any] | None, path: Path) -> Any:
        if path[-1] in worst.NAMED:
            usual = worst.NAMED[path[-1]]
            return self.value(path, usual, usual[:1])
        if reader is not None:
            return self.value(path, worst.KINDS.get(reader, worst.ANYTHING), worst.PLAIN.get(reader, ("Zoé",)))
        return self._part(info.annotation, path)

    def _part(self, annotation: Any, path: Path) -> Any:
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

    def _custom(self, path: Path) -> dict[str, Any]:
        """Return custom fields: those used and one more, as a mapping or as the platform's list."""
        if self._mode == "empty":
            return {"custom_fields": []}
        names = [*self._used.below(path), "c0"]
        fields = {name: self.value((*path, name)) for name in names}
        if self._chance.random() < 0.5:
            return {"custom": fields}
        rows = [{"id": index, "name": name, "value": value} for index, (name, value) in enumerate(fields.items())]
        return {"custom_fields": rows}

    def value(self, path: Path, pool: tuple[Any, ...] = worst.ANYTHING, usual: tuple[Any, ...] = ("Zoé",)) -> Any:
        """Return a value outside of the models."""
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

    def _nested(self, path: Path, names: list[str]) -> Any:
        """Return an object, or a list of objects, with the used fields."""
        rows = self._sizes(path)
        made = [
            {name: self.value((*path, name)) for name in names} for _ in range(self._chance.choice(rows) if rows else 1)
        ]
        return made if rows else made[0]

    def _sizes(self, path: Path) -> list[int]:
        """Return the numbers of items of a list that conditions distinguish, if any."""
        wanted = self._used.sizes(path, MANY)
        return [*wanted, 0, 3] if wanted else []


@cache
def _fields(shape: type[BaseModel]) -> tuple[tuple[str, FieldInfo, Callable[..., Any] | None], ...]:
    return tuple((name, info, _reader(info)) for name, info in shape.model_fields.items())


def _reader(info: FieldInfo) -> Callable[..., Any] | None:
    return next((mark.func for mark in info.metadata if isinstance(mark, BeforeValidator)), None)


def _leaves(value: Any) -> Iterator[Any]:
    return (one for _, one in walk(value) if not is_mapping(one) and not is_list(one) and one not in (None, ""))
