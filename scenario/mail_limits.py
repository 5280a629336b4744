"""Size limits of an e-mail, which its rendering and the check before publishing share."""

from __future__ import annotations

from typing import Final

MAX_SUBJECT: Final = 8_000
"""Maximum characters of a rendered subject. Reading one back takes quadratic time."""

MAX_PART: Final = 500_000
"""Maximum characters of rendered HTML or text. E-mail clients cut HTML off at about 100 KB."""

MAX_NESTING: Final = 256
"""Maximum nesting of elements. Ten nested tables are 50."""
