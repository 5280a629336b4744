"""Text that cannot affect what shows it."""

from __future__ import annotations

import re
from typing import Final

# Escape sequences in a contact's key or a receiver's answer must not reach the terminal.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# The bidirectional controls (Unicode Standard Annex 9, §2) reorder a terminal's output, also beyond their own text.
_BIDIRECTIONAL: Final = re.compile(r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def plain(text: str) -> str:
    """Return a text that cannot move the cursor, reorder text or affect a terminal otherwise.

    It has U+FFFD for control characters, and bidirectional controls are spelt: ``<U+202E>``.
    """
    return _BIDIRECTIONAL.sub(lambda found: f"<U+{ord(found[0]):04X}>", _CONTROL.sub("\ufffd", text))
