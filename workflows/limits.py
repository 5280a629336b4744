"""The limits of what a journey takes in and hands on: beyond them a workflow task would fail over and over."""

from __future__ import annotations

import json
from typing import Final, cast

LARGEST_CARRIED: Final = 2_000_000
"""Bytes that one run hands to the next, as JSON; Temporal takes 2 MiB, with what surrounds them."""
LARGEST_DELIVERY: Final = 2_000_000
"""Bytes of the data that a delivery is handed, as JSON, for the same reason."""
MOST_PARTS: Final = 10_000
"""Objects and lists of an entry or of a change of the contact.

Each is read, and completed by the fields that it lacks: of a megabyte of empty products that made 240 MB, and took
longer than the two seconds after which the SDK gives a workflow task up.
"""
TOO_MANY_PARTS: Final = f"the entry has more than {MOST_PARTS:,} objects and lists: leave out what no template names"

MOST_SIGNALS: Final = 500
"""Signals that one run takes before it continues as new.

Temporal refuses the 10,001st of a run. Long before that a storm of them starves it: the server takes a workflow task
back when 100 signals have come meanwhile, a worker then reads the whole run again, and each try is waited for longer.
"""


def has_too_many_parts(data: object) -> bool:
    """Whether plain JSON data is made of more objects and lists than `MOST_PARTS`."""
    count = 0
    left: list[object] = [data]
    while left:
        item = left.pop()
        if isinstance(item, dict):
            left.extend(cast("dict[str, object]", item).values())
        elif isinstance(item, list):
            left.extend(cast("list[object]", item))
        else:
            continue
        count += 1
        if count > MOST_PARTS:
            return True
    return False


def size_of(data: object) -> int:
    """Bytes of plain JSON data as JSON in UTF-8."""
    return len(json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode(errors="replace"))
