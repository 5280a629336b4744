"""Maps a position inside a YAML scalar's value to the position in the file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from yaml.nodes import ScalarNode

_FOLD: Final = re.compile(r"[ \t]*(?:\r\n|\r|\n)(?:[ \t]*(?:\r\n|\r|\n))*[ \t]*")
_ESCAPED_BREAK: Final = re.compile(r"\\(?:\r\n|\r|\n)(?:[ \t]*(?:\r\n|\r|\n))*[ \t]*")
_BREAK: Final = re.compile(r"\r\n|\r|\n")
_PROPERTIES: Final = re.compile(r"(?:[&!][^\s]*(?:[ \t\r\n]+(?:\#[^\r\n]*)?)+)*")
"""An anchor and a tag before a scalar (YAML 1.2 §6.9), and blanks and comments around them."""
_HEX: Final = {"x": 2, "u": 4, "U": 8}


def written(text: str, node: ScalarNode) -> list[int]:
    """Return the index in the file of each character of a scalar, and of its end.

    Exact for literal (``|``), plain and quoted scalars; for folded ones (``>``) except blanks at line ends.
    """
    start, end = node.start_mark.index, node.end_mark.index
    if properties := _PROPERTIES.match(text, start, end):
        start = properties.end()
    if node.style in ("|", ">"):
        header = _BREAK.search(text, start, end)
        start = header.end() if header else end
        indices = (_literal if node.style == "|" else _folded)(text, start, end, node.value)
    elif node.style in ("'", '"'):
        start, end = start + 1, end - 1
        indices = list(_flowing(text, start, end, node.style))
    else:
        indices = list(_flowing(text, start, end, ""))
    # Should PyYAML ever read a scalar in some other way than is retraced here, its beginning is near enough.
    return [*indices, end] if len(indices) == len(node.value) else [start] * (len(node.value) + 1)


def _literal(text: str, start: int, end: int, value: str) -> list[int]:
    indices: list[int] = []
    for line in value.split("\n"):
        found = _BREAK.search(text, start, end)
        stop, start = (found.start(), found.end()) if found else (end, end)
        # What stands before the line's own text is indentation.
        indices.extend((*range(stop - len(line), stop), stop))
    return indices[:-1]


def _folded(text: str, start: int, end: int, value: str) -> list[int]:
    """Map folded scalars: characters other than blanks appear in the same order, and gaps never grow."""
    indices: list[int] = []
    at = start
    for character in value:
        if not character.isspace():
            while at < end and text[at] != character:
                at += 1
        indices.append(min(at, end))
        if character == text[at : at + 1] or text[at : at + 1].isspace():
            at += 1
    return indices


def _flowing(text: str, start: int, end: int, style: str) -> Iterator[int]:
    """Map plain and quoted scalars, with escapes and folded line breaks (YAML 1.2 §6.5, §7.3)."""
    at = start
    while at < end:
        if folded := _FOLD.match(text, at, end):
            breaks = len(_BREAK.findall(folded[0]))
            yield from [at] * max(1, breaks - 1)
            at = folded.end()
        elif style == '"' and (escaped := _ESCAPED_BREAK.match(text, at, end)):
            # An escaped line break is not a character; those of the empty lines behind it are.
            yield from [at] * (len(_BREAK.findall(escaped[0])) - 1)
            at = escaped.end()
        else:
            yield at
            if style == '"' and text[at] == "\\":
                at += 2 + _HEX.get(text[at + 1 : at + 2], 0)
            else:
                at += 2 if style == "'" and text.startswith("''", at) else 1
