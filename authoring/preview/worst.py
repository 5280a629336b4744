"""Difficult values of each kind of field. All of them are accepted by entries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from scenario.entry import values

LONG: Final = 3000  # characters of a very long text that still fits into a header

TEXTS: Final[tuple[Any, ...]] = (
    *("", " ", None, 'Ann "Bo"', "back\\slash\\"),
    "O'Brien & <Söhne>",
    "two\nlines\r\nand\ta tab",
    "\x00\x01\x1b[31m\x7f\x9f",
    "\u202eمرحبا \u05d0\u05d1",
    "👩‍👩‍👧‍👦 𝕏 e\u0301 ẞ İ",
    "half \ud83d a pair",
    "</script><script>alert(1)</script>",
    "{{ secrets.TOKEN }}{% abort 'no' %}{%",
    "%2F..%2f../?x=1&y=2#z",
    *("..", ".", "/"),
    '","admin":true,"x":"',
    "'; DROP TABLE contacts; --",
    "\u2028\u2029\ufeff\u200b",
    "=cmd|'/c calc'!A1",
    *("null", "0", "-1", "1e400", "a" * LONG, "é\n" * 500, 42, 19.9),
)
NUMBERS: Final[tuple[Any, ...]] = (
    *(None, "", 0, "0", -1, "-0.5", "39.90", " 12 ", 0.1, -0.0, "1e3", 1e-9, 2.5, "19.999"),
    *(12345678901234567.89, 2**63, -(2**63), 10**18),
)
IDS: Final[tuple[Any, ...]] = (
    *(None, "", 3028687, 3028687.0, 2**70, "0", -1, "CGX 0094", 'q"uo\\te', "a/b", "..", "%2F.."),
    *("é👍", "<b>&", "{{ x }}", "x" * 60),
)
MOMENTS: Final[tuple[Any, ...]] = (
    *(None, "", "0000-00-00 00:00:00", "0000-00-00", "2026-03-29 02:30:00", "2026-10-25 02:30:00", "1987-03-02"),
    *("2024-02-29T23:59:59+14:00", "9999-12-31 23:59:59", "0001-01-01T00:00:00"),
    *("1969-12-31T23:59:59.999999-12:00", 1700000000, 1700000000000),
)
FLAGS: Final[tuple[Any, ...]] = (None, "", True, False, "0", "1", "true", "no", 0, 1)
ANYTHING: Final[tuple[Any, ...]] = (  # values of custom fields, unknown fields and event properties
    *TEXTS,
    *(value for value in NUMBERS if value is not None),
    *(2**70, -(2**70), 1e308, True, False, []),
)

KINDS: Final[Mapping[Callable[..., Any], tuple[Any, ...]]] = {
    values.as_id: IDS,
    values.as_text: TEXTS,
    values.as_number: NUMBERS,
    values.as_flag: FLAGS,
    values.as_moment: MOMENTS,
}
"""Values by the function that reads the field, see `scenario.entry.values`."""

DATES: Final = ("2026-03-02 10:00:00", "2030-01-01")
PLAIN: Final[Mapping[Callable[..., Any], tuple[Any, ...]]] = {
    values.as_id: ("A-1",),
    values.as_text: ("Zoé",),
    values.as_number: (3, "39.90"),
    values.as_flag: (True, "0"),
    values.as_moment: DATES,
}

NAMED: Final[Mapping[str, tuple[Any, ...]]] = {
    "email": ("zoe.obrien@example.com", "ZOE@EXAMPLE.COM", "o'hara+x@sub.example.co.uk", " zoe@example.com ", "", None),
    "cellphone": ("+33612345678", "0033 6 12 34 56 78", "+33 6.12.34.56.78", "+1 (415) 555-2671", "", None),
    "timezone": ("Europe/Paris", "America/St_Johns", "Pacific/Kiritimati", "Mars/Olympus", "", None),
    "currency": ("EUR", "USD", "JPY", "", None),
    "language": ("fr", "en", "ar", "zh-Hant-TW", "", None),
    "url": ("https://shop.example.com/p?a=1&b=é", "", None, "javascript:alert(1)//\"'"),
    "image_url": ("https://shop.example.com/p 1.jpg?a=1&b=2", "", None),
}
"""Values of fields with a form of their own, without malformed addresses, which are no template's fault."""

_SAVED: Final = 2**63  # a response with a greater whole number is not saved


def _is_kept(value: Any) -> bool:
    if isinstance(value, str):
        return value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value)
    return not isinstance(value, int) or abs(value) < _SAVED


JSON: Final[tuple[Any, ...]] = tuple(value for value in ANYTHING if _is_kept(value))  # values within a response
WHOLES: Final[tuple[Any, ...]] = ({}, [], [{}], [1], "", "ok", 0, True)
"""Unexpected whole responses, as some receivers give them on success."""
ANSWERS: Final[Mapping[str, tuple[tuple[Any, ...], tuple[Any, ...]]]] = {
    "string": (("a1",), tuple(value for value in JSON if isinstance(value, str))),
    "integer": ((3,), tuple(value for value in NUMBERS if isinstance(value, int) and _is_kept(value))),
    "number": ((3, 39.9), tuple(value for value in NUMBERS if isinstance(value, int | float) and _is_kept(value))),
    "boolean": ((True, False), (True, False)),
}
"""Usual and difficult values by the type in a schema."""
FORMATS: Final[Mapping[str, tuple[Any, ...]]] = {  # well-formed values by the format in a schema
    "date": ("2026-03-02", "2024-02-29", "0001-01-01", "9999-12-31"),
    "date-time": ("2026-03-02T10:00:00Z", "2026-10-25T02:30:00.5+02:00", "9999-12-31T23:59:59-12:00"),
    "time": ("10:00:00Z", "23:59:59.999+14:00"),
    "email": tuple(value for value in NAMED["email"][:3]),
    "uri": ("https://shop.example.com/p?a=1&b=2", "https://shop.example.com/" + "p" * 1000, "urn:x:1"),
    "uuid": ("3f2b6f1e-9c1d-4c58-9b7e-0a1b2c3d4e5f",),
}
