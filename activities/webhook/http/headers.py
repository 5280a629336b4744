"""Request headers that may be sent: none that changes framing, impersonates us, or smuggles a second request.

Names and values follow RFC 9110 §5.1 and §5.5, stricter: ASCII only, no blank edges, 4 KB per value. The client library
itself would send a second ``Host``, ``Transfer-Encoding: chunked`` beside ``Content-Length``, and DEL.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from activities.webhook.errors import RefusedError
from scenario.http.headers import FRAMING, MAX_VALUE, denied

MAX_HEADERS: Final = 64
"""Maximum number of headers."""

_DEFAULTS: Final = {"accept": "*/*", "user-agent": "scenario-runner"}
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}", re.ASCII)
_VALUE: Final = re.compile(r"[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?|", re.ASCII)


def flaw(name: str, value: str) -> str:
    """Return what is wrong with a header, without its value, or ``""``."""
    if not _NAME.fullmatch(name):
        return "a header's name is empty or holds a character that is not allowed"
    if len(value) > MAX_VALUE:
        return f"the value of '{name}' is longer than {MAX_VALUE} characters"
    if not _VALUE.fullmatch(value):
        return f"the value of '{name}' holds a line break, a control or non-ASCII character, or an outer space"
    return ""


def authored(headers: Mapping[str, str]) -> dict[str, str]:
    """Check the headers of a scenario or a destination. Return them with lower-case names.

    Raises:
        RefusedError: ``request_header_illegal``: malformed, repeated, or reserved.
    """
    for name in headers:
        if denied(name):
            raise RefusedError("request_header_illegal", detail=f"'{name}' is set by the sender itself")
    return sendable(headers)


def sendable(headers: Mapping[str, str]) -> dict[str, str]:
    """Check all headers of a request, ours included. Return them with lower-case names.

    Raises:
        RefusedError: ``request_header_illegal``: malformed, repeated, too many, or about framing.
    """
    if len(headers) > MAX_HEADERS:
        raise RefusedError("request_header_illegal", detail=f"there are more than {MAX_HEADERS} headers")
    checked: dict[str, str] = {}
    for name, value in headers.items():
        if reason := flaw(name, value):
            raise RefusedError("request_header_illegal", detail=reason)
        lower = name.lower()
        if lower in FRAMING:
            raise RefusedError("request_header_illegal", detail=f"'{lower}' is set by the transport itself")
        if lower in checked:
            raise RefusedError("request_header_illegal", detail=f"'{lower}' is given twice")
        checked[lower] = value
    return checked


def sent_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of a request as sent, without ``host`` and ``content-length``.

    Raises:
        RefusedError: ``request_header_illegal``, see `sendable`.
    """
    return _DEFAULTS | sendable(headers) | {"accept-encoding": "identity"}
