"""Scenarios are stored whole, read again as they were, and known by their content."""

import json
from hashlib import sha256
from typing import Any, cast

import pytest

from scenario.check import check
from scenario.document import digest, document, load
from scenario.errors import ScenarioError
from scenario.model import Scenario

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
    then:
      - if: order.total_price > 20
        then: [{exit: delivered}]
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


def test_a_document_is_json_with_everything_written_out():
    stored = document(scenario())

    assert json.loads(json.dumps(stored)) == stored
    assert stored["entry"] == {"key": None, "again": "after 30d", "if": None}
    assert stored["timezone"] == "UTC"
    assert stored["steps"][0] == {
        "email": "thank-you",
        "id": None,
        "retry": {
            "initial_interval": "5s",
            "backoff_coefficient": 3.0,
            "maximum_interval": "6h",
            "deadline": "3d",
            "maximum_attempts": 0,
        },
        "timeout": "15s",
        "on_failure": "hold",
        "subject": "Thank you",
        "html": "<p>{{ contact.firstname }}</p>",
        "text": None,
        "on_unknown": "retry",
    }
    assert stored["steps"][2]["retry"]["deadline"] == "1d12h"
    assert stored["steps"][2]["body"] == {"id": "{{ order.external_id }}", "tags": ["new", None, 1.5, True]}


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
    with pytest.raises(ScenarioError, match="this is no scenario that this version can read"):
        load(broken)
