"""The command `policies`, and what `check`, `preview` and `test` make of the same file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runtime.settings import Settings
from tests.fakes import Ran
from tests.gateway.cli.conftest import Run

GOOD = """
quiet_hours: {from: "21:00", to: "08:00", days_off: [sun, FR], channels: [sms, wax], spread: 15m}
holdout: {share: 5, seed: 2026-q4}
caps:
  - {name: sms-a-day, channels: [sms], at_most: 1, per: day}
  - {name: week, at_most: 4, per: 7d}
"""
SCENARIO = """
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


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("SCENARIO_DESTINATIONS", "SCENARIO_POLICIES"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "policies.yaml"
    path.write_text(GOOD)
    (tmp_path / "late.yaml").write_text(SCENARIO)
    (tmp_path / "entry.json").write_text(ENTRY)
    return path


def test_what_holds_is_listed(run: Run, file: Path):
    assert run("policies", file) == Ran(
        0,
        "quiet hours  21:00 to 08:00, not on sun, FR, for sms, wax\n"
        "holdout      5 % of all contacts get no marketing, drawn by 2026-q4\n"
        "cap          sms-a-day: 1 a day, sms\n"
        "cap          week: 4 in 7d, all messages\n",
        "",
    )
    told = json.loads(run("policies", file, "--format", "json").out)
    assert [cap["name"] for cap in told["policies"]["caps"]] == ["sms-a-day", "week"]
    file.write_text("caps: []")
    assert run("policies", file) == Ran(0, "", "nothing is set: no quiet hours, no holdout, no caps\n")


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
def test_what_is_wrong_is_told_at_its_place(run: Run, file: Path, was: str, now: str, told: str):
    file.write_text(GOOD.replace(was, now))
    ran = run("policies", file)
    assert ran.status == 1
    assert any(line.startswith(f"{file}:{told}") for line in ran.out.splitlines()), ran.out


def test_names_are_checked_where_destinations_are_known(run: Run, file: Path, tmp_path: Path):
    book = tmp_path / "destinations.yaml"
    book.write_text("destinations: {wax: {url: https://wax.example}}")
    assert run("policies", file, "--destinations", book).status == 0
    file.write_text(GOOD.replace("wax", "waxx"))
    assert (
        "'waxx' is neither a channel nor a destination: did you mean 'wax'?"
        in run("policies", file, "--destinations", book).out
    )


def test_a_message_at_night_is_no_finding_where_all_scenarios_have_quiet_hours(run: Run, file: Path):
    assert "at-night" in run("check", "late.yaml").out
    assert run("check", "late.yaml", "--policies", file).out == ""


def test_a_preview_shows_when_a_message_would_leave(run: Run, file: Path):
    shown = ("preview", "late.yaml", "--entry", "entry.json", "--at", "2026-03-02T12:00", "--format", "json")
    first, second = json.loads(run(*shown, "--policies", file).out)["steps"][1:]
    assert first["note"].startswith("kept back until Tue 2026-03-03 08:")
    assert first["note"].endswith("Europe/Paris: quiet hours")
    assert (second["outcome"], second["reason"]) == ("skipped", "capped by sms-a-day: 1 a day, next Wed 00:00")
    assert ["note" in step for step in json.loads(run(*shown).out)["steps"]] == [False, False, False]


def test_cases_are_run_with_them(run: Run, file: Path, tmp_path: Path):
    (tmp_path / "late.test.yaml").write_text(
        "entry: entry.json\nat: 2026-03-02T12:00\ncases:\n"
        "  night:\n    expect: {steps: [{sms: hi}, {sms: again, outcome: skipped}]}\n"
        "  other:\n    sent: [{by: sms, before: 1h}, {by: wax, after: 2h}]\n    suppressed: {sms: unsub}\n"
        "    expect: {steps: [{sms: hi, outcome: skipped}, {sms: again, outcome: skipped}]}\n"
    )
    assert run("test", "late.yaml", "--policies", file).status == 0
    assert run("test", "late.yaml").status == 1
    (tmp_path / "late.test.yaml").write_text(
        "policies: none.yaml\nentry: entry.json\nat: 2026-03-02T12:00\ncases: {a: {suppressed: {sms: unsubs}}}\n"
    )
    assert "none.yaml cannot be read: name the policies' file under 'policies'" in run("test", "late.yaml").err
    (tmp_path / "late.test.yaml").write_text(
        "policies: policies.yaml\nentry: entry.json\nat: 2026-03-02T12:00\ncases: {a: {suppressed: {sms: fbl, x: y}}}\n"
    )
    told = run("test", "late.yaml").err
    assert "'fbl' is not why an address of sms is suppressed" in told
    assert "'x' is not a channel that writes to addresses" in told


def test_commands_that_need_no_policies_go_on_without_their_file(run: Run, file: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SCENARIO_POLICIES", "gone.yaml")
    assert Settings().policies == Path("gone.yaml")
    assert run("suppress", "--list").err.startswith("scenario: there is no store")
    assert "gone.yaml cannot be read" in run("check", "late.yaml").err
