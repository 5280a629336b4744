# ruff: noqa: E501 - a case is a line
"""What is said of two versions of a scenario."""

import pytest

from scenario.model.scenario import Scenario
from scenario.plan.difference import difference
from tests.scenarios import scenario_of, scenario_text

A, B, C = (f"{{sms: {name}, text: hi}}" for name in "abc")
FORK = "{if: contact.id, id: fork, then: [%s], else: [%s]}"
SWITCH = "{switch: contact.language, id: fork, cases: {fr: [%s], %s: []}}"
SPLIT = "{split: {a: %d, b: %d}, id: halves, branches: {a: [%s]}}"
FIRST = "{wait_for: {go: {if: event.n > %d, then: [%s]}, end: {}}, id: first, for: 1d}"


def scenario(*steps: str, more: str = "") -> Scenario:
    return scenario_of(scenario_text(*steps, more=more))


@pytest.mark.parametrize(
    ("earlier", "later", "expected"),
    [
        ((A, B), (A, B), "nothing is different for a journey"),
        ((A, B), (A, C), "added: c; removed: b"),
        ((A, "{wait: 2d}"), (A.replace("hi", "ho"), "{wait: 3d}"), "changed: a (text), wait-2 (wait)"),
        ((A, "{wait: 2d, id: x}"), (A, "{wait_for: go, id: x}"), "changed: x (its kind)"),
        ((A, B, C), (B, A, C), "changed: b (next → a), a (next → c)"),
        ((FORK % (A, B),), (FORK % (A, C),), "added: c; removed: b"),
        ((FORK % (A, B),), (FORK % (B, A),), "changed: fork (then → b, else → a)"),
        ((SWITCH % (A, "de"),), (SWITCH % (A, "en"),), "changed: fork (cases)"),
        ((FIRST % (3, A),), (FIRST % (4, A),), "changed: first (wait_for)"),
        ((SPLIT % (50, 50, A),), (SPLIT % (40, 60, B),), "added: b; removed: a; changed: halves (split)"),
    ],
)
def test_steps_that_were_added_removed_and_changed_are_named(
    earlier: tuple[str, ...], later: tuple[str, ...], expected: str
) -> None:
    assert str(difference(scenario(*earlier), scenario(*later))) == expected


def test_what_changed_of_the_scenario_itself_is_named() -> None:
    before = scenario(A, more="description: one\nexit: [{event: gone}]\n")
    after = scenario(A.replace("hi", "ho"), more="description: two\ntimezone: Asia/Tokyo\npurpose: transactional\n")
    found = difference(before, after)
    assert found.settings == ("exit", "purpose", "timezone")
    assert str(found) == "changed: exit, purpose, timezone, a (text)"


SUBJECT = "{split: {a: %s, b: %s}, id: subject%s}"
EVEN = SUBJECT % (50, 50, "")
UNNAMED = "{split: {a: 50, b: 50}}"
ANEW = "it has another seed or another 'by' than in s@3"


@pytest.mark.parametrize(
    ("earlier", "later", "said"),
    [
        ((EVEN,), (EVEN, A), []),
        ((EVEN,), (SUBJECT % (43, 57, ""),), ["split subject: 7 % of contacts would now take another branch than in s@3"]),
        ((SUBJECT % (50, 50, ", by: journey"),), (SUBJECT % ("49.99", "50.01", ", by: journey"),), ["split subject: 0.01 % of journeys would now take another branch than in s@3"]),
        ((EVEN,), (SUBJECT % (50, 50, ", seed: x"),), [f"split subject: all contacts are drawn anew: {ANEW}"]),
        ((EVEN,), (SUBJECT % (50, 50, ", seed: s/subject"),), []),
        ((UNNAMED,), (A, UNNAMED), [f"split split-2: all contacts are drawn anew: {ANEW}"]),
        ((A,), (UNNAMED, A), []),
    ],
)  # fmt: skip
def test_how_many_would_take_another_branch_is_told(earlier: tuple[str, ...], later: tuple[str, ...], said: list[str]):
    found = difference(scenario(*earlier), scenario(*later))
    assert [draw.since("s@3") for draw in found.redrawn] == said


@pytest.mark.parametrize(
    ("before", "after", "share"), [("control: 10\n", "control: 15\n", 5), ("", "control: 10\n", 10)]
)
def test_how_many_would_be_in_another_group_is_told(before: str, after: str, share: int) -> None:
    for earlier, later in ((before, after), (after, before)):
        [draw] = difference(scenario(A, more=earlier), scenario(A, more=later)).redrawn
        assert draw.since("s@3") == f"control: {share} % of contacts would now be in another group than in s@3"
