"""What a step that an operator takes from another version keeps of its own: where the journey goes on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scenario.check.check import check
from scenario.plan.compile import compile_plan
from scenario.steps.base import Row

HOOK = "webhook: step\n    url: https://a.example.com/\n    body: {n: 1}"
# A step, the same of another version, and what of that one is used.
STEPS = {
    "wait": ("wait: 1d", "wait: 2d", {"seconds": 172_800.0}),
    "sms": ("sms: step\n    text: a", "sms: step\n    text: a\n    on_unknown: continue", {"on_unknown": "continue"}),
    "saves": (f"{HOOK}\n    save: {{as: old}}", f"{HOOK}\n    save: {{as: new}}\n    timeout: 3s", {"timeout": 3.0}),
    "saves at last": (HOOK, f"{HOOK}\n    save: {{as: new}}", {"save": "new"}),
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
    checked = check(f"scenario: s\ntrigger: order\nsteps:\n  - {named}\n  - {following}\n")
    assert checked.scenario is not None, checked.findings
    return compile_plan(checked.scenario).steps["step"]


@pytest.mark.parametrize("name", STEPS)
def test_a_step_of_another_version_goes_on_in_the_plan_of_its_own(name: str) -> None:
    old, new, changed = STEPS[name]
    own = row(old, "wait: 1h")
    assert own.instead(row(new, "exit: done")) == replace(own, **changed)
    assert own.instead(row("wait_for: a.b\n    for: 1d", "exit: done")) == own
