"""Realistic templates and the data that they are rendered with, as the platform's models give it to templates."""

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import yaml

PAGES = Path(__file__).parent / "pages"
_VARIABLES: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "variables.yaml").read_text())


class Page(NamedTuple):
    """A template of the kind that people write.

    Attributes:
        name: The file's name: trigger, name, kind.
        trigger: The trigger whose data it names.
        kind: What it is for.
        source: Its text, or its structure.
    """

    name: str
    trigger: str
    kind: Any
    source: Any


def pages() -> Iterator[Page]:
    for path in sorted(PAGES.iterdir()):
        trigger, _, kind, form = path.name.split(".")
        source = path.read_text()
        yield Page(path.name, trigger, kind, yaml.safe_load(source) if form == "yaml" else source.rstrip("\n"))


def variables() -> dict[str, Any]:
    return deepcopy(_VARIABLES)
