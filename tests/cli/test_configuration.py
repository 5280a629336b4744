"""`scenario destinations` and `scenario policies`, and what other commands make of the same files."""

import json
from pathlib import Path

import pytest

from runtime.settings import Settings
from tests.cli.conftest import Run
from tests.cli.test_printed import DESTINATIONS, POLICIES, SIGNING
from tests.fakes import Ran

TOLD = """scenario: told
trigger: order
steps:
  - webhook: told
    to: waxx
    path: /messages
    body: {a: 1}
"""
LATE = """
scenario: late
trigger: segment
timezone: Europe/Paris
steps:
  - wait: {until: "22:00"}
  - sms: hi
    text: hi
  - sms: again
    text: hi
"""
ENTRY = '{"scenario": "late", "contact": {"id": 7, "cellphone": "+33612345678"}, "trigger": {"type": "segment"}}'


@pytest.fixture(autouse=True)
def files(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two scenarios, and a file of destinations and one of policies for them."""
    for name in ("DESTINATIONS", "POLICIES", "SECRETS_DIR"):
        monkeypatch.delenv(f"SCENARIO_{name}", raising=False)
    given = {"destinations": DESTINATIONS, "policies": POLICIES, "told": TOLD, "late": LATE, "entry": ENTRY}
    for name, text in given.items():
        (tmp_path / f"{name}.yaml").write_text(text)


def test_a_secret_that_is_too_short_is_named(run: Run, monkeypatch: pytest.MonkeyPatch):
    for name, value in {"TOKEN": "sh0rt", "NEW": SIGNING, "OLD": SIGNING, "OTHER": "0ther"}.items():
        monkeypatch.setenv(f"SCENARIO_SECRET_{name}", value)
    ran = run("destinations", "destinations.yaml")
    assert ran.err == (
        "TOKEN: shorter than 8 characters, and masked in responses only as a separate word; use a longer secret\n"
    )
    assert "sh0rt" not in ran.out


def test_check_finds_a_destination_that_is_not_in_the_file(run: Run, monkeypatch: pytest.MonkeyPatch):
    unknown = "told.yaml:5:9: error unknown-destination: there is no destination 'waxx': did you mean 'wax'?\n"
    assert run("check", "told.yaml", "--destinations", "destinations.yaml").out == unknown
    for name, found in (("destinations.yaml", unknown), ("", "")):
        monkeypatch.setenv("SCENARIO_DESTINATIONS", name)
        assert run("check", "told.yaml").out == found


def test_check_says_where_the_file_of_destinations_is_wrong(run: Run):
    Path("destinations.yaml").write_text("destinations: {wax: {}}\n")
    ran = run("check", "told.yaml", "--destinations", "destinations.yaml")
    assert ran == Ran(1, "", "scenario: destinations.yaml:1: 'url' is missing here\n")
    ran = run("destinations", "destinations.yaml")
    assert (ran.status, ran.out.startswith("destinations.yaml:1:")) == (1, True)


@pytest.mark.parametrize("command", ["check", "publish", "preview"])
def test_a_secret_that_may_not_go_there_stands_in_the_way(run: Run, command: str):
    more = ("--random", "1") if command == "preview" else ()
    given = TOLD.replace("waxx", "wax").replace("a: 1", "a: '{{ secrets.ACCOUNT }}{{ secrets.TOKEN }}'")
    Path("told.yaml").write_text(given)
    ran = run(command, "told.yaml", "--destinations", "destinations.yaml", *more)
    assert (ran.status, Path(".scenario").exists()) == (1, False)
    assert (ran.out + ran.err).startswith(
        "told.yaml:7:48: error secret: the secret TOKEN may not go to destination 'wax': "
        "list it under its 'secrets' in destinations.yaml\n"
    )


@pytest.mark.parametrize(
    ("was", "now", "told"),
    [
        ("at_most: 4", "at_mostt: 4", "6:18: error unknown-key: unknown key 'at_mostt': did you mean 'at_most'?"),
        ("name: week", "name: sms-a-day", "5:3: error value: two caps are called 'sms-a-day': give each a different"),
        ("- {name: week,", "- {name: week, channels: sms,", "6:28: error type: 'channels' must be a list: write [sms]"),
        ("share: 5", "share: 500", "3:18: error value: "),
        ("2026-q4", "x" * 201, "3:27: error value: 'seed' is longer than 200 characters"),
        ("caps:", "---", "4:1: error syntax: there is content after '---': put everything before it"),
    ],
)
def test_what_is_wrong_is_told_at_its_place(run: Run, was: str, now: str, told: str):
    Path("policies.yaml").write_text(POLICIES.replace(was, now))
    ran = run("policies", "policies.yaml")
    assert ran.status == 1
    assert any(line.startswith(f"policies.yaml:{told}") for line in ran.out.splitlines()), ran.out


def test_names_are_checked_where_destinations_are_known(run: Run):
    names = ("policies.yaml", "--destinations", "destinations.yaml")
    assert run("policies", *names).status == 0
    Path("policies.yaml").write_text(POLICIES.replace("wax", "waxx"))
    said = "'waxx' is neither a channel nor a destination: did you mean 'wax'?"
    assert said in run("policies", *names).out


def test_a_message_at_night_is_no_finding_where_all_scenarios_have_quiet_hours(run: Run):
    assert "at-night" in run("check", "late.yaml").out
    assert run("check", "late.yaml", "--policies", "policies.yaml").out == ""


def test_a_preview_shows_when_a_message_would_leave(run: Run):
    shown = ("preview", "late.yaml", "--entry", "entry.yaml", "--at", "2026-03-02T12:00", "--format", "json")
    first, second = json.loads(run(*shown, "--policies", "policies.yaml").out)["steps"][1:]
    assert first["note"].startswith("kept back until Tue 2026-03-03 08:")
    assert first["note"].endswith("Europe/Paris: quiet hours")
    assert (second["outcome"], second["reason"]) == ("skipped", "capped by sms-a-day: 1 a day, next Wed 00:00")
    assert ["note" in step for step in json.loads(run(*shown).out)["steps"]] == [False, False, False]


def test_cases_are_run_with_them(run: Run):
    top = "entry: entry.yaml\nat: 2026-03-02T12:00\ncases:"
    cases = Path("late.test.yaml")
    cases.write_text(
        f"{top}\n  night:\n    expect: {{steps: [{{sms: hi}}, {{sms: again, outcome: skipped}}]}}\n"
        "  other:\n    sent: [{by: sms, before: 1h}, {by: wax, after: 2h}]\n    suppressed: {sms: unsub}\n"
        "    expect: {steps: [{sms: hi, outcome: skipped}, {sms: again, outcome: skipped}]}\n"
    )
    assert run("test", "late.yaml", "--policies", "policies.yaml").status == 0
    assert run("test", "late.yaml").status == 1
    cases.write_text(f"policies: none.yaml\n{top} {{a: {{suppressed: {{sms: unsubs}}}}}}\n")
    assert "none.yaml cannot be read: name the policies' file under 'policies'" in run("test", "late.yaml").err
    cases.write_text(f"policies: policies.yaml\n{top} {{a: {{suppressed: {{sms: fbl, x: y}}}}}}\n")
    told = run("test", "late.yaml").err
    assert "'fbl' is not why an address of sms is suppressed" in told
    assert "'x' is not a channel that writes to addresses" in told


def test_commands_that_need_no_policies_go_on_without_their_file(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SCENARIO_POLICIES", "gone.yaml")
    assert Settings().policies == Path("gone.yaml")
    assert run("suppress", "--list").err.startswith("scenario: there is no store")
    assert "gone.yaml cannot be read" in run("check", "late.yaml").err
