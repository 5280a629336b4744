"""Batch calls: one request for many contacts. Its parts in files, the data of its templates, and outcomes of items."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from scenario.model.parts import FIELD_PATH, Interval, Model, optional, satisfies
from scenario.type_guards import is_list, is_mapping

ItemOutcome = Literal["delivered", "refused", "unknown"]
"""``unknown``: the receiver took the request, and did not say what it did with the item."""
LONGEST_REASON: Final = 200
_POSITION: Final = re.compile(r"[0-9]{1,6}", re.ASCII)
_INDEX: Final = re.compile(r"\.[0-9]{1,6}(?=\.|$)", re.ASCII)
_STATUS: Final = re.compile(r"[2-5][0-9]{2}", re.ASCII)

FieldPath = Annotated[str, Field(min_length=1, max_length=200, pattern=FIELD_PATH, examples=["error.code"])]


class ItemAnswer(NamedTuple):
    """The outcome of an item. The reason is the receiver's: redact it before it is stored."""

    outcome: ItemOutcome
    reason: str | None = None
    status: int | None = None
    """The HTTP status of a refused item, if its status is one."""


_UNLISTED: Final = ItemAnswer("unknown", "the response does not mention it")
_UNCOUNTED: Final = ItemAnswer("unknown", "the response counts refused items that it does not list")
_UNMATCHED: Final = ItemAnswer("unknown", "the response mentions an item that is not in the batch")


class UnreadableResultsError(ValueError):
    """A response without the results that were expected: one sentence that quotes nothing of it."""


class ItemResults(Model):
    """Where a response says what became of each item.

    Without `status`, it lists the refused items only. Without `id` and `position`, an entry of the list is an
    identifier itself, or, with `status`, the entries are in the order of the items.
    """

    list: FieldPath | None = optional(
        "Where the list is, or an object of lists. By default, the response is the list.",
        examples=["errors", "error.details.0.errors"],
    )
    count: FieldPath | None = optional(
        "Where the number of refused items is. If the list has fewer, items that are not in it are unknown. `list` may "
        "be left out."
    )
    id: FieldPath | None = optional("Field of an entry with the item's identifier, or a list of identifiers.")
    position: FieldPath | None = optional("Field of an entry with the item's position, from 0.")
    status: FieldPath | None = optional(
        "Field of an entry with the item's status. Without it, every item in the list was refused."
    )
    ok: tuple[str | int | bool, ...] | None = optional(
        "Statuses of accepted items. By default 200 to 299 and true.", min_length=1
    )
    reason: FieldPath | None = optional("Field of an entry that says why the item was refused.")
    others: Literal["accepted", "unknown"] | None = optional(
        "Outcome of items that are not in the list. By default `accepted`, or with `status`, `unknown`."
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.id is not None and self.position is not None:
            raise ValueError("an entry names its item by 'id' or by 'position', not both")
        if self.count and not self.list and (self.id or self.position or self.status or self.reason):
            raise ValueError(
                "'count' without 'list' is about no item: leave out 'id', 'position', 'status' and 'reason'"
            )
        if self.ok is not None and self.status is None:
            raise ValueError("'ok' goes with 'status': name the field that it is compared with")
        if self.others is not None and self._is_ordered:
            raise ValueError(
                "'others' needs 'id' or 'position': results in the order of the items have one for each item"
            )
        return self

    @property
    def _is_ordered(self) -> bool:
        return self.id is None and self.position is None and self.status is not None

    @property
    def _accepts_others(self) -> bool:
        return self.others == "accepted" or (self.others is None and self.status is None)

    def read(self, answer: object, identifiers: Sequence[str], status: int) -> Sequence[ItemAnswer]:
        """Return the outcome of each item, in the order of the items.

        Items that are not in the list have the outcome `others`. They are unknown if an entry matches no item, or if
        `count` is more than the list has, because any of them may be meant. Items with the same identifier share their
        outcome.

        Raise UnreadableResultsError if the list is not there, or its entries cannot be matched with items.
        """
        found: dict[int, ItemAnswer] = {}
        places: dict[str, list[int]] = {}
        for number, identifier in enumerate(identifiers):
            if identifier:
                places.setdefault(identifier, []).append(number)
        entries = self._entries(answer, status)
        ordered = self._is_ordered
        others = ItemAnswer("delivered") if self._accepts_others else _UNLISTED
        if ordered and len(entries) != len(identifiers):
            raise UnreadableResultsError(f"it has {len(entries):,} results for {len(identifiers):,} items")
        for number, entry in enumerate(entries):
            result = self._result(entry)
            for matching in [(number,)] if ordered else self._places(entry, places, len(identifiers)):
                if not matching:
                    others = _UNMATCHED
                for place in matching:
                    if place not in found or result.outcome == "refused":
                        found[place] = result
        refused = sum(one.outcome == "refused" for one in found.values())
        if others.outcome == "delivered" and self._number_refused(answer) > refused:
            others = _UNCOUNTED
        return [found.get(number, others) for number in range(len(identifiers))]

    def _entries(self, answer: object, status: int) -> Sequence[Any]:
        if self.list is None and self.count is not None:
            return ()
        entries = answer if self.list is None else _at(answer, self.list)
        if self.list is not None and is_mapping(entries):
            parts = [part for part in entries.values() if part is not None]
            entries = [entry for part in parts for entry in part] if all(map(is_list, parts)) else entries
        # Receivers leave out an empty list of errors. Beyond a step into a list that is there, it cannot be missing.
        is_missing = entries is None and (self.list is None or _at(answer, _INDEX.split(self.list)[0]) is None)
        if is_missing and self._accepts_others and is_mapping(answer) and status <= HTTPStatus.MULTI_STATUS:
            return ()
        if not is_list(entries):
            place = "it is no list" if self.list is None else f"it has no list at '{self.list}'"
            raise UnreadableResultsError(place)
        return entries

    def _number_refused(self, answer: object) -> int:
        found = None if self.count is None else _at(answer, self.count)
        if found is None and (self.count is None or self.list is not None):
            return 0
        if isinstance(found, bool) or not _text(found).isascii() or not _text(found).isdigit():
            raise UnreadableResultsError(f"it has no number at '{self.count}'")
        return int(_text(found)[:9])

    def _places(self, entry: Any, places: Mapping[str, Sequence[int]], count: int) -> Iterable[Sequence[int]]:
        """Return the positions of the items for each identifier in an entry."""
        if self.position is not None:
            position = _at(entry, self.position)
            if isinstance(position, str) and position.isascii() and position.isdigit():
                position = int(position[:9])
            if not isinstance(position, int) or isinstance(position, bool) or not 0 <= position < count:
                return [()]
            return [(position,)]
        named = entry if self.id is None else _at(entry, self.id)
        return [places.get(_text(one), ()) for one in (named if named and is_list(named) else [named])]

    def _result(self, entry: Any) -> ItemAnswer:
        status = None if self.status is None else _at(entry, self.status)
        if self.status is not None and self._is_ok(status):
            return ItemAnswer("delivered")
        reason = _text(_at(entry, self.reason)) if self.reason is not None else ""
        text = _text(status)
        code = int(text) if _STATUS.fullmatch(text) else None
        return ItemAnswer("refused", (reason or (text and f"status {text}"))[:LONGEST_REASON] or None, code)

    def _is_ok(self, status: object) -> bool:
        text = _text(status).lower()
        if self.ok is not None:
            return text != "" and any(text == _text(one).lower() for one in self.ok)
        return text == "true" or (len(text) == len("200") and text.isascii() and text.isdigit() and text[0] == "2")


def _at(value: object, path: str) -> Any:
    for name in path.split("."):
        if is_list(value):
            value = value[int(name)] if _POSITION.fullmatch(name) and int(name) < len(value) else None
        else:
            value = value.get(name) if is_mapping(value) else None
    return value


def value_at_path(value: object, path: str) -> str:
    """Return the text, number or flag at a dotted path as text, or nothing."""
    return _text(_at(value, path))


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, str | int) else ""


MOST: Final = 10_000
"""Maximum number of contacts of one request."""
CONTACTS: Final = "contacts"
"""The variable of a batch call's templates: a list with an item for each contact."""
ANYWHERE: Final = ("now", "today", "secrets")
"""Variables that a batch call has outside of items, as other webhooks have."""
_Within = Annotated[
    Interval,
    satisfies(
        lambda value: timedelta(seconds=1) <= value <= timedelta(days=1),
        "'within' must be from 1s to 1d: the first contact of a batch waits this long at most",
    ),
]


class BatchCall(Model):
    """Contacts that share one request."""

    size: int = Field(strict=True, ge=1, le=MOST, description="Maximum number of contacts of a request.")
    within: _Within = Field(
        description="The request is sent this long after its first contact came, or when it is full. From 1s to 1d."
    )
    wait: bool = Field(
        default=False,
        strict=True,
        description="Whether journeys wait for the outcome of their contact. By default they continue immediately.",
    )
    key: FieldPath | None = optional(
        "The part of a contact's item that a response names it by. By default contact.id.", examples=["contact.email"]
    )
    results: ItemResults | None = optional(
        "Where a response says what became of each contact. By default, a 2xx is every contact's."
    )


def item_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a contact's item of a batch from the variables that a webhook for the contact alone would have."""
    item = {name: value for name, value in data.items() if name not in ANYWHERE}
    return {**item, "event": item.get("event"), "responses": item.get("responses", {})}


def batch_data(items: Sequence[Mapping[str, Any]], now: str) -> dict[str, Any]:
    return {CONTACTS: list(items), "now": now, "today": now[:10]}
