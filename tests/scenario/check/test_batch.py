"""Batch calls: their mistakes, and the data that they take along of each contact."""

from typing import Any

import pytest

from scenario.check.check import check
from scenario.model.document import document, load
from scenario.plan.compile import compile_plan
from scenario.steps.delivery import Batching, Send

SCENARIO = """
scenario: sync
trigger: order
steps:
  - webhook: crm
    url: https://crm.example.com/people
    batch: {size: 500, within: 5m, wait: true, results: {list: failures, id: id}}
    body:
      people: {$for: person in contacts, $each: {id: "{{ person.contact.id }}", for: "{{ person.order.total_price }}"}}
"""
ALONE = "    body:\n"
MISTAKES: list[tuple[str, str, str]] = [
    ("size: 500", "size: 10001", "7:19: error value: 'size' must be 10000 or less"),
    ("5m", "0.5s", "7:32: error value: 'within' must be from 1s to 1d"),
    ("5m", "25h", "7:32: error value: 'within' must be from 1s to 1d"),
    ("size: 500, ", "", "7:5: error missing: 'batch' needs 'size'"),
    ("list:", "lists:", "7:58: error unknown-key: unknown key 'lists': did you mean 'list'?"),
    ("id: id", "ok: [1]", "7:57: error value: 'ok' goes with 'status'"),
    (ALONE, "    save: {as: answer}\n    body:\n", "8:5: error incomplete: a batch call has no 'save'"),
    (ALONE, "    content: form\n    body:\n", "8:14: error batch: a batch call is written as json or text"),
    ("person in contacts", "person in (1..3)", "8:5: error batch: a batch call's body loops over 'contacts'"),
    ("person.contact.id", "contact.id", "'contact' is there only under each item of 'contacts' in a batch call"),
    ("person.order.", "person.ordre.", "'person' has no field 'ordre': did you mean 'order'?"),
    ("/people", "/{{ contact.id }}", "'contact' is there only under each item of 'contacts' in a batch call"),
    ("wait: true", "wait: maybe", "7:42: error type: 'wait' must be true or false"),
    ("wait: true", "key: contact.", "'contact.' is not a field: write names joined by '.', such as error.code"),
    ("wait: true", "key: contact.emial", "has no field 'emial': did you mean 'email'?"),
]


@pytest.mark.parametrize(("written", "instead", "said"), MISTAKES)
def test_a_mistake_is_reported_where_it_is(written: str, instead: str, said: str) -> None:
    assert written in SCENARIO
    found = [str(one) for one in check(SCENARIO.replace(written, instead, 1), file="f").findings]
    assert any(said in one for one in found), found


NEEDED: list[tuple[str, tuple[str, ...]]] = [
    ("{{ person.contact.id }}", ("contact.id", "order.total_price")),
    ("{{ person.order.products[0].name }}", ("order.products", "order.total_price")),
    ("{{ person.trigger.order.external_id }}", ("order.external_id", "order.total_price")),
    ("{{ person.journey.callback_url }}", ("journey.callback_url", "order.total_price")),
    ("{{ contacts | size }}", ("order.total_price",)),
    (
        "{{ person | json }}",
        ("cart", "contact", "event", "journey", "order", "responses", "reward", "ticket", "trigger"),
    ),
]


@pytest.mark.parametrize(("leaf", "fields"), NEEDED)
def test_a_journey_hands_over_what_the_templates_read_of_its_contact(leaf: str, fields: tuple[str, ...]) -> None:
    made: Any = check(SCENARIO.replace("{{ person.contact.id }}", leaf), file="f").scenario
    assert made is not None
    assert load(document(made)) == made
    row = compile_plan(made).steps["crm"]
    assert isinstance(row, Send)
    assert (row.fields, row.item_fields, row.batch) == (fields, {}, Batching(within=300.0, wait=True))


def test_the_key_by_which_a_response_names_a_contact_is_handed_over() -> None:
    made: Any = check(SCENARIO.replace("wait: true", "key: contact.email"), file="f").scenario
    row = compile_plan(made).steps["crm"]
    assert isinstance(row, Send)
    assert row.fields == ("contact.email", "contact.id", "order.total_price")
