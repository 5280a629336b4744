# ruff: noqa: E501 - a case is a line
"""What is said of two versions, where a journey stands in another one, and why it cannot go on there."""

from typing import Any

import pytest

from scenario.model.scenario import Scenario
from scenario.plan.compile import compile_plan, named_steps
from scenario.plan.migration import MigrationError, Place, difference, fate, followed, migrated, unknown
from scenario.plan.plan import Plan
from tests.scenarios import plan_of as plan
from tests.scenarios import scenario_of, scenario_text

A, B, C = (f"{{sms: {name}, text: hi}}" for name in "abc")
WAIT = "{wait: 2d}"


OLD = plan(A, "{wait: 2d, id: pause}", B)
ROUNDS = "{repeat: {every: 1d, times: 3}, id: %s, steps: [%s]}"
IN_ROUNDS = plan(ROUNDS % ("rounds", B + ", {wait: 1h, id: pause}"))


@pytest.mark.parametrize(
    ("old", "new", "place", "names", "expected"),
    [
        (OLD, plan(C, "{wait: 3d, id: pause}", A), Place(at="pause"), {}, "pause"),
        (OLD, plan(A, "{wait: 3d, id: rest}", B), Place(at="pause", sent=("a",)), {"pause": "rest"}, "rest"),
        (OLD, OLD, Place(at="a", is_over=True, sent=("a",)), {}, "a"),
        (OLD, plan("{sms: b, text: hi}"), Place(at="b", sent=("a",)), {}, "b"),
        (IN_ROUNDS, IN_ROUNDS, Place(at="pause", sent=("b",), rounds=("rounds",)), {}, "pause"),
        (IN_ROUNDS, plan(ROUNDS % ("again", B + ", {wait: 1h, id: pause}")), Place(at="pause", sent=("b",), rounds=("rounds",)), {"rounds": "again"}, "pause"),
        (IN_ROUNDS, plan("{wait: 1h, id: pause}", C), Place(at="pause", sent=("b",), rounds=("rounds",)), {}, "pause"),
    ],
)  # fmt: skip
def test_a_journey_stands_where_its_step_is(old: Plan, new: Plan, place: Place, names: dict[str, str], expected: str):
    assert migrated(old, new, place, names) == expected


@pytest.mark.parametrize(
    ("old", "new", "place", "names", "why"),
    [
        (OLD, plan(A, B), Place(at="pause"), {}, "step 'pause' no longer exists: map it"),
        (OLD, plan(WAIT, A), Place(at="pause"), {}, "step 'pause' no longer exists: map it, for example to wait-1"),
        (OLD, OLD, Place(at="pause"), {"pause": "x"}, "there is no step 'x', to which 'pause' is mapped"),
        (OLD, OLD, Place(at="pause"), {"pause": "b"}, "'b' is of kind sms there, not wait: map 'pause' to another step"),
        (plan(A), plan("{email: a, subject: hi, text: hi}"), Place(at="a"), {}, "'a' is of kind email there, not sms: map 'a' to another step"),
        (OLD, plan("{wait: 3d, id: rest}", A, B), Place(at="pause", sent=("a",)), {"pause": "rest"}, "'a' would be sent again: from 'rest' on it is still to come there"),
        (OLD, plan("{wait: 3d, id: pause}", "{sms: first, text: hi}", B), Place(at="pause", sent=("a",)), {"a": "first"}, "'first' would be sent again: from 'pause' on it is still to come there"),
        (OLD, plan(ROUNDS % ("rounds", A + ", {wait: 1h, id: pause}")), Place(at="pause", sent=("a",)), {}, "'pause' is repeated there by 'rounds', in which the journey is not: map the repetition that it is in"),
        (plan(A, B), plan(B, A), Place(at="b", is_over=True, sent=("a", "b")), {}, "'a' would be sent again: from 'b' on it is still to come there"),
    ],
)  # fmt: skip
def test_a_journey_that_does_not_fit_is_told_why(old: Plan, new: Plan, place: Place, names: dict[str, str], why: str):
    with pytest.raises(MigrationError) as caught:
        migrated(old, new, place, names)
    assert str(caught.value) == why


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (plan(A, "{wait: 3d, id: pause}", C, B), "c"),  # what was put between them comes first
        (plan(A, "{wait: 3d, id: rest}", C, B), "b"),  # the step that is over is gone
        (plan("{if: contact.id, id: pause, then: [" + A + "]}", C, B), "b"),  # or is another
        (plan(A, B, "{wait: 3d, id: pause}", C), "b"),  # or has moved behind
    ],
)
def test_who_follows_goes_on_behind_the_step_that_was_done_or_with_the_one_that_came_next(new: Plan, expected: str):
    assert followed(OLD, new, Place(at="pause", is_over=True, following="b", sent=("a",))) == expected


def test_who_follows_goes_the_way_that_was_taken() -> None:
    old = plan("{if: contact.id, then: [" + A + "], else: [" + B + "]}", C)
    new = plan("{if: contact.id, then: [" + A + "], else: [{sms: d, text: hi}, " + B + "]}", C)
    assert followed(old, new, Place(at="if-1", is_over=True, way="else", following="b")) == "d"
    assert followed(old, new, Place(at="if-1", is_over=True, following="b")) == "d", "an operator skipped it"


def test_who_follows_is_at_the_end_only_where_nothing_was_added() -> None:
    at_the_end = Place(at="b", is_over=True, following=None, sent=("a", "b"))
    assert followed(OLD, OLD, at_the_end) is None
    assert followed(OLD, plan(A, B, C), at_the_end) == "c"
    assert followed(OLD, plan(A, C), at_the_end) is None


@pytest.mark.parametrize(
    ("new", "why"),
    [
        (plan(A, "{wait: 2d, id: pause}", C), "step 'b' no longer exists: map it, for example to c"),
        (plan("{wait: 2d, id: pause}", A, B), "'a' would be sent again: from 'a' on it is still to come there"),
    ],
)
def test_who_follows_stays_where_the_next_step_is_gone_or_something_would_be_sent_twice(new: Plan, why: str) -> None:
    with pytest.raises(MigrationError) as caught:
        followed(OLD, new, Place(at="pause", is_over=True, following="b", sent=("a",)))
    assert str(caught.value) == why


POLL = '{webhook: poll, url: "https://x.example.com", method: GET, save: {as: poll, when: json}}'
UNTIL = '{wait: {until: "{{ responses.poll.at }}"}}'
READS = '{webhook: tell, url: "https://x.example.com", body: {n: "{{ responses.poll.n }}"}}'
AWAITED = "{wait_for: go, for: 1d, then: [{if: event.n > 3, then: [" + A + "]}]}"


@pytest.mark.parametrize(
    ("steps", "at", "place", "expected"),
    [
        ((POLL, WAIT, READS), "wait-2", {}, ["responses.poll"]),
        ((POLL, WAIT, READS), "wait-2", {"responses": ("poll",)}, []),
        ((POLL, UNTIL, WAIT), "wait-2", {}, ["responses.poll"]),
        ((POLL, WAIT, READS), "poll", {}, []),
        ((AWAITED,), "if-1.then.1", {}, ["event"]),
        ((AWAITED,), "if-1.then.1", {"has_event": True}, []),
        ((AWAITED,), "wait_for-1", {}, []),
    ],
)
def test_what_a_journey_never_learnt_is_named(
    steps: tuple[str, ...], at: str, place: dict[str, Any], expected: list[str]
) -> None:
    made = scenario_of(scenario_text(*steps))
    assert unknown(compile_plan(made), dict(named_steps(made)), at, Place(at=at, **place)) == expected


@pytest.mark.parametrize(
    ("new", "names", "expected"),
    [
        (OLD, {}, (True, "which stays")),
        (plan(A, B), {}, (False, "which is gone: map it")),
        (plan(A, "{wait: 3d, id: rest}"), {}, (False, "which is gone: map it, for example to rest")),
        (plan(A, "{wait: 3d, id: rest}"), {"pause": "rest"}, (True, "which becomes rest")),
        (plan("{sms: pause, text: hi}"), {}, (False, "which does not fit: 'pause' is of kind sms there, not wait: map 'pause' to another step")),
        (plan("{wait: 3d, id: pause}", A), {}, (True, "which stays, but who was sent it is refused: 'a' would be sent again: from 'pause' on it is still to come there")),
    ],
)  # fmt: skip
def test_the_plans_tell_what_becomes_of_those_at_a_step(new: Plan, names: dict[str, str], expected: tuple[bool, str]):
    assert fate(OLD, new, "pause", names) == expected


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
