"""The one reader of numbers in texts, for filters, comparisons and conditions.

A number is read only if it has one meaning. All functions are pure, so that a replay reads what the journey read.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final, Literal

from scenario.errors import NumberError

DecimalPoint = Literal[".", ","]

LONGEST_NUMBER: Final = 60
"""Maximum characters of a number in a text."""

_NUMERAL: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?")
_GROUPED: Final = re.compile(r"[+-]?\d{1,3}(?:([ ',])\d{3})(?:\1\d{3})*(?:\.\d*)?")
_AMBIGUOUS: Final = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}")
_SPELLINGS: Final = str.maketrans("\u00a0\u202f\u2019", "  '")
_SWAP: Final = str.maketrans(".,", ",.")


def parse_number(text: str, point: DecimalPoint | None = None) -> int | Decimal | None:
    """Return the number in a text, or None if it is no number.

    Accepts ``12``, ``-3.50``, ``1e3``, and thousands as in ``1 234,50``, ``1.234,50``, ``1,234.50``, ``1'234.50``,
    ``1.234.567`` and ``1,234,567``.

    Args:
        text: The text.
        point: The character before the decimals. Without it, the text is read if only one is possible.

    Raises:
        NumberError: The only separator may be of thousands or decimals, as in ``1.234`` and ``1,234``.
    """
    text = text.strip().translate(_SPELLINGS)
    if len(text) > LONGEST_NUMBER:
        return None
    if (point or _find_point(text)) == ",":
        text = text.translate(_SWAP)
    if (grouped := _GROUPED.fullmatch(text)) is not None:
        text = text.replace(grouped[1], "")
    if not _NUMERAL.fullmatch(text):
        return None
    return int(text) if text.lstrip("+-").isdigit() else Decimal(text)


def _find_point(text: str) -> DecimalPoint:
    dots, commas = text.count("."), text.count(",")
    if dots and commas:
        return "," if text.rindex(",") > text.rindex(".") else "."
    if dots + commas > 1:  # a separator that occurs twice is of thousands
        return "," if dots else "."
    if _AMBIGUOUS.fullmatch(text):
        raise NumberError
    return "," if commas else "."
