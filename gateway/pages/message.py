"""Texts of messages as pages show them: shortened, with the names of secrets highlighted."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

MOST: Final = 100_000
"""Maximum characters of a text that are shown."""
_MASK: Final = re.compile(r"(~~\w+~~)")


class Piece(NamedTuple):
    """A piece of a text.

    Attributes:
        is_secret: True if it is the name of a secret, shown instead of its value.
    """

    text: str
    is_secret: bool


def masked(text: str) -> list[Piece]:
    """Split a text into pieces, so that names of secrets can be highlighted."""
    return [Piece(piece, number % 2 == 1) for number, piece in enumerate(_MASK.split(text[:MOST])) if piece]


def cut(text: str) -> int:
    """Return the number of characters that are not shown."""
    return max(0, len(text) - MOST)
