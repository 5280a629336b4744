"""Subscriptions to outgoing events on the command line."""

from __future__ import annotations

from tests.gateway.cli.conftest import Run, Stored
from tests.gateway.service.test_outgoing import held


def test_operations_on_held_events_name_the_operator_and_a_reason(run: Run, stored: Stored):
    first, _ = stored(lambda store: held(store, "7", "8"))
    assert "--reason" in run("outgoing", "retry", "crm").err
    why = ("--reason", "it is repaired", "--operator", "ann")
    assert run("outgoing", "skip", "crm", "--event", first, *why).out == "1 event skipped\n"
    assert run("outgoing", "retry", "crm", *why).out == "1 event sent again\n"
    assert run("outgoing", "replay", "crm", "--after", "0", *why).out.startswith("crm gets the last 2 events")
    assert run("outgoing", "list", "--format", "json").json[0]["behind"] == 2
    assert run("outgoing", "forget", "crm", *why).out == "crm is forgotten, with 2 pending events\n"
    found = stored(lambda store: store.stored_operations())
    assert [(one.verb, one.operator) for one in found] == [
        (verb, "ann (terminal)") for verb in ("forget", "replay", "retry", "skip")
    ]
