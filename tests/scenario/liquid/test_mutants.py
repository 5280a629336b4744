"""Mistakes in templates: each ends in an error of ours that says where, or in a result."""

from tests.scenario.liquid.mutants import mutants, outcome, problem
from tests.scenario.liquid.samples import Page, variables


def test_a_mistake_says_where_it_is() -> None:
    made = list(mutants(200))
    assert [(mutant.source, found) for mutant in made if (found := problem(mutant))] == []
    ends = [outcome(mutant.kind, mutant.source, variables())[0] for mutant in made]
    assert ends.count("error") > 75, "mutants are mostly mistaken"
    assert problem(Page("", "order", "nonsense", "{{ a }}")) == "not an error of ours: KeyError: 'nonsense'"
