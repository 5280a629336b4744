"""Mistakes in templates: each ends in an error of ours that says where, or in a result."""

import pytest

from tests.scenario.liquid.mutants import mutants, outcome, problem
from tests.scenario.liquid.samples import Page, variables

MUTANTS = list(mutants(400))


@pytest.mark.parametrize("share", range(4))
def test_a_mistake_says_where_it_is(share: int) -> None:
    problems = [(mutant.source, found) for mutant in MUTANTS[share::4] if (found := problem(mutant))]
    assert problems == []


def test_mutants_are_mostly_mistaken() -> None:
    ends = [outcome(mutant.kind, mutant.source, variables())[0] for mutant in MUTANTS]
    assert ends.count("error") > 150


def test_what_is_looked_for_is_found() -> None:
    assert problem(Page("", "order", "nonsense", "{{ a }}")) == "not an error of ours: KeyError: 'nonsense'"
