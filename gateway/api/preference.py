"""``Prefer: wait=N`` (RFC 7240): how long a caller waits for the result."""

from __future__ import annotations

import re
from typing import Annotated, Final

from fastapi import Depends, Header

LONGEST: Final = 30
"""Maximum seconds that a request waits."""
_WAIT: Final = re.compile(r"\s*wait\s*=\s*(?:\"(\d{1,9})\"|(\d{1,9}))\s*(?:;.*)?", re.IGNORECASE | re.ASCII)


def _wait(
    prefer: Annotated[
        str | None,
        Header(
            description=f"`wait=5`: wait so many seconds, {LONGEST} at most, until it is known whether the contact "
            "came in. Other preferences are passed over.",
            alias="Prefer",
            examples=["wait=5"],
        ),
    ] = None,
) -> int:
    # What cannot be read is passed over, and of several the first counts, as RFC 7240 has it.
    for part in (prefer or "").split(","):
        if found := _WAIT.fullmatch(part):
            return min(int(found[1] or found[2]), LONGEST)
    return 0


Wait = Annotated[int, Depends(_wait)]
"""Seconds that the caller waits; 0 without the header."""


def applied(wait: int) -> dict[str, str]:
    """Return the header ``Preference-Applied``."""
    return {"preference-applied": f"wait={wait}"} if wait else {}
