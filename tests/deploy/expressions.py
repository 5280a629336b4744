"""The expressions of the alert rules and of the dashboard, and what they ask for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
RULES: Final = DEPLOY / "prometheus" / "alerts.yaml"
DASHBOARD: Final[dict[str, Any]] = json.loads((DEPLOY / "grafana" / "scenario-runner.json").read_text("utf-8"))
GROUPS: Final[Sequence[dict[str, Any]]] = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
ALERTS: Final = {rule["alert"]: rule for group in GROUPS for rule in group["rules"] if "alert" in rule}
RECORDS: Final = {rule["record"]: rule["expr"] for group in GROUPS for rule in group["rules"] if "record" in rule}

# A name, with its labels where it has any. Functions, operators, words of the language and labels after `by` are none.
_SELECTOR: Final = re.compile(r"(?<![\w:\"$])([a-zA-Z_][\w:]*)(\{[^}]*\})?(?![\w:]|\s*\()")
_LABELS: Final = re.compile(r"(\w+)\s*[=!]~?\s*\"")
_LISTS: Final = re.compile(r"\b(?:by|on|ignoring|without)\s*\([^)]*\)")
_WORDS: Final = frozenset({"and", "or", "unless", "offset", "by", "on", "bool"})


class Selector(NamedTuple):
    """A metric that an expression asks for, the labels that it is chosen by, and all of it as it is written."""

    metric: str
    labels: frozenset[str]
    text: str


def selectors(expression: str) -> Iterator[Selector]:
    kept = _LISTS.sub(" ", re.sub(r"\[[^]]*\]|\boffset \w+", " ", expression))
    for found in _SELECTOR.finditer(kept):
        name, chosen = found[1], found[2] or ""
        if name not in _WORDS and not _inside(kept, found.start()):
            yield Selector(name, frozenset(_LABELS.findall(chosen)), f"{name}{chosen}")


def _inside(text: str, place: int) -> bool:
    return text.rfind("{", 0, place) > text.rfind("}", 0, place)


def grouped(expression: str) -> set[str]:
    return {label for found in _LISTS.findall(expression) for label in re.findall(r"\w+", found.partition("(")[2])}


def panels() -> Iterator[tuple[str, str]]:
    """The expressions of the dashboard, as Grafana sends them, each with its panel's title."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], filled(target["expr"])


def filled(expression: str, variables: Mapping[str, str] | None = None) -> str:
    """An expression of the dashboard with its variables' values: all destinations, all scenarios, a minute's rates."""
    values = {"$destination": ".*", "$scenario": ".*", "$__rate_interval": "1m", **(variables or {})}
    for name, value in values.items():
        expression = expression.replace(name, value)
    return expression
