"""Cases do what they expect. `tests/e2e/test_cases.py` also runs each as a journey on a server."""

import json
from pathlib import Path

import pytest

from gateway.cases.run import run
from scenario.source.source import Source
from scenario.steps.registry import KINDS
from tests.gateway.cases.conftest import AROUND, TOP, Make, differences

HOOK = """
- webhook: hook
  url: https://h.example/
  body: {}
  retry: {initial_interval: 10s, backoff_coefficient: 2, deadline: 1h}
"""
CASES = {
    name: (json.dumps(case.pop("steps")), json.dumps(case))
    for name, case in Source(Path(__file__).with_name("steps.yaml").read_text("utf-8")).data.items()
}
"""The steps and the case of each small scenario in `steps.yaml`, in JSON, which is YAML."""
DATED = "{until: '{{ contact.custom.date }}', offset: OFFSET}"
HEAD = "trigger: birthday\nexit: [{event: stop, if: event.n == 2}]\n"


@pytest.mark.parametrize("name", CASES)
def test_all_is_as_expected(made: Make, name: str) -> None:
    steps, case = CASES[name]
    cases = made(steps, case, head=HEAD)
    assert differences(cases) == {"one": []}


def test_every_kind_of_step_has_a_case() -> None:
    written = " ".join(steps for steps, _ in CASES.values())
    assert [kind for kind in KINDS if f'"{kind}": ' not in written] == []


@pytest.mark.parametrize(
    ("wait", "contact", "start", "end"),
    [
        # A Tuesday in Tokyo is a Tuesday there, while it is still Monday in Paris.
        ("{until: '08:00', on: [tue]}", "{timezone: Asia/Tokyo}", "2027-03-01T23:30", "Tue 2027-03-02 08:00 JST"),
        # Dates of the contact, across a change of the clocks, and one that is past.
        (DATED.replace("OFFSET", "-3d"), "{custom: {date: '2027-03-29 09:00:00'}}", "2027-03-01T12:00",
         "Fri 2027-03-26 09:00 CET"),
        (DATED.replace("OFFSET", "0s"), "{custom: {date: '2026-03-29 09:00:00'}}", "2027-03-01T12:00",
         "Mon 2027-03-01 12:00 CET"),
        # Dates of the scenario.
        ("{until: 2027-03-27}", "{}", "2027-03-26T12:00", "Sat 2027-03-27 00:00 CET"),
        ("{until: 2027-03-31T09:00, offset: -2d}", "{}", "2027-03-26T12:00", "Mon 2027-03-29 09:00 CEST"),
        ("{until: 2027-03-29T09:00:30+01:00}", "{}", "2027-03-26T12:00", "Mon 2027-03-29 10:00 CEST"),
        ("0s", "{}", "2027-03-26T12:00", "Fri 2027-03-26 12:00 CET"),
        ("33d", "{}", "2027-03-26T12:00", "Wed 2027-04-28 13:00 CEST"),
    ],
)  # fmt: skip
def test_a_wait_ends_at_a_local_time(made: Make, wait: str, contact: str, start: str, end: str) -> None:
    cases = made(f"- wait: {wait}", f"with: {{contact: {contact}}}\nat: {start}\nexpect: {{ends: finished}}")
    (waited,) = run(cases, "one", AROUND).steps
    assert (waited.outcome, f"{waited.at:%a %Y-%m-%d %H:%M %Z}") == ("waited", end)


@pytest.mark.parametrize(
    ("operation", "why"),
    [
        ("{after: 1h, retry: wait-1}", "nothing to retry: the journey is not held"),
        ("{after: 1h, resume: x}", "the journey is not paused"),
        ("{after: 1h, skip: exit-2}", "the journey is not at step 'exit-2', but at 'wait-1'"),
        ("{after: 5d, leave: x}", "the journey is over"),
        ("{at: 2026-03-02T08:59, leave: x}", "this is before the contact comes in"),
    ],
)
def test_an_operation_that_is_not_accepted_fails_the_case(made: Make, operation: str, why: str) -> None:
    cases = made("- {wait: 2d}\n- {exit: done}", f"operations: [{operation}]\nexpect: {{ends: exited}}")
    (found,) = differences(cases)["one"]
    assert (found.place, found.got) == (("operations", 0), why)


def test_a_delivery_without_an_end_is_told(made: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.cases.run._MOST", 1_000)
    steps = HOOK.replace("10s", "0.1s").replace("2, deadline: 1h", "1, deadline: 9d")
    cases = made(steps, "answers: {hook: [{status: 503, times: always}]}\nexpect: {ends: held}")
    (found,) = differences(cases)["one"]
    assert found.got.startswith("step 'hook' is attempted more than 1,000 times")


def test_what_expires_between_two_attempts_gives_its_place_back(made: Make, tmp_path: Path) -> None:
    (tmp_path / "policies.yaml").write_text("caps: [{name: one, channels: [webhook], at_most: 1, per: 7d}]\n", "utf-8")
    cases = made(
        HOOK.rstrip() + "\n  expires: 5m\n" + HOOK.strip().replace(": hook", ": second"),
        """
        answers: {hook: [{status: 503, times: always}]}
        expect:
          steps:
            - {webhook: hook, outcome: skipped, reason: {contains: expired}}
            - {webhook: second, outcome: delivered}
        """,
        top="policies: policies.yaml\n" + TOP.strip(),
    )
    assert differences(cases) == {"one": []}


def test_a_malformed_entry_is_told(made: Make) -> None:
    cases = made(HOOK, "with: {contact: {id: null}}\nexpect: {ends: held}")
    (found,) = differences(cases)["one"]
    assert found.got.startswith("the contact has no id")


BATCH = """
- webhook: crm
  url: https://crm.example/people
  batch: {size: 9, within: 10m, wait: WAIT, results: {list: results, id: id, status: code, reason: why}}
  body: {ids: {$for: person in contacts, $each: "{{ person.contact.id }}"}}
- exit: done
"""


@pytest.mark.parametrize(
    ("wait", "answers", "steps"),
    [
        ("false", "[{status: 500, times: always}]", "[{webhook: crm, outcome: batched, at: '2026-03-02 09:00'}]"),
        (
            "true",
            "[{status: 503}, {status: 207, body: {results: [{id: '7', code: 429}]}}, "
            "{status: 207, body: {results: [{id: '7', code: 200}]}}]",
            "[{webhook: crm, outcome: delivered, attempts: 3, at: '2026-03-02 09:10', status: 207}]",
        ),
        (
            "true",
            "[{status: 207, body: {results: [{id: '7', code: 404, why: no such person}]}}]",
            "[{webhook: crm, outcome: held, status: 207, reason: \"crm.example refused this contact's item of a batch: "
            'no such person"}]',
        ),
        ("true", "[{status: 200, body: hello}]", "[{webhook: crm, outcome: held}]"),
    ],
)
def test_a_contact_alone_in_its_batch_waits_for_the_receivers_word_about_it(
    made: Make, wait: str, answers: str, steps: str
) -> None:
    ends = "held" if "held" in steps else "exited"
    cases = made(
        BATCH.replace("WAIT", wait),
        f"answers: {{crm: {answers}}}\nexpect: {{steps: {steps}, ends: {ends}}}",
    )
    assert differences(cases) == {"one": []}
