"""The platform's old syntax, ``$firstname$`` and ``{SPLIO …}``, where Liquid is read: it would be sent as it stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple, cast

from scenario.check.templates import templates
from scenario.source.findings import clip
from scenario.source.report import Report
from scenario.source.source import Path
from splio.lexer import Tag, Variable, parts

_SHOWN: Final = 40


class _Text(NamedTuple):
    """A text, where it stands, and whether it is the key there."""

    path: Path
    text: str
    in_key: bool = False


def check_remnants(data: Any, report: Report) -> None:
    """Warns of the first piece of old syntax in each text of a scenario: all of them are converted at once.

    An amount such as ``$5.00`` or ``100$`` is none: a variable is a name between two signs.

    Args:
        data: The scenario as it was written, with the texts of other files in place.
        report: Takes the findings.
    """
    for template in templates(data):
        for text in _texts(template.path, template.source):
            found = next((part for part in parts(text.text, liquid=True) if isinstance(part, Variable | Tag)), None)
            if found is not None:
                written = clip(text.text[found.start : found.end], _SHOWN)
                message = f"'{written}' is the platform's old syntax: 'scenario convert' turns it into Liquid"
                key, at = text.in_key, found.start
                report.add(text.path, "old-syntax", message, key=key, offset=at, severity="warning")


def _texts(path: Path, source: Any) -> Iterator[_Text]:
    """The texts of a template; of a structured body all in it, keys too."""
    if isinstance(source, str):
        if "$" in source or "{" in source:
            yield _Text(path, source)
    elif isinstance(source, Mapping):
        for key, value in cast("Mapping[Any, Any]", source).items():
            if isinstance(key, str) and "$" in key[1:]:
                yield _Text((*path, key), key, in_key=True)
            yield from _texts((*path, key), value)
    elif isinstance(source, list):
        for index, item in enumerate(cast("list[Any]", source)):
            yield from _texts((*path, index), item)
