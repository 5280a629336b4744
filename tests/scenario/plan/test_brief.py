"""The plan as a history holds it is the same plan, and shorter."""

import json
from pathlib import Path
from typing import Any

import pytest

from scenario.check.check import check
from scenario.plan.compile import compile_plan
from scenario.plan.plan import dump_plan, restore, shorten

FOLDER = Path(__file__).parents[3] / "examples"
EXAMPLES = sorted(path for path in FOLDER.rglob("*.yaml") if "\nscenario:" in "\n" + path.read_text())
TEXT = """\
scenario: a
trigger: order
steps:
- email: a
  subject: "{{ order.external_id }}"
  text: "{% for p in order.products %}{{ p.name }}{% endfor %}"
- if: contact.id == '1'
  then: [exit: done]
- email: b
  subject: "{{ order.external_id }}"
  text: "{% for p in order.products %}{{ p.name }}{% endfor %}"
- email: c
  subject: "{{ order.external_id }}"
  text: "{% for p in order.products %}{{ p.quantity }}{% endfor %}"
"""


def plan_of(text: str, folder: Path = FOLDER) -> dict[str, Any]:
    made = check(text, read=lambda name: (folder / name).read_text()).scenario
    assert made is not None
    return dump_plan(compile_plan(made))


def test_repetitions_are_left_out() -> None:
    known = [0, 1, 2]
    assert shorten(plan_of(TEXT)) == {
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


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_a_plan_is_restored_whole_in_whatever_order_its_steps_come(path: Path) -> None:
    made = plan_of(path.read_text(), path.parent)
    for is_sorted in (False, True):
        plan = json.loads(json.dumps(made, sort_keys=is_sorted))
        short = json.loads(json.dumps(shorten(plan)))
        assert restore(short) == plan
        assert list(restore(short)["steps"]) == list(plan["steps"])
