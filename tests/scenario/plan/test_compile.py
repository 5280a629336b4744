# ruff: noqa: E501 - a case is a line
"""A scenario becomes a flat table of steps, each naming its successors and what it is handed of a list's items."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenario.model import parts
from scenario.model.scenario import Scenario, document, load
from scenario.plan.compile import compile_plan, named_steps, narrowed, pick
from scenario.plan.plan import Gear, Plan, dump_plan, gear_of, load_plan, restore, shorten
from scenario.plan.retry import STORED, RetryPolicy, fit
from scenario.steps.delivery import Send
from scenario.steps.exit import ExitRow
from scenario.steps.registry import dump_row, read_row
from tests.scenarios import scenario_of


def successors(plan: Plan) -> dict[str, tuple[str | None, ...]]:
    return {name: step.successors for name, step in plan.steps.items()}


HEAD = "scenario: a\ntrigger: order\nsteps:\n"
BRANCHES = """\
- wait: 1d
- if: order.total_price > 20
  then:
    - {email: rich, subject: s, text: t}
    - wait_for: order.delivered
      for: 7d
      then: [{if: order.total_price > 100, then: [{sms: very-rich, text: t}]}, {wait: 2d}]
      else: [{exit: late}]
  else: [{id: patience, wait: 3d}]
- {if: order.total_price > 5, else: [{wait: 4d}]}
- exit: done
"""


def plan(steps: str, head: str = HEAD) -> Plan:
    return compile_plan(scenario_of(head + steps))


def test_branches_join_behind_their_fork_in_the_order_of_the_file():
    made = scenario_of(HEAD + BRANCHES)
    compiled = compile_plan(made)
    assert list(compiled.steps) == [name for name, _ in named_steps(made)]
    assert compiled.start == "wait-1"
    assert successors(compiled) == {
        "wait-1": ("if-2",),
        "if-2": ("rich", "patience"),
        "rich": ("wait_for-2.then.2",),
        "wait_for-2.then.2": ("if-2.then.2.then.1", "exit-2.then.2.else.1"),
        "if-2.then.2.then.1": ("very-rich", "wait-2.then.2.then.2"),
        "very-rich": ("wait-2.then.2.then.2",),
        "wait-2.then.2.then.2": ("if-3",),
        "exit-2.then.2.else.1": (),
        "patience": ("if-3",),
        "if-3": ("exit-4", "wait-3.else.1"),
        "wait-3.else.1": ("exit-4",),
        "exit-4": (),
    }


def test_the_last_step_leads_to_the_end_and_so_does_an_empty_branch():
    assert successors(plan("- {if: order.total_price, then: [{wait: 1d}]}")) == {
        "if-1": ("wait-1.then.1", None),
        "wait-1.then.1": (None,),
    }


IDS = (
    ("- wait: 1d\n- wait: 2d", ["wait-1", "wait-2"]),
    ("- sms: hello\n  text: t", ["hello"]),
    ("- id: first\n  sms: hello\n  text: t", ["first"]),
    ("- if: order.a\n  then: [{wait: 1d}, {exit: x}]", ["if-1", "wait-1.then.1", "exit-1.then.2"]),
    ("- if: order.a\n  else: [{exit: x}]", ["if-1", "exit-1.else.1"]),
)


@pytest.mark.parametrize(("steps", "ids"), IDS, ids=[", ".join(ids) for _, ids in IDS])
def test_a_step_is_called_by_its_id_its_name_or_its_place(steps: str, ids: list[str]):
    assert [name for name, _ in named_steps(scenario_of(HEAD + steps))] == ids


def test_a_step_carries_what_the_journey_steers_by():
    compiled = plan(
        """\
- webhook: crm
  url: https://crm.example.com/o?x={{ order.external_id }}
  retry: {initial_interval: 1s, backoff_coefficient: 2, maximum_interval: 1h, deadline: 2d, maximum_attempts: 9}
  timeout: 30s
  on_failure: continue
  on_unknown: hold
- wait: {until: 10:00, on: [mon, fri]}
- wait: {until: "{{ order.ordered_at }}", offset: -3d}
  on_failure: exit
- wait: 90s
- wait_for: a
  if: event.b
  for: 7d
  since: now
""",
        HEAD.replace("steps", "timezone: Asia/Tokyo\nexit: [{event: x, if: event.y}, {event: z}]\nsteps"),
    )
    assert dump_plan(compiled) == {
        "start": "crm",
        "steps": {
            "crm": {
                "kind": "webhook",
                "next": "wait-2",
                "to": "crm.example.com",
                "fields": ["order.external_id"],
                "retry": {"initial": 1.0, "coefficient": 2.0, "maximum": 3600.0, "deadline": 172800.0, "attempts": 9},
                "timeout": 30.0,
                "on_failure": "continue",
                "on_unknown": "hold",
            },
            "wait-2": {"kind": "wait", "next": "wait-3", "clock": "10:00", "days": ["mon", "fri"]},
            "wait-3": {
                "kind": "wait",
                "next": "wait-4",
                "date": "{{ order.ordered_at }}",
                "offset": -259200.0,
                "on_failure": "exit",
            },
            "wait-4": {"kind": "wait", "next": "wait_for-5", "seconds": 90.0},
            "wait_for-5": {
                "kind": "wait_for",
                "event": "a",
                "condition": "event.b",
                "seconds": 604800.0,
                "since": "now",
            },
        },
        "exit": [{"event": "x", "condition": "event.y"}, {"event": "z"}],
        "zone": "Asia/Tokyo",
    }
    assert compiled.events == {"a", "x", "z"}


def test_what_has_its_default_value_costs_a_history_nothing():
    steps = "- {email: a, subject: s, text: t}\n- {sms: b, text: t}\n- wait_for: c\n"
    assert dump_plan(plan(steps)) == {
        "start": "a",
        "steps": {
            "a": {"kind": "email", "next": "b", "fields": ["contact.email", "contact.language"]},
            "b": {
                "kind": "sms",
                "next": "wait_for-3",
                "fields": ["contact.cellphone", "contact.language"],
                "on_unknown": "hold",
            },
            "wait_for-3": {"kind": "wait_for", "event": "c"},
        },
    }


SMS = ("contact.cellphone", "contact.language")
FIELDS = (
    ('sms: a\n  text: "{{ contact.firstname }} {{ contact.custom.vip }}"', (*SMS, "contact.custom.vip", "contact.firstname")),
    ('sms: a\n  text: "{% for p in order.products %}{{ p.name }}{% endfor %}{{ order.products.size }}"', (*SMS, "order.products")),
    ('sms: a\n  text: "{{ contact }} {{ contact.firstname }}"', ("contact",)),
    ('sms: a\n  text: "{{ contact[order.currency] }}"', ("contact", "order.currency")),
    ("sms: a\n  text: \"{{ contact.custom['a.b'] }}\"", (*SMS, "contact.custom")),
    ('sms: a\n  text: "{{ now }} {{ today }}"', SMS),
    ('sms: a\n  text: "{{ journey.id }} {{ journey.entered_at }}"', (*SMS, "journey.entered_at", "journey.id")),
    ('sms: a\n  text: "{% assign x = order.currency %}{{ x }}"', (*SMS, "order.currency")),
    # Of a webhook its URL, headers and body, but no secret.
    (
        'webhook: a\n  url: "https://x.example/{{ contact.id }}"\n  headers: {x-a: "{{ secrets.TOKEN }} {{ contact.language }}"}\n'
        '  body: {a: {b: "{{ order.currency }}"}, c: {$for: p in order.products, $each: "{{ p.name }}"}}',
        ("contact.id", "contact.language", "order.currency", "order.products"),
    ),
    (
        'webhook: a\n  to: crm\n  path: "/{{ contact.id }}?x={{ order.currency }}"\n  content: form\n'
        '  body: {name: "{{ contact.lastname }}", tag: ["{{ order.external_id }}"]}',
        ("contact.id", "contact.lastname", "order.currency", "order.external_id"),
    ),
    ('webhook: a\n  to: crm\n  content: text\n  body: "{{ order.total_price }}"', ("order.total_price",)),
)  # fmt: skip


@pytest.mark.parametrize(("step", "fields"), FIELDS, ids=[step for step, _ in FIELDS])
def test_a_step_lists_the_fields_that_its_templates_name(step: str, fields: tuple[str, ...]):
    row = plan(f"- {step}\n").steps["a"]
    assert isinstance(row, Send)
    assert row.fields == tuple(sorted(fields))


def test_a_callback_is_named_beside_the_journey_itself():
    """Whoever sends the step hands over what a callback needs where it finds this path, and only there."""
    steps = plan(
        "- sms: a\n  text: '{{ journey.callback_url }}{{ journey | json }}'\n- sms: b\n  text: '{{ journey }}'\n"
    ).steps
    assert [step.fields for step in steps.values() if isinstance(step, Send)] == [
        ("contact.cellphone", "contact.language", "journey", "journey.callback_url"),
        ("contact.cellphone", "contact.language", "journey"),
    ]


NAMES = st.integers(0, 10**9).map(lambda number: f"n-{number}")
LEAVES: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({"wait": "1d"}),
    st.just({"exit": "done"}),
    st.just({"wait": {"until": "10:00"}}),
    NAMES.map(lambda name: {"sms": name, "text": "t"}),
    NAMES.map(lambda name: {"wait": "2d", "id": name}),
    st.just({"wait_for": "a"}),
)


def forks(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    branch = st.lists(inner, min_size=1, max_size=4)
    ifs = st.tuples(branch, branch | st.just([])).map(lambda pair: {"if": "order.a", "then": pair[0], "else": pair[1]})
    waits = st.tuples(branch | st.just([]), branch).map(
        lambda pair: {"wait_for": "b", "for": "1d", "then": pair[0], "else": pair[1]}
    )
    return ifs | waits


STEPS = st.lists(st.recursive(LEAVES, forks, max_leaves=25), min_size=1, max_size=6)


def every_id(steps: list[dict[str, Any]]) -> list[Any]:
    found: list[Any] = []
    for step in steps:
        found.append(step.get("id") or step.get("sms"))
        found.extend(every_id([*step.get("then", []), *step.get("else", [])]))
    return found


@given(STEPS)
@settings(max_examples=60)
def test_every_way_through_every_plan_comes_to_an_end(steps: list[dict[str, Any]]):
    named = [name for name in every_id(steps) if name]
    if len(set(named)) < len(named):
        return  # `check` refuses two steps of one name
    made = Scenario.model_validate({"scenario": "a", "trigger": "order", "steps": steps}, by_alias=True, by_name=False)
    compiled = compile_plan(made)
    ways = successors(compiled)
    assert len(ways) == len(every_id(steps))
    assert compiled.start == next(iter(ways))
    for targets in ways.values():
        assert {target for target in targets if target is not None} <= set(ways)
    assert _longest(ways, compiled.start) <= len(ways)
    assert load_plan(dump_plan(compiled)) == compiled
    assert load(document(made)) == made
    assert compile_plan(load(document(made))) == compiled


def _longest(ways: dict[str, tuple[str | None, ...]], start: str) -> int:
    """Steps on the longest way from `start`; a ring would be met again while it is under way."""
    lengths: dict[str, int] = {}
    under_way: set[str] = set()

    def length(name: str | None) -> int:
        if name is None:
            return 0
        assert name not in under_way, f"{name} leads back to itself"
        if name not in lengths:
            under_way.add(name)
            lengths[name] = 1 + max((length(target) for target in ways[name]), default=0)
            under_way.discard(name)
        return lengths[name]

    return length(start)


def test_a_plan_of_a_later_version_is_read_without_what_it_added():
    later = {"start": "a", "steps": {"a": {"kind": "exit", "reason": "x", "colour": "red"}}, "shape": "round"}
    assert load_plan(later) == Plan(start="a", steps={"a": ExitRow(kind="exit", reason="x")})


EXAMPLES = sorted((Path(__file__).parents[3] / "examples").rglob("*.yaml"))
TWICE = """\
- {email: a, subject: "{{ order.external_id }}", text: "{% for p in order.products %}{{ p.name }}{% endfor %}"}
- {if: contact.id == '1', then: [exit: done]}
- {email: b, subject: "{{ order.external_id }}", text: "{% for p in order.products %}{{ p.name }}{% endfor %}"}
- {email: c, subject: "{{ order.external_id }}", text: "{% for p in order.products %}{{ p.quantity }}{% endfor %}"}
"""


def test_repetitions_are_left_out():
    known = [0, 1, 2]
    assert shorten(dump_plan(plan(TWICE))) == {
        "fields": [
            *("contact.email", "contact.language", "order.external_id"),
            *(["order.products", "name"], ["order.products", "quantity"]),
        ],
        "steps": {
            "a": {"kind": "email", "fields": [*known, 3]},
            "if-2": {
                "kind": "if",
                "condition": "contact.id == '1'",
                "then": "exit-2.then.1",
                "otherwise": "b",
                "next": None,
            },
            "exit-2.then.1": {"kind": "exit", "reason": "done", "next": None},
            "b": {"kind": "email", "fields": [*known, 3]},
            "c": {"kind": "email", "fields": [*known, 4]},
        },
    }


@pytest.mark.parametrize(
    "path", [path for path in EXAMPLES if "\nscenario:" in "\n" + path.read_text()], ids=lambda path: path.stem
)
def test_a_plan_is_restored_whole_in_whatever_order_its_steps_come(path: Path):
    made = compile_plan(scenario_of(path.read_text(), lambda name: (path.parent / name).read_text()))
    for is_sorted in (False, True):
        dumped = json.loads(json.dumps(dump_plan(made), sort_keys=is_sorted))
        restored = restore(json.loads(json.dumps(shorten(dumped))))
        assert restored == dumped
        assert list(restored["steps"]) == list(dumped["steps"])


# ---- the gear that a campaign of a scenario has, and why


def hook(name: str = "hook", body: Any = "{{ contact.id }}") -> dict[str, Any]:
    return {"webhook": name, "url": "https://hooks.example.com/", "body": {"id": body}}


EACH = {"$for": "one in contacts", "$each": "{{ one.contact.id }}"}
BATCH = hook("many", EACH) | {"batch": {"size": 2, "within": "1m"}}
BLAST = Gear("blast", "it sends one message, without a wait", "webhook", "hooks.example.com")


@pytest.mark.parametrize(
    ("more", "gear"),
    [
        ({"steps": [hook()]}, BLAST),
        ({"steps": [{"if": "contact.custom.vip", "then": [hook()], "else": [{"exit": "other"}]}]}, BLAST),
        ({"steps": [{"exit": "nothing"}]}, Gear("enter", "it has no sending steps")),
        ({"steps": [hook(), hook("second")]}, Gear("enter", "it has 2 sending steps")),
        ({"steps": [BATCH]}, Gear("enter", "many sends nothing at once")),
        ({"steps": [{"wait": "2d"}, hook()]}, Gear("enter", "its journeys may wait at wait-1")),
        ({"steps": [hook(body="{{ journey.callback_url }}")]}, Gear("enter", "hook names journey.callback_url")),
        ({"steps": [hook()], "exit": [{"event": "order.placed"}]}, Gear("enter", "events may end its journeys")),
    ],
)
def test_one_message_without_a_wait_is_sent_directly(more: dict[str, Any], gear: Gear) -> None:
    made = scenario_of(json.dumps({"scenario": "sale", "trigger": "segment", **more}))
    assert gear_of(compile_plan(made)) == gear


LINES: list[Any] = [
    {"name": "a", "brand": {"label": "A", "x": 1}, "options": [{"label": "o", "x": 2}, "text", [{"label": 1}]], "x": 3},
    {"brand": None, "options": {"label": "no list"}},
    {"brand": "A", "options": None},
    "text",
    None,
    [{"name": "b", "x": 1}],
]


CASES: list[tuple[tuple[str, ...], list[Any]]] = [
    ((), [{}, {}, {}]),
    (("name",), [{"name": "a"}, {}, {}]),
    (("brand.label",), [{"brand": {"label": "A"}}, {"brand": None}, {"brand": "A"}]),
    (("brand",), [{"brand": {"label": "A", "x": 1}}, {"brand": None}, {"brand": "A"}]),
    (("options[].label",), [{"options": [{"label": "o"}, "text", [{"label": 1}]]}, {"options": {"label": "no list"}}, {"options": None}]),
    (("options[]",), [{"options": [{}, "text", [{"label": 1}]]}, {"options": {"label": "no list"}}, {"options": None}]),
]  # fmt: skip


@pytest.mark.parametrize(("names", "made"), CASES)
def test_an_object_keeps_the_fields_that_are_named_and_all_else_stays(names: tuple[str, ...], made: list[Any]) -> None:
    assert narrowed(LINES, names) == [*made, *LINES[3:]]


def test_there_are_as_many_items_as_there_were_in_their_order_and_the_data_are_left_alone() -> None:
    lines = [{"n": number, "x": 0} for number in range(50)]
    assert pick({"o": {"l": lines}}, ("o.l",), {"o.l": ("n",)}) == {"o": {"l": [{"n": number} for number in range(50)]}}
    assert lines[0] == {"n": 0, "x": 0}


@pytest.mark.parametrize("value", [{"name": "a", "x": 1}, "text", None, 7])
def test_what_turns_out_to_be_no_list_goes_along_whole(value: Any) -> None:
    assert pick({"o": {"l": value}}, ("o.l",), {"o.l": ("name",)}) == {"o": {"l": value}}


def test_a_list_on_the_way_to_a_field_goes_along_whole() -> None:
    assert pick({"o": {"l": LINES}}, ("o.l.name",), {"o.l": ("name",)}) == {"o": {"l": LINES}}


def test_without_a_word_on_items_a_plan_means_what_it_always_did() -> None:
    data = {"o": {"l": LINES, "l[]": [{"name": "literal", "x": 1}], "x": 1}}
    assert pick(data, ("o.l", "o.l[]", "o.l[].name")) == {"o": {"l": LINES, "l[]": [{"name": "literal", "x": 1}]}}


# ---- the one retry policy: how plans hold it, and what may be changed of it


def test_plans_hold_it_by_short_names_without_what_has_its_default():
    policy = RetryPolicy(
        initial_interval=1, maximum_interval=60, backoff_coefficient=2, deadline=90, maximum_attempts=4
    )
    row = dump_row(Send(kind="webhook", retry=policy))
    assert row["retry"] == {"initial": 1.0, "coefficient": 2.0, "maximum": 60.0, "deadline": 90.0, "attempts": 4}
    assert list(row["retry"]) == ["initial", "coefficient", "maximum", "deadline", "attempts"]
    assert read_row(row) == Send(kind="webhook", retry=policy)
    assert dump_row(Send(kind="webhook")) == {"kind": "webhook"}
    assert dump_row(Send(kind="webhook", retry=RetryPolicy(maximum_attempts=3)))["retry"] == {"attempts": 3}


def test_it_is_read_by_its_own_names_too_and_what_a_newer_program_adds_is_passed_over():
    row: Any = read_row({"kind": "sms", "retry": {"initial_interval": 9, "attempts": 2, "jitter": 1}})
    assert row.retry == RetryPolicy(initial_interval=9.0, maximum_attempts=2)


def test_some_of_its_values_are_changed():
    changed = RetryPolicy(deadline=60).changed_by({"attempts": 5.0, "initial": 2, "of a later version": 1.0})
    assert changed == RetryPolicy(deadline=60, maximum_attempts=5, initial_interval=2.0)
    # More than any number of JSON's holds exactly: a journey must not fail over it.
    assert RetryPolicy().changed_by({"attempts": 1e20}).maximum_attempts == 10**20


def test_what_an_author_writes_is_the_policy_and_what_was_left_out_is_not_its_own():
    written = parts.Retry(initial_interval=timedelta(minutes=1), maximum_attempts=10**400)
    assert written.policy == RetryPolicy(initial_interval=60.0, maximum_attempts=10**400)
    assert parts.Retry().policy == RetryPolicy()
    assert parts.Retry(maximum_attempts=2, deadline=timedelta(days=1)).own == {"deadline": 86_400.0, "attempts": 2.0}
    assert set(STORED) == set(parts.Retry.model_fields)


@pytest.mark.parametrize(
    ("changes", "known", "fits"),
    [
        ({}, {}, True),
        ({"initial": 7200}, {}, True),
        ({"initial": 60, "maximum": 59}, {}, False),
        ({"initial": 61}, {"maximum": 60.0}, False),
        ({"initial": 60}, {"maximum": 60.0}, True),
        ({"maximum": 4}, {"initial": 5.0, "maximum": 60.0}, False),
        ({"initial": 3, "maximum": 4}, {"initial": 5.0, "maximum": 60.0}, True),
    ],
)
def test_no_pause_is_longer_than_the_longest(changes: Any, known: Any, fits: bool):
    assert fit(changes, **known) is fits
