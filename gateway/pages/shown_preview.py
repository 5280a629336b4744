"""Formats a preview for its page."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final, NamedTuple

from gateway.why.words import clock

MOST: Final = 100_000
"""Maximum characters of a text that are shown."""
_MASK: Final = re.compile(r"(~~\w+~~)")
# What a screen does not show, or obeys: C0 but tab and line ends, DEL, C1, and what reorders text.
_UNSEEN: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class Piece(NamedTuple):
    """A piece of a text.

    Attributes:
        text: The text.
        is_secret: Whether it is the name of a secret, shown instead of its value.
    """

    text: str
    is_secret: bool


def masked(text: str) -> list[Piece]:
    """Split a text into pieces, so that names of secrets can be highlighted. Invisible characters are named."""
    seen = _UNSEEN.sub(lambda found: f"<U+{ord(found[0]):04X}>", text[:MOST])
    return [Piece(piece, number % 2 == 1) for number, piece in enumerate(_MASK.split(seen)) if piece]


def cut(text: str) -> int:
    """Return the number of characters that are not shown."""
    return max(0, len(text) - MOST)


def local_time(text: str) -> str:
    """Format a moment of a preview in the contact's time zone: ``Tue 2026-03-03 10:00``."""
    at = datetime.fromisoformat(text)
    assert at.tzinfo is not None  # noqa: S101 - reports have offsets
    return clock(at, at.tzinfo)
