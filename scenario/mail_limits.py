"""How large an e-mail may be, and what of it can be seen before anything is rendered."""

from __future__ import annotations

from typing import Final

MAX_SUBJECT: Final = 8_000
"""Characters of a rendered subject. What it takes to read one back grows with the square of its length."""

MAX_PART: Final = 500_000
"""Characters of a rendered part, HTML or text. E-mail clients cut a message off at about 100 KB of HTML."""

MAX_NESTING: Final = 256
"""Levels of elements in the HTML: ten tables, each in a cell of the one before, are 50."""
