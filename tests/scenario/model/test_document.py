"""Scenarios are stored whole, read again as they were, and known by their content."""

from hashlib import sha256
from typing import Any, cast

import pytest

from scenario.check.check import check
from scenario.errors import ScenarioError
from scenario.model.scenario import Scenario, concise, digest, document, load, number_of, written
from scenario.plan.compile import compile_plan
from scenario.plan.plan import PlannedGoal, dump_plan, load_plan
from scenario.steps.delivery import Send

FILE = """\
scenario: post-purchase
trigger: order
entry: {again: after 30d}
steps:
  - subject: Thank you
    email: thank-you
    html: {file: mails/thank-you.html}
  - wait_for: order.delivered
    if: event.order_id == order.external_id
    for: 7d
    then: [{if: order.total_price > 20, then: [{exit: delivered}]}]
  - webhook: crm
    url: https://crm.example.com/orders
    body: {id: "{{ order.external_id }}", tags: [new, null, 1.5, true]}
    retry: {deadline: 36h}
  - wait: {until: 10:00, on: [mon]}
"""


def scenario(text: str = FILE) -> Scenario:
    checked = check(text, read=lambda _: "<p>{{ contact.firstname }}</p>")
    assert checked.scenario is not None, checked.findings
    return checked.scenario


def test_what_is_stored_is_read_as_it_was():
    stored = document(scenario())
    assert load(stored) == scenario()
    assert document(load(stored)) == stored


def by_name(data: Any) -> Any:
    """Data as a database hands it back that sorts the keys of what it stores."""
    if isinstance(data, dict):
        members = cast("dict[str, Any]", data)
        return {key: by_name(members[key]) for key in sorted(members)}
    return [by_name(item) for item in cast("list[Any]", data)] if isinstance(data, list) else data


def test_the_order_of_keys_is_neither_here_nor_there():
    stored = document(scenario())
    assert load(by_name(stored)) == load(stored)
    assert digest(by_name(stored)) == digest(stored)


def test_the_same_content_has_the_same_digest_and_any_other_has_another():
    same = FILE.replace("subject: Thank you\n    email: thank-you", "email: thank-you\n    subject: 'Thank you'")
    same = same.replace("after 30d", '"after 30d"').replace("36h", "1d12h").replace("order\n", "order # !\n", 1)
    digests = {digest(document(scenario(text))) for text in (FILE, same)}
    assert len(digests) == 1
    assert digests != {digest(document(scenario(FILE.replace("Thank you", "Thank you!"))))}
    assert digests != {digest(document(scenario(FILE.replace("tags: [new, null", "tags: [null, new"))))}


def test_a_digest_is_the_same_in_every_process():
    assert digest({"b": [1, "é"], "a": None}) == sha256('{"a":null,"b":[1,"é"]}'.encode()).hexdigest()


@pytest.mark.parametrize("broken", [{}, {"steps": 1}, {"steps": [1]}, {"scenario": "a", "later": True}])
def test_what_is_no_document_is_refused_readably(broken: dict[str, Any]):
    with pytest.raises(ScenarioError, match="this is not a scenario that this version can read"):
        load(broken)


def test_what_was_published_before_the_language_grew_is_the_same_version_still():
    """The digest that the first version of the language gave: whoever publishes the file again gets the same number."""
    stored = document(scenario())
    assert digest(stored) == "069e66bd875260e94a232afd439b878b65c9aef59c84761b9727ed5d4001a32c"
    assert set(stored["steps"][2]) == {
        "webhook", "id", "retry", "timeout", "on_failure", "url", "method", "headers", "body", "on_unknown"
    }  # fmt: skip


DESTINATION = """\
scenario: a
trigger: order
steps:
  - webhook: whatsapp
    to: wax
    path: /messages/{{ order.external_id }}
    content: form
    body: {phone: "{{ contact.cellphone }}"}
    save: {as: whatsapp, schema: {properties: {id: {enum: [a, null]}}}}
"""


def test_a_step_with_a_destination_is_stored_with_what_it_says_itself():
    (step,) = document(scenario(DESTINATION))["steps"]
    assert step == {
        "webhook": "whatsapp",
        "id": None,
        "retry": {},
        "on_failure": "hold",
        "to": "wax",
        "path": "/messages/{{ order.external_id }}",
        "method": "POST",
        "headers": {},
        "content": "form",
        "body": {"phone": "{{ contact.cellphone }}"},
        "save": {"as": "whatsapp", "when": "json", "schema": {"properties": {"id": {"enum": ["a", None]}}}},
        "on_unknown": "retry",
    }


SAID = (
    ("", ()),
    ("timeout: 15s", ("timeout",)),
    ("timeout: 20s", ("timeout",)),
    ("retry: {}", ()),
    ("retry: {deadline: 3d}", ("deadline",)),
    ("retry: {maximum_attempts: 0, backoff_coefficient: 2}", ("attempts", "coefficient")),
    ("retry: {initial_interval: 1s, maximum_interval: 1h}\n    timeout: 1s", ("initial", "maximum", "timeout")),
)


@pytest.mark.parametrize(("keys", "own"), SAID)
def test_what_a_step_says_itself_is_known_before_and_after_storing(keys: str, own: tuple[str, ...]):
    made = scenario(f"{DESTINATION}    {keys}\n")
    plan = compile_plan(made)
    (step,) = plan.steps.values()
    assert isinstance(step, Send)
    assert (step.to, step.destination, step.save, step.own_settings) == ("wax", True, "whatsapp", own)
    for again in (load(document(made)), load(by_name(document(made)))):
        assert again == made
        assert document(again) == document(made)
        assert compile_plan(again) == plan
    assert load_plan(dump_plan(plan)) == plan


def test_where_no_destination_has_a_say_a_plan_does_not_tell():
    (step,) = compile_plan(scenario(DESTINATION.replace("to: wax", "url: https://wax.example/").replace(
        "    path: /messages/{{ order.external_id }}\n", "    timeout: 20s\n    retry: {deadline: 1d}\n"
    ))).steps.values()  # fmt: skip
    assert isinstance(step, Send)
    assert (step.to, step.destination, step.own_settings, step.timeout, step.retry.deadline) == (
        "wax.example", False, (), 20.0, 86_400.0
    )  # fmt: skip


TRICKY = """\
scenario: tricky
trigger: order
steps:
  - webhook: crm
    to: crm
    retry: {deadline: 3d}
    body: {a: "1e5", b: "0o17", c: null, d: "~", e: "on", f: "no", g: " x\\ny ", h: "", i: "\\u2028\\n-", j: .5}
  - split: {b: 60, a: 40}
    branches: {a: [], b: [{exit: b}]}
  - wait: {until: "10:00", on: [mon]}
"""


@pytest.mark.parametrize("text", [FILE, TRICKY])
def test_a_stored_scenario_is_written_as_a_short_file_that_means_the_same(text: str) -> None:
    stored = document(scenario(text))
    file = written(concise(stored))
    assert document(scenario(file)) == stored
    assert len(file) < 800


# ---- the value of a goal is a decimal number, whatever it comes as


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (12, "12"), (12.5, "12.5"), ("49.90", "49.9"), (" 3 ", "3"), ("1e3", "1000"), ("-2", "-2"), (-0.0, "0"),
        ("0.1234567", "0.123457"), ("1e-999999", "0"), ("1e12", None), ("1e999999999", None), ("nan", None),
        (float("inf"), None), ("49,90", None), ("", None), (True, None), (None, None), ([1], None),
    ],
)  # fmt: skip
def test_a_number_is_read_from_a_number_or_its_text(value: object, number: str | None):
    found = number_of(value)
    assert (None if found is None else format(found, "f")) == number


def test_a_plan_knows_the_event_and_how_long_it_counts():
    text = "scenario: a\ntrigger: order\ngoal: {event: order.placed, within: 14d, value: 25}\nsteps:\n- exit: a\n"
    checked = check(text).scenario
    assert checked is not None
    written = document(checked)
    assert written["goal"] == {"event": "order.placed", "if": None, "within": "14d", "value": "25"}
    assert load(written) == checked
    plan = load_plan(dump_plan(compile_plan(checked)))
    assert plan.goal == PlannedGoal(event="order.placed", within=14 * 86_400.0)
    assert plan.events == {"order.placed"}


def test_a_scenario_without_one_is_stored_as_it_always_was():
    checked = check("scenario: a\ntrigger: order\nsteps:\n- exit: a\n").scenario
    assert checked is not None
    assert "goal" not in document(checked)
    assert dump_plan(compile_plan(checked)).keys() == {"start", "steps"}
