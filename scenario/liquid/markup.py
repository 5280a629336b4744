"""The outputs and tags of a template, found in linear time and without python-liquid."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_OPENING: Final = re.compile(r"\{[{%]")
_CLOSING: Final = {"{{": "}}", "{%": "%}"}


def find_markup(source: str) -> Iterator[tuple[int, int]]:
    """Yield the start and the end of each closed output or tag, up to its next closing brace."""
    at = 0
    absent: set[str] = set()  # closing braces of which none remains: each search would read the rest of the text
    while found := _OPENING.search(source, at):
        closing = _CLOSING[found[0]]
        close = -1 if closing in absent else source.find(closing, found.end())
        if close == -1:
            absent.add(closing)
            at = found.start() + 1
        else:
            at = close + len(closing)
            yield found.start(), at


def replace_markup(source: str, filler: str = "") -> str:
    """Return the text with `filler` for each character of its outputs and tags."""
    parts: list[str] = []
    at = 0
    for start, end in find_markup(source):
        parts += (source[at:start], filler * (end - start))
        at = end
    return "".join((*parts, source[at:]))
