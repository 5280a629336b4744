"""Events and changes of contacts, checked by the rules by which a journey would ignore them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from gateway.callbacks.deliver import CallbackEvent
from gateway.errors import BadInput
from scenario.entry.entry import LARGEST, is_too_deep, is_too_large, patch_contact
from scenario.entry.plain_json import unsent
from scenario.errors import EntryError
from workflows.limits import MOST_PARTS, has_too_many_parts

LONGEST_ID: Final = 200
"""Characters of an event's id: a journey compares no more of them."""


def event(
    name: str,
    properties: Mapping[str, Any] | None = None,
    identifier: str | None = None,
    at: datetime | None = None,
) -> dict[str, Any]:
    """The argument of the signal `event`.

    Args:
        name: Such as ``order.delivered``.
        properties: What conditions see as ``event.…``.
        identifier: Told twice under it, the event counts once.
        at: When it happened, with its zone; None is now.

    Raises:
        BadInput: A journey would not take it; the sentence says why, and quotes nothing of it.
    """
    try:
        told = CallbackEvent.make(name, properties or {})
    except BadInput as error:
        raise BadInput(str(error), at=["properties"]) from None
    message: dict[str, Any] = {"name": told.name, "properties": told.properties}
    if identifier is not None:
        if not 0 < len(identifier) <= LONGEST_ID or not identifier.isprintable():
            raise BadInput(f"an event's id must be 1 to {LONGEST_ID} printable characters", at=["id"])
        message["id"] = identifier
    if at is not None:
        message["at"] = at.astimezone(UTC).isoformat()
    return message


def change(patch: Mapping[str, Any], zone: ZoneInfo) -> dict[str, Any]:
    """The argument of the signal `contact_changed`.

    Args:
        patch: Fields of the contact.
        zone: The platform's, for its zone-less dates.

    Raises:
        BadInput: A journey would not take it; the sentence says why, and quotes nothing of it.
    """
    changes = dict(patch)
    try:
        json.dumps(changes, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError):
        raise BadInput(unsent(changes, "the change of the contact"), at=()) from None
    if is_too_deep(changes):
        raise BadInput("the change of the contact is nested too deeply", at=())
    if is_too_large(changes, LARGEST):
        text = f"the change of the contact is larger than {LARGEST // 1024} KB: leave out what no step names"
        raise BadInput(text, at=())
    if has_too_many_parts(changes):
        raise BadInput(f"the change of the contact is made of more than {MOST_PARTS:,} objects and lists", at=())
    try:
        patch_contact({}, changes, zone)
    except EntryError as error:
        raise BadInput(f"the change of the contact is malformed: {error}", at=error.at[1:]) from None
    return changes
