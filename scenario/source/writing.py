"""Writes a scenario as YAML that `scenario.source.yaml` reads back as the same values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import yaml

_LIKE_NUMBERS: Final = frozenset("0123456789+-.")
_ODD_BREAKS: Final = frozenset("\x85\u2028\u2029")  # line breaks for PyYAML, but not for YAML 1.2


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, and quotes those that YAML 1.2 might take for numbers."""


def _text(dumper: Any, text: str) -> yaml.ScalarNode:
    style = "'" if text[:1] in _LIKE_NUMBERS else None
    if not _ODD_BREAKS.isdisjoint(text):
        style = '"'
    elif "\n" in text:
        style = "|"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def written(document: Mapping[str, Any]) -> str:
    """Return a document as YAML."""
    return yaml.dump(dict(document), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
