"""What the path of a URL must not hold, be it written so or left so by data.

The one rule: templates go by it, so that a mistake has its place in the file, and so does every delivery once more.
"""

from __future__ import annotations

import re
from typing import Final

_DOTTED: Final = re.compile(
    r"/(?:\.|%2e){1,2}(?=/|$)|(?:/|%2f|%5c)(?:\.|%2e){2}(?=[/;]|%2f|%5c|%3b|$)",
    re.ASCII | re.IGNORECASE,
)


def is_dotted(path: str) -> bool:
    """Whether a part of a path is ``.`` or ``..``, so that it would lead elsewhere (RFC 3986 §5.2.4).

    Some servers decode a path before they take its ``..`` away, and some take what follows a semicolon for no part of
    it: a ``..`` between encoded slashes, or before a semicolon, is one.

    Args:
        path: It begins with ``/``, and ends before a query.
    """
    return bool(_DOTTED.search(path))
