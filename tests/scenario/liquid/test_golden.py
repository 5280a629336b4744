"""Liquid's own conformance suite, golden-liquid, through our text engine."""

import json
from pathlib import Path
from typing import Any

import pytest
from liquid.exceptions import LiquidError

from scenario.liquid.engine.environment import text_engine
from scenario.liquid.engine.sink import Sink

SUITE = Path(__file__).parents[3] / "../shared/data/liquid/golden_liquid.json"

# Not followed, on purpose.
EXCEPTIONS = {
    # Nobody could tell which data such a template reads, and a step is handed only the data that its templates read.
    "output, bracketed variable resolves to a string without leading identifier": "{{ [name] }} is refused",
    "output, nested bracketed variable resolving to a string": "{{ [name] }} is refused",
    # What every author expects.
    "tags, if, not is not a valid operator": "a condition may have 'not'",
    # Shopify's newest mode refuses it as well ("strict2"); before, what follows "and" was dropped in silence.
    "tags, case, unexpected when token": "when 'a' and 'b' is refused",
}


def cases() -> list[dict[str, Any]]:
    """All cases but those of partials, which do not exist here."""
    tests: list[dict[str, Any]] = json.loads(SUITE.read_text())["tests"] if SUITE.exists() else []
    return [case for case in tests if not case.get("templates")]


def rendered(case: dict[str, Any]) -> str:
    sink = Sink()
    text_engine().parse_template(case["template"]).write(case.get("data") or {}, sink)
    return sink.getvalue()


@pytest.mark.skipif(not SUITE.exists(), reason="the golden-liquid suite is not here")
def test_liquid_is_what_others_say_it_is() -> None:
    different: list[str] = []
    for case in cases():
        try:
            result = rendered(case)
        except LiquidError:
            right = bool(case.get("invalid"))
        else:
            right = not case.get("invalid") and result in (case.get("result"), *case.get("results", ()))
        if not right:
            different.append(case["name"])
    assert sorted(different) == sorted(EXCEPTIONS)
    assert len(cases()) - len(different) == 1016
