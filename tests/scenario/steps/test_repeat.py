# ruff: noqa: E501 - findings are asserted as they are printed
"""The step `repeat`: what is wrong with one, what is known in its rounds, what a plan has of it."""

import pytest

from scenario.check.check import check
from scenario.model.document import document, load
from scenario.plan.compile import compile_plan
from scenario.plan.plan import dump_plan, load_plan
from scenario.steps.repeat import RepeatRow

HEAD = "scenario: s\ntrigger: order\nsteps:\n"
HOOK = "webhook: poll, url: 'https://a.example.com/', body: {n: '{{ responses.poll.n }}'}, save: {as: poll}"

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
    ("- repeat: {every: 7d, times: 3, until: {event: a}}\n  steps: [{wait: 1d}]\n- sms: a\n  text: '{{ event.x }}'", "7:13: warning may-be-missing: "),
    ("- repeat: {every: 7d, times: 3}\n  steps: [{wait_for: a, for: 1d}]", "5:22: warning at-once: in a later round, an earlier round's event meets this wait immediately: add 'since: now'"),
    ("- repeat: {every: 7d, times: 3}\n  steps: [{wait_for: a, for: 1d, since: now}]", None),
    ("- repeat: {every: 7d, times: 3, until: event.name == 'a'}\n  steps: [{wait_for: a, for: 1d}]", None),
    ("- repeat: {every: 7d, times: 101}\n  steps:\n    - repeat: {every: 1d, times: 100}\n      steps: [{wait: 1h}]", "6:15: error too-many: with the repetitions around it, this makes 10,100 rounds: 10,000 is the most"),
    ("- repeat: {every: 7d, times: 3, until: {event: a}}\n  steps: [{wait: 1d}]\n- repeat: {every: 7d, times: 3, until: {event: a}}\n  steps: [{wait: 1d}]", None),
)  # fmt: skip


@pytest.mark.parametrize(("steps", "report"), WRONG)
def test_what_is_wrong_with_a_repetition_is_said(steps: str, report: str | None):
    found = [
        str(one).removeprefix("scenario.yaml:") for one in check(HEAD + steps + "\n").findings if one.code != "secret"
    ]
    assert len(found) == (1 if report else 0), found
    assert all(one.startswith(report or "") for one in found)


def test_an_entry_has_no_repeat_but_an_again():
    found = check("scenario: s\ntrigger: order\nentry: {repeat: always}\nsteps: [{wait: 1d}]\n").findings
    assert [one.message for one in found] == ["unknown key 'repeat': did you mean 'again'?"]


def test_a_plan_leads_from_a_rounds_end_back_to_its_beginning():
    text = HEAD + (
        "- repeat: {every: 1d12h, times: 3, until: {event: a, if: event.x}}\n"
        "  steps: [{wait: 1h}, {repeat: {every: 1h, times: 2}, steps: [{sms: s, text: t}]}]\n- exit: done\n"
    )
    made = check(text).scenario
    assert made is not None
    plan = load_plan(dump_plan(compile_plan(made)))
    outer, inner = plan.steps["repeat-1"], plan.steps["repeat-1.round.2"]
    assert isinstance(outer, RepeatRow)
    assert dict(outer.ways) == {"round": "wait-1.round.1", "end": "exit-2"}
    assert dict(inner.ways) == {"round": "s", "end": "repeat-1"}
    assert (plan.steps["wait-1.round.1"].successors, plan.steps["s"].successors) == (
        ("repeat-1.round.2",),
        ("repeat-1.round.2",),
    )
    assert outer.describe() == "repeat every 1d12h, 3 times at most, until a"
    assert (outer.skipped_to, plan.events) == ("exit-2", {"a"})
    assert load(dict(sorted(document(made).items()))) == made
