"""Text widths and line breaks without fonts.

The reader's font is unknown, so widths are those of DejaVu Sans, rounded up: it is the widest common "sans-serif".
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Final

_EMS: Final = {
    letter: width
    for letters, width in (
        ("'Iijl", 0.3),
        (" ,./:;\\|", 0.35),
        ("()-[]ft", 0.4),
        ("!r", 0.45),
        ('"*_`', 0.5),
        ("?csz", 0.55),
        ("FLkvxy", 0.6),
        ("$0123456789EPSTYabdeghnopqu{}", 0.65),
        ("ABCKRVXZ", 0.7),
        ("NU", 0.75),
        ("&DGHOQ", 0.8),
        ("#+<=>^w~", 0.85),
        ("M", 0.9),
        ("%@Wm…", 1.0),
    )
    for letter in letters
}
_BOLD: Final = 0.09
_OTHER: Final = 0.9
_OTHER_CAPITAL: Final = 1.15
_WIDE: Final = 1.3
ELLIPSIS: Final = "…"


@lru_cache(maxsize=4096)
def width_of(text: str, size: float, *, bold: bool = False) -> float:
    """Return an upper bound of a text's width in pixels."""
    return size * sum(_em(letter, _BOLD if bold else 0.0) for letter in text)


def _em(letter: str, more: float) -> float:
    if (known := _EMS.get(letter)) is not None:
        return known + more
    if unicodedata.combining(letter):
        return 0.0
    if unicodedata.east_asian_width(letter) in ("W", "F"):
        return _WIDE
    base = unicodedata.normalize("NFD", letter)[0]
    if (known := _EMS.get(base)) is not None:
        return max(known, 0.4) + more
    return (_OTHER if letter.islower() else _OTHER_CAPITAL) + more


def clipped(text: str, width: float, size: float, *, bold: bool = False) -> str:
    """Return as much of a text as fits, with an ellipsis if it is cut."""
    if width_of(text, size, bold=bold) <= width:
        return text
    left, kept = width - width_of(ELLIPSIS, size, bold=bold), 0
    for letter in text:
        left -= width_of(letter, size, bold=bold)
        if left < 0:
            break
        kept += 1
    return text[:kept].rstrip() + ELLIPSIS


def wrapped(text: str, width: float, size: float, lines: int, *, bold: bool = False) -> list[str]:
    """Return a text in lines, broken between words if possible.

    Args:
        lines: Maximum number of lines; the last one ends with an ellipsis if the text is cut.
    """
    made: list[str] = []
    rest = text.strip()
    while rest and len(made) < lines - 1 and width_of(rest, size, bold=bold) > width:
        kept, used = 0, 0.0
        while (used := used + width_of(rest[kept], size, bold=bold)) <= width:
            kept += 1
        kept = max(kept, 1)
        space, mark = rest.rfind(" ", 0, kept + 1), max(rest.rfind(mark, 0, kept) + 1 for mark in ".-_/")
        # A long word is broken rather than leave most of a line empty.
        at = space if 3 * space > kept else mark or max(space, 0) or kept
        made.append(rest[:at].rstrip())
        rest = rest[at:].lstrip()
    return [*made, clipped(rest, width, size, bold=bold)] if rest else made
