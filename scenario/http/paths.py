"""Forbidden parts of a URL's path, in templates and in rendered URLs."""

from __future__ import annotations

import re
from typing import Final

_DOTTED: Final = re.compile(
    r"/(?:\.|%2e){1,2}(?=/|$)|(?:/|%2f|%5c)(?:\.|%2e){2}(?=[/;]|%2f|%5c|%3b|$)",
    re.ASCII | re.IGNORECASE,
)


def is_dotted(path: str) -> bool:
    """Return True if a part of a path is ``.`` or ``..`` and would lead elsewhere (RFC 3986 §5.2.4).

    Some servers decode a path before they remove ``..``, and ignore what follows a semicolon in a part. Both are
    considered.

    Args:
        path: Begins with ``/`` and has no query.
    """
    return bool(_DOTTED.search(path))
