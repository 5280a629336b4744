"""Batch calls: one request for many contacts. Its parts in scenario files, and the data of its templates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any, Final

from pydantic import Field

from scenario.model.parts import Model, is_none
from scenario.model.scalars import Interval, satisfies
from scenario.responses.item_results import FieldPath, ItemResults

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
    key: FieldPath | None = Field(
        default=None,
        exclude_if=is_none,
        description="The part of a contact's item that a response names it by. By default contact.id.",
        examples=["contact.email"],
    )
    results: ItemResults | None = Field(
        default=None,
        exclude_if=is_none,
        description="Where a response says what became of each contact. By default, a 2xx is every contact's.",
    )


def item_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a contact's item of a batch from the variables that a webhook for the contact alone would have."""
    item = {name: value for name, value in data.items() if name not in ANYWHERE}
    return {**item, "event": item.get("event"), "responses": item.get("responses", {})}


def batch_data(items: Sequence[Mapping[str, Any]], now: str) -> dict[str, Any]:
    """Return the variables of a batch call's templates."""
    return {CONTACTS: list(items), "now": now, "today": now[:10]}
