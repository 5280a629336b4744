"""The gear that a campaign of a scenario has, and why."""

import json
from typing import Any

import pytest

from scenario.plan.compile import compile_plan
from scenario.plan.gear import Gear, gear_of
from tests.scenarios import scenario_of


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
