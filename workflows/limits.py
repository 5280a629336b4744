"""Limits of a journey's inputs, memory and state, which it carries to its next run.

Beyond the limits of Temporal a workflow task would fail over and over.
"""

from __future__ import annotations

from typing import Any, Final, TypeGuard

from scenario.entry.entry import is_too_deep
from scenario.type_guards import is_list

LARGEST_CARRIED: Final = 2_000_000
"""Bytes of JSON that one run carries to the next. Temporal accepts 2 MiB, envelope included."""
LARGEST_DELIVERY: Final = 2_000_000
"""Bytes of JSON of a delivery's data, for the same reason."""
MOST_PARTS: Final = 10_000
"""Objects and lists of an entry or of a change of the contact.

Each is parsed and completed with default fields. A megabyte of empty products took 240 MB of memory and more than the
two seconds after which the SDK abandons a workflow task.
"""
TOO_MANY_PARTS: Final = f"the entry has more than {MOST_PARTS:,} objects and lists: leave out what no template names"

MOST_SIGNALS: Final = 500
"""Signals that one run receives before it continues as new.

Temporal refuses signal 10,001 of a run. A storm of signals starves the run long before: after 100 new signals the
server takes back a workflow task, a worker reads the whole run again, and each retry is delayed further.
"""
KEPT_EVENTS: Final = 200
"""Events kept for a later step or condition. The oldest is forgotten first."""
KEPT_EVENT_BYTES: Final = 262_144
"""Characters of JSON that the properties of all kept events may have together. The newest event is always kept.

Receivers send events too, of 64 KB each, and the state of a run must stay below the 2 MB that Temporal accepts.
"""
KNOWN_EVENT_IDS: Final = 1000
"""Event ids remembered to deduplicate events."""
KEPT_OPERATIONS: Final = 100
"""Operations remembered. A program may send them for weeks, and each response contains them all."""
KEPT_STEPS: Final = 1000
"""Records of completed steps that a journey keeps. Beyond that, the oldest records of repeated steps are forgotten.

The latest record of a step is kept: the id of a delivery depends on whether its step was performed before."""
KEPT_IGNORED: Final = 20
"""Kinds of ignored inputs remembered."""
LONGEST_REASON: Final = 500
"""Characters of a reason or a note."""


def is_object(data: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(data, dict)


def too_large(entry: object) -> str:
    """Return why an entry is too large for a journey, or nothing."""
    if is_too_deep(entry):
        return "the entry is nested too deeply"
    if has_too_many_parts(entry):
        return TOO_MANY_PARTS
    return ""


def has_too_many_parts(data: object) -> bool:
    """Return True if plain JSON data has more objects and lists than `MOST_PARTS`."""
    count = 0
    pending: list[object] = [data]
    while pending:
        item = pending.pop()
        if is_object(item):
            pending.extend(item.values())
        elif is_list(item):
            pending.extend(item)
        else:
            continue
        count += 1
        if count > MOST_PARTS:
            return True
    return False
