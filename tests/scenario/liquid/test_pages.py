"""Templates of the kind that people write: each renders, and needs no more data than it names.

Also Liquid's own conformance suite, golden-liquid, through our text engine.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from liquid.exceptions import LiquidError

from scenario import liquid
from scenario.errors import Aborted
from scenario.liquid.engine.context import Sink
from scenario.liquid.engine.environment import text_engine
from scenario.plan.compile import handed, pick
from tests.scenario.liquid.mutants import RENDERERS, mutants, outcome, problem
from tests.scenario.liquid.samples import Page, pages, variables

PAGES = {page.name: page for page in pages()}


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_a_page_renders_to_what_its_place_needs_from_no_more_data_than_it_names(page: Page) -> None:
    data, render = variables(), RENDERERS[page.kind]
    result = render(page.source, data)
    if page.kind == "json":
        assert json.loads(result)
    elif page.kind == "condition":
        assert isinstance(result, bool)
    else:
        assert result
    given = {name: data[name] for name in ("now", "today", "secrets") if name in data}
    narrow = {**pick(data, *handed([(page.source, page.kind)])), **given}
    assert render(page.source, narrow) == result


EXPECTED = {
    "order.filtered.json.liquid": {
        "order": "CGX0094",
        "channel": "store",
        "store": "Champs-Élysées",
        "perfumes": [{"sku": "11", "price": 10.25}],
        "brands": ["L'Oréal Paris"],
    },
    "order.capture.json.liquid": {
        "summary": 'Vernis "Rouge 0", Vernis "Rouge 1", Vernis "Rouge 2"',
        "count": 3,
        "first": 'Vernis "Rouge 0"',
        "sum": 61.5,
    },
    "order.case.json.liquid": {"tier": None, "raw": "{{ kept }}", "note": "-", "price": "some"},
    "order.liquid_tag.json.liquid": {"total": 61.5, "id": "CGX0094", "at": "2026-07-16T10:00:00+02:00"},
    "order.let.json.yaml": {"count": 3, "first": 'Vernis "Rouge 0"', "text": "3 articles"},
    "event.visit.json.liquid": {
        "event": "store.visited",
        "at": "2026-07-16T10:00:00+02:00",
        "shop": "Lyon",
        "items": ["a", ""],
        "direct": "Lyon",
    },
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_body_is_what_its_receiver_expects(name: str) -> None:
    assert json.loads(liquid.render_json(PAGES[name].source, variables())) == EXPECTED[name]


def test_a_text_reads_as_written() -> None:
    assert liquid.render_text(PAGES["reward.mail.text.liquid"].source, variables()) == (
        "The 4th is free\n"
        "À utiliser avant le jeudi 24 décembre 2026.\n"
        "Valeur : 15,00\xa0€\n"
        "Carte 1674075318835, Cercle."
    )


def test_a_contact_without_a_number_is_skipped_with_the_reason() -> None:
    data = variables()
    data["contact"]["cellphone"] = ""
    with pytest.raises(Aborted, match="no phone number"):
        liquid.render_json(PAGES["birthday.skip.json.liquid"].source, data)


def test_a_mistake_says_where_it_is() -> None:
    made = list(mutants(200))
    assert [(mutant.source, found) for mutant in made if (found := problem(mutant))] == []
    ends = [outcome(mutant.kind, mutant.source, variables())[0] for mutant in made]
    assert ends.count("error") > 75, "mutants are mostly mistaken"
    assert problem(Page("", "order", "nonsense", "{{ a }}")) == "not an error of ours: KeyError: 'nonsense'"


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
