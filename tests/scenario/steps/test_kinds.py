# ruff: noqa: E501 - findings are asserted as they are printed
"""Kinds of steps: their findings, their rows in plans, and what a row takes from another version."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import ClassVar

import pytest

from scenario.check.check import check
from scenario.model.parts import Model
from scenario.model.scenario import digest, document, load, spelled
from scenario.plan.compile import compile_plan
from scenario.plan.plan import Plan, dump_plan, load_plan
from scenario.steps import registry
from scenario.steps.base import BaseStep, Row
from scenario.steps.base import BaseStep as Step
from scenario.steps.branch import IfRow
from scenario.steps.delivery import Send
from scenario.steps.exit import ExitRow
from scenario.steps.host import MOST_DEFERRALS, Host, Memory, NotBefore
from scenario.steps.registry import KINDS, dump_row, read_row
from scenario.steps.repeat import RepeatRow
from scenario.steps.split import SplitRow
from scenario.steps.switch import SwitchRow, case_met, values_of
from scenario.steps.wait import WaitRow
from scenario.steps.wait_for import WaitForRow
from scenario.time import zone_of
from tests.scenarios import findings_of, plan_of, scenario_of

HEAD = "scenario: s\ntrigger: order\nsteps:\n"
HOOK = "webhook: poll, url: 'https://a.example.com/', body: {n: 1}, save: {as: poll}"
MAYBE_EVENT = (
    "- wait_for: a\n  for: 1d\n- switch: event.kind\n  cases:\n    x: [{sms: s, text: '{{ event.kind }}'}]\n  else: []"
)
SPLIT = "- split: {a: 100, b: 0}\n  branches: {a: [{exit: a}], b: [{wait: 1d}]}\n- exit: done"
WRONG = (
    ("- repeat: {times: 3}\n  steps: [{wait: 1d}]", "4:3: error missing: a 'repeat' with keys needs 'every'"),
    ("- repeat: {every: 7d, times: 3}", "4:3: error missing: a 'repeat' step needs 'steps'"),
    ("- repeat: {every: 7d, times: 1001}\n  steps: [{wait: 1d}]", "4:30: error value: 'times' must be 1000 or less"),
    ("- repeat: {every: 7d, times: 3, until: {event: a, if: contact.frstname}}\n  steps: [{wait: 1d}]", "4:63: error unknown-field: 'contact' has no field 'frstname': did you mean 'firstname'?"),
    ("- repeat: {every: 7d, times: 3, until: responses.poll.done}\n  steps: [{wait: 1d}]", "4:50: error unknown-response: no step before this one saves a response as 'poll'"),
    ("- repeat: {every: 7d, times: 3, until: responses.poll.done}\n  steps: [{" + HOOK + "}]", None),
    ("- repeat: {every: 7d, times: 3}\n  steps: [{" + HOOK + "}]\n- if: responses.poll.n\n  then: [{exit: a}]", None),
    ("- repeat: {every: 7d, times: 3}\n  steps: [{exit: a}]\n- wait: 1d", "6:3: warning unreachable: this step is never reached: it comes after a step whose branches all exit"),
    ("- repeat: {every: 7d, times: 3, until: contact.language}\n  steps: [{exit: a}]\n- wait: 1d", None),
    ("- repeat: {every: 7d, times: 3, until: {event: a}}\n  steps: [{wait: 1d}]\n- sms: a\n  text: '{{ event.x }}'", "7:13: warning may-be-missing: …"),
    ("- repeat: {every: 7d, times: 3}\n  steps: [{wait_for: a, for: 1d}]", "5:22: warning at-once: in a later round, an earlier round's event meets this wait immediately: add 'since: now'"),
    ("- repeat: {every: 7d, times: 3}\n  steps: [{wait_for: a, for: 1d, since: now}]", None),
    ("- repeat: {every: 7d, times: 3, until: event.name == 'a'}\n  steps: [{wait_for: a, for: 1d}]", None),
    ("- repeat: {every: 7d, times: 101}\n  steps:\n    - repeat: {every: 1d, times: 100}\n      steps: [{wait: 1h}]", "6:15: error too-many: with the repetitions around it, this makes 10,100 rounds: 10,000 is the most"),
    ("- repeat: {every: 7d, times: 3, until: {event: a}}\n  steps: [{wait: 1d}]\n- repeat: {every: 7d, times: 3, until: {event: a}}\n  steps: [{wait: 1d}]", None),
    ("- switch: order.total_price\n  cases: {1: [], 1.0: []}", "5:18: error case: '1.0' is the same value as '1': remove one"),
    ("- switch: contact.custom.step\n  cases: {true: [], True: []}", "5:21: error case: 'True' is the same value as 'true': remove one"),
    ("- switch: contact.custom.step\n  cases: {1: [], true: [], 010: [], no: [], yes: []}", None),
    ("- switch: order.total_price\n  cases: {1: [], 1.5: [], cheap: []}", "5:27: warning case: no value meets this case: a number and a text are never equal"),
    ("- switch: contact.lists\n  cases: {vip: []}", "5:11: warning case: no value meets this case: a list and a text are never equal: write contact.lists | map: 'name' contains 'vip'"),
    ("- switch: contact.lists | size\n  cases: {1: [], 2: []}", None),
    ("- switch: contact.language\n  cases: {fr: [], 10: [], \"l'x\": []}", None),
    ('- switch: contact.language\n  cases: {"<b>": [{exti: a}]}', "5:20: error unknown-step: unknown step 'exti': did you mean 'exit'?"),
    ("- switch: contact.language\n  cases: {fr: [], default: []}", "5:19: warning case: 'default' is a case like any other: steps for all other values stand in 'else'"),
    ("- wait_for: {a: {}, b: {if: event.x, then: [{sms: s, text: '{{ event.y }}'}]}}\n- sms: t\n  text: '{{ event.name }}'", None),
    ("- wait_for: {a: {}, b: {}}\n  for: 1d\n- sms: t\n  text: '{{ event.name }}'", "7:13: warning may-be-missing: 'event' may be missing here: the 'wait_for' on line 4 can end without it. …"),
    ("- wait_for: {a: {}, b: {}}\n  for: 1d\n  else: [{sms: t, text: '{{ event.name }}'}]", "6:29: error out-of-scope: …"),
    ("- wait_for: {a: {}, b: {}}\n  for: 1d\n  else: [{exit: x}]\n- sms: t\n  text: '{{ event.name }}'", None),
    ("- wait_for: {a: [{exit: b}]}", "4:17: error type: 'a' must be keys with values, not a list"),
    ("- wait_for: {a: {if: contact.frstname}}", "4:30: error unknown-field: 'contact' has no field 'frstname': did you mean 'firstname'?"),
    ("- wait_for: {a: {}, else: {}}\n  for: 1d", "4:21: error misplaced: 'else' stands beside 'wait_for', not in it"),
    ("- wait_for: {a: {}}\n  then: [{exit: a}]", "5:3: error misplaced: of several events, each has its own 'then': write it under the event"),
    ("- wait_for: {a: {then: [{wait_for: a}]}, b: {then: [{wait_for: a}]}}", "4:36: warning at-once: the event that line 4 waited for meets this wait immediately: add 'since: now' to wait for another one"),
    (MAYBE_EVENT, None),
    (SPLIT, "6:3: warning unreachable: this step is never reached: it comes after a step whose branches all exit"),
    (SPLIT.replace("a: 100, b: 0", "a: 99.99, b: 0.01"), None),
    ("- wait: 2026-12-24T09:00", "4:9: error value: a date stands behind 'until': write {until: 2026-12-24T09:00}"),
    ("- wait: {until: 2001-12-24}", None),  # nothing is past unless the time is known
)  # fmt: skip


@pytest.mark.parametrize(("steps", "report"), WRONG)
def test_what_is_wrong_with_a_step_is_said(steps: str, report: str | None):
    found = [one for one in findings_of(HEAD + steps + "\n") if " secret: " not in one]
    if report and report.endswith("…"):
        found = [one[: len(report) - 1] + "…" for one in found]
    assert found == ([report] if report else [])


NOW = datetime(2026, 12, 24, 8, 30, tzinfo=UTC)
BAD = "is not a date: write 2026-12-24, or 2026-12-24T09:00 with a time"
DATES = (
    ("2026-12-24T09:31", None), ("2026-12-25", None), ("2026-12-24 10:00:30", None), ("2026-12-24T09:00Z", None),
    ("2026-12-24T09:30", "5:17: warning past: this date is in the past: contacts will not wait here"),
    ("2026-12-24", "5:17: warning past: this date is in the past: contacts will not wait here"),
    ("2026-12-24, offset: 3d", None),
    ("2026-02-30", f"5:17: error value: '2026-02-30' {BAD}"),
    ("24.12.2026", f"5:17: error value: '24.12.2026' {BAD}"),
    ("2026-12-24T9:00", f"5:17: error value: '2026-12-24T9:00' {BAD}"),
    ("2026-12", f"5:17: error value: '2026-12' {BAD}"),
    ("2027-12-24, on: [mon]", "5:9: error value: 'on' goes with a time of day, not with a date"),
    ("\"{{ order.ordered_at }} 09:00\"", "5:18: error date: 'order.ordered_at' has its time already: for another one of that day write {{ order.ordered_at | date: '%Y-%m-%d' }} 09:00"),
    ("\"{{ order.ordered_at | date: '%Y-%m-%d' }} 09:00\"", None),
    ("\" {{ order.ordered_at }} \"", None), ("\"{{ today }} 09:00\"", None), ("\"{{ contact.custom.day }} 09:00\"", None),
)  # fmt: skip


@pytest.mark.parametrize(("until", "report"), DATES)
def test_what_is_wrong_with_a_date_to_wait_for_is_said(until: str, report: str | None):
    text = f"scenario: s\ntrigger: order\ntimezone: Europe/Paris\nsteps:\n- wait: {{until: {until}}}\n"
    found = [str(one).removeprefix("scenario.yaml:") for one in check(text, now=NOW).findings]
    assert found == ([report] if report else [])


def test_an_entry_has_no_repeat_but_an_again():
    found = findings_of("scenario: s\ntrigger: order\nentry: {repeat: always}\nsteps: [{wait: 1d}]\n")
    assert found == ["3:9: error unknown-key: unknown key 'repeat': did you mean 'again'?"]


CASES = ("fr", "1", "1.50", "true", "False", "no", "010", "-3")


@pytest.mark.parametrize(
    ("value", "case"),
    [
        ("fr", "fr"), ("FR", None), ("", None), ("no", "no"), ("010", "010"),
        (1, "1"), (1.0, "1"), (Decimal("1.0"), "1"), ("1", "1"), ("1.0", None), (True, "true"), (10, None),
        (1.5, "1.50"), (Decimal("1.5"), "1.50"), (-3, "-3"), (0, None), (float("nan"), None), (10**40, None),
        (False, "False"), ("true", "true"), ("True", None),
        (None, None), ([], None), (["fr"], None), ({"fr": 1}, None),
    ],
)  # fmt: skip
def test_a_value_meets_the_case_that_says_the_same(value: object, case: str | None):
    assert case_met(value, CASES) == case


def test_what_is_made_up_for_a_case_meets_it():
    assert {(case, case_met(value, CASES)) for case in CASES for value in values_of(case)} == {(c, c) for c in CASES}


@pytest.mark.parametrize(
    ("value", "implied"),
    [("contact.language", ("contact.language != blank", True)), ("contact.language | downcase", None), (7, None)],
)
def test_only_a_path_has_a_value_in_each_case(value: object, implied: tuple[str, bool] | None):
    found = KINDS["switch"].implied({"switch": value, "cases": {"fr": [], "de": []}})
    assert {*found.values()} == ({implied} if implied else set())


def test_no_two_ways_have_one_spelling():
    ways = ["fr", "fr_FR", "fr-FR", "fr--FR", "fr.FR", "a.-b", "a-.b", "é", "è", "", " ", "<b>"]
    ways += ["1", "1.0", "x" * 41, "x" * 42, "a\nb"]
    made = [spelled(way) for way in ways]
    assert len({*made}) == len(ways)
    assert made[:3] == ways[:3]
    assert spelled("fr.FR") == "fr--FR"
    assert all(name.isascii() and name.replace("-", "").replace("_", "").isalnum() for name in made)


# ---- rows

ROWS: tuple[tuple[Row, tuple[str | None, ...], str | None], ...] = (
    (Send(kind="sms", next="a"), ("a",), "a"),
    (Send(kind="webhook"), (None,), None),
    (WaitRow(kind="wait", next="a"), ("a",), "a"),
    (WaitForRow(kind="wait_for", event="go", then="a", otherwise="b"), ("a", "b"), "b"),
    (IfRow(kind="if", condition="true", then="a"), ("a", None), None),
    (ExitRow(kind="exit", reason="x"), (), None),
)


@pytest.mark.parametrize(("row", "successors", "skipped_to"), ROWS)
def test_a_row_knows_what_may_follow_and_where_a_skip_leads(
    row: Row, successors: tuple[str | None, ...], skipped_to: str | None
):
    assert (row.successors, row.skipped_to) == (successors, skipped_to)


def stored(text: str) -> Plan:
    """Return the plan of steps as a journey gets it, and check that it is that of the stored scenario too.

    Histories and databases sort keys.
    """
    made = scenario_of(HEAD + text)
    for document_ in (document(made), json.loads(json.dumps(document(made), sort_keys=True))):
        assert load(document_) == made
        assert dump_plan(compile_plan(load(document_))) == dump_plan(compile_plan(made))
    plan = load_plan(json.loads(json.dumps(dump_plan(compile_plan(made)), sort_keys=True)))
    assert all(read_row(json.loads(json.dumps(dump_row(row), sort_keys=True))) == row for row in plan.steps.values())
    return plan


def test_a_repetition_leads_from_a_rounds_end_back_to_its_beginning():
    plan = stored(
        "- repeat: {every: 1d12h, times: 3, until: {event: a, if: event.x}}\n"
        "  steps: [{wait: 1h}, {repeat: {every: 1h, times: 2}, steps: [{sms: s, text: t}]}]\n- exit: done\n"
    )
    outer, inner = plan.steps["repeat-1"], plan.steps["repeat-1.round.2"]
    assert isinstance(outer, RepeatRow)
    assert dict(outer.ways) == {"round": "wait-1.round.1", "end": "exit-2"}
    assert dict(inner.ways) == {"round": "s", "end": "repeat-1"}
    assert [plan.steps[name].successors for name in ("wait-1.round.1", "s")] == [("repeat-1.round.2",)] * 2
    assert outer.describe() == "repeat every 1d12h, 3 times at most, until a"
    assert (outer.skipped_to, plan.events) == ("exit-2", {"a"})


def test_a_switch_keeps_the_ways_by_what_was_written():
    row = stored("- switch: contact.language\n  cases: {é: [{wait: 1d}], fr: []}\n- exit: done\n").steps["switch-1"]
    assert isinstance(row, SwitchRow)
    assert dict(row.ways) == {"é": f"wait-1.{spelled('é')}.1", "fr": "exit-2", "else": "exit-2"}
    assert (row.skipped_to, row.asked) == ("exit-2", "contact.language")


def test_a_wait_has_each_event_with_its_way_and_the_short_form_stays_as_it_was():
    plan = stored(
        "- wait_for: {order.delivered: {if: event.a, then: [{wait: 1d}]}, order.refused: {}}\n  for: 7d\n"
        "- wait_for: order.paid\n  if: event.b\n"
    )
    row = plan.steps["wait_for-1"]
    assert dump_row(plan.steps["wait_for-2"]) == {"kind": "wait_for", "event": "order.paid", "condition": "event.b"}
    assert dict(row.ways) == {
        "order.delivered": "wait-1.order--delivered.1",
        "order.refused": "wait_for-2",
        "else": "wait_for-2",
    }
    assert row.describe() == "wait for order.delivered or order.refused, 7d at most"
    assert plan.events == {"order.delivered", "order.refused", "order.paid"}


@pytest.mark.parametrize(
    ("until", "what"),
    [
        ("2027-12-24T09:00", "wait until 2027-12-24 09:00"),
        ("2027-12-24, offset: -3d", "wait until 3d before 2027-12-24"),
        ("2027-12-24, offset: 12h", "wait until 12h after 2027-12-24"),
        ("'{{ order.ordered_at }}'", "wait until a date"),
    ],
)
def test_what_is_waited_for_is_shown(until: str, what: str):
    assert plan_of(f"{{wait: {{until: {until}}}}}").steps["wait-1"].describe() == what


NESTED = """\
- split: {b: 33.33, a: 66.67}
  id: tone
  branches:
    a: [{split: {x: 50, y: 50, none: 0}, branches: {x: [{wait: 1d}]}}]
- exit: done
"""


def test_a_split_holds_the_seed_and_the_ranges_in_their_order():
    steps = stored(NESTED).steps
    outer, inner = steps["tone"], steps["split-1.a.1"]
    assert isinstance(outer, SplitRow)
    assert isinstance(inner, SplitRow)
    assert (outer.lot.seed, list(outer.lot.shares.items())) == ("s/tone", [("b", 3333), ("a", 6667)])
    assert inner.lot.seed == "s/split-1.a.1"
    assert dict(outer.ways) == {"b": "exit-2", "a": "split-1.a.1"}
    assert dict(inner.ways) == {"x": "wait-1.a.1.x.1", "y": "exit-2", "none": "exit-2"}
    assert (outer.skipped_to, inner.skipped_to) == ("exit-2", "exit-2")
    assert (outer.describe(), inner.describe()) == ("split b 33.33 a 66.67", "split x 50 y 50 none 0")
    lot = plan_of("{split: {a: 50, b: 50}, seed: tone of 2026}").steps["split-1"].lot
    assert lot is not None
    assert lot.seed == "tone of 2026"


def test_another_order_of_ranges_is_another_version():
    other = NESTED.replace("{b: 33.33, a: 66.67}", "{a: 66.67, b: 33.33}")
    assert digest(document(scenario_of(HEAD + NESTED))) != digest(document(scenario_of(HEAD + other)))


@pytest.mark.parametrize("word", ["ab_test", "experiment", "random", "cohort"])
def test_a_split_is_known_by_the_words_of_others(word: str):
    assert word in KINDS["split"].synonyms


STEP = "webhook: step\n    url: https://a.example.com/\n    body: {n: 1}"
# A step, the same of another version, and what of that one is used. The journey goes on in its own plan.
STEPS = {
    "wait": ("wait: 1d", "wait: 2d", {"seconds": 172_800.0}),
    "sms": ("sms: step\n    text: a", "sms: step\n    text: a\n    on_unknown: continue", {"on_unknown": "continue"}),
    "saves": (f"{STEP}\n    save: {{as: old}}", f"{STEP}\n    save: {{as: new}}\n    timeout: 3s", {"timeout": 3.0}),
    "saves at last": (STEP, f"{STEP}\n    save: {{as: new}}", {"save": "new"}),
    "if": (
        "if: contact.id == 'a'\n    then: [{wait: 1h}]",
        "if: contact.id == 'b'\n    then: [{exit: a}]",
        {"condition": "contact.id == 'b'"},
    ),
    "switch": (
        "switch: contact.language\n    cases: {fr: [{wait: 1h}], de: []}",
        "switch: contact.custom.language\n    cases: {fr: [{exit: a}], it: []}",
        {"value": "contact.custom.language"},
    ),
    "split": (
        "split: {a: 50, b: 50}\n    by: '{{ contact.zip }}'\n    seed: old\n    branches: {a: [{wait: 1h}], b: []}",
        "split: {a: 90, c: 10}\n    by: journey\n    seed: new\n    branches: {a: [{exit: a}], c: []}",
        {"by": "journey"},
    ),
    "repeat": (
        "repeat: {every: 1d, times: 2}\n    steps: [{wait: 1h}]",
        "repeat: {every: 2d, times: 3, until: contact.custom.stop}\n    steps: [{exit: a}]",
        {"every": 172_800.0, "times": 3, "until": "contact.custom.stop"},
    ),
}


def row(step: str, following: str) -> Row:
    named = step if ": step\n" in step else f"{step}\n    id: step"  # the first line of a delivery names it
    return plan_of(named, following).steps["step"]


@pytest.mark.parametrize("name", STEPS)
def test_a_step_of_another_version_goes_on_in_the_plan_of_its_own(name: str):
    old, new, changed = STEPS[name]
    own = row(old, "wait: 1h")
    assert own.instead(row(new, "exit: done")) == replace(own, **changed)
    assert own.instead(row("wait_for: a.b\n    for: 1d", "exit: done")) == own


# ---- the registry of step kinds


class Imported(BaseStep):
    """`Step` is imported at run time, so that pydantic resolves it to the base class."""

    sides: dict[str, list[Step]]


class Named(BaseStep):
    sides: list[BaseStep] | None = None


class Side(Model):
    steps: list[BaseStep]


class Nested(BaseStep):
    forms: ClassVar[Mapping[str, type[Model]]] = {"<side>": Side}

    side: Side


@pytest.mark.parametrize(
    ("model", "field"), [(Imported, "Imported.sides"), (Named, "Named.sides"), (Nested, "Side.steps")]
)
def test_a_kind_whose_branches_hold_the_base_class_is_refused(model: type[BaseStep], field: str) -> None:
    with pytest.raises(TypeError) as raised:
        registry.add("toss", model)
    assert str(raised.value) == (
        f"{field} holds BaseStep itself, which reads no step kind: write list[Step], "
        "and import 'BaseStep as Step' only under 'if TYPE_CHECKING:'"
    )
    assert "toss" not in registry.KINDS


def test_a_model_around_steps_is_checked_too() -> None:
    with pytest.raises(TypeError, match=r"^Side\.steps holds BaseStep itself"):
        registry.holds_steps(Side)


START = datetime(2026, 3, 3, 7, 0, tzinfo=UTC)


def test_the_interface_stays_narrow() -> None:
    members = sorted(name for name in vars(Host) if not name.startswith("_"))
    assert len(members) <= 16, members


def test_a_deferral_is_kept_until_the_delivery_waits_no_more_and_noted_for_its_record() -> None:
    memory, paris = Memory(), zone_of("Europe/Paris")
    assert memory.deferred is None
    memory.defer(NotBefore(moment=START.astimezone(paris), since="quiet hours"), paris)
    assert memory.deferred == NotBefore(moment=START, since="quiet hours")
    memory.stop_waiting()
    assert (memory.deferred, memory.until) == (None, None)
    assert memory.deferrals == ["kept back until Tue 2026-03-03 08:00 Europe/Paris: quiet hours"]


def test_only_the_latest_deferrals_are_noted() -> None:
    memory = Memory()
    for hour in range(MOST_DEFERRALS + 2):
        memory.defer(NotBefore(moment=START + timedelta(hours=hour), since="capped"), UTC)
    assert len(memory.deferrals) == MOST_DEFERRALS
    assert "Tue 2026-03-03 09:00" in memory.deferrals[0]


def test_leaving_a_step_forgets_what_concerned_it_alone() -> None:
    memory = Memory(until=START, awaiting="order.paid", deferrals=["kept back"], event={"name": "order.paid"})
    memory.leave_step()
    assert memory == Memory(event={"name": "order.paid"})
