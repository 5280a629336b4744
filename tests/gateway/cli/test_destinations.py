"""`scenario destinations`, and what `check` and `publish` make of the same file."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.service.destinations import DestinationNow
from tests.fakes import Ran
from tests.gateway.cli.conftest import Client, Run

KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
TEXT = """
default: {rate: 50/s, breaker: off, public_secrets: [PUBLIC]}
destinations:
  wax:
    url: https://api.wax.example/v1/accounts/77
    headers: {Authorization: "Bearer {{ secrets.TOKEN }}"}
    secrets: [ACCOUNT]
    signing: [{key: NEW}, {key: OLD, until: 2999-01-01T00:00:00Z}, {key: GONE, until: 2020-01-01T00:00:00Z}]
    rate: 10/s
"""
SCENARIO = """scenario: told
trigger: order
steps:
  - webhook: told
    to: waxx
    path: /messages
    body: {a: 1}
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("SCENARIO_DESTINATIONS", "SCENARIO_SECRETS_DIR"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "destinations.yaml"
    path.write_text(TEXT)
    (tmp_path / "told.yaml").write_text(SCENARIO)
    return path


def test_each_destination_is_listed_with_the_state_of_its_secrets(
    run: Run, file: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SCENARIO_SECRET_NEW", KEY)
    monkeypatch.setenv("SCENARIO_SECRET_OLD", "whsec_p4ss")
    ran = run("destinations", file)
    assert ran.status == 0
    warning, head, _, wax, other = ran.out.splitlines()
    assert warning.endswith("warning expired: the key GONE expired at 2020-01-01T00:00:00+00:00: remove it")
    assert head.split() == ["destination", "host", "rate", "at", "once", "breaker", "secrets", "granted", "signing"]
    assert wax.split(None, 5) == [
        "wax", "https://api.wax.example:443", "10/s", "50", "off",
        "TOKEN (missing)   ACCOUNT (missing)   NEW, OLD (malformed), GONE (expired)",
    ]  # fmt: skip
    assert other.split() == ["(any", "other)", "50/s", "50", "off", "PUBLIC", "(missing)"]
    assert ran.err == "deliveries to wax are held if the worker's secrets are the same\n"
    for private in (KEY, "p4ss", "accounts/77"):
        assert private not in ran.out + ran.err


def test_a_secret_that_is_too_short_is_named(run: Run, file: Path, monkeypatch: pytest.MonkeyPatch):
    for name, value in {"TOKEN": "sh0rt", "NEW": KEY, "OLD": KEY, "OTHER": "0ther"}.items():
        monkeypatch.setenv(f"SCENARIO_SECRET_{name}", value)
    ran = run("destinations", file)
    assert ran.err == (
        "TOKEN: shorter than 8 characters, and masked in responses only as a separate word; use a longer secret\n"
    )
    assert "sh0rt" not in ran.out


def test_programs_get_the_same_as_json(run: Run, file: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SCENARIO_DESTINATIONS", str(file))
    for name in ("NEW", "OLD"):
        monkeypatch.setenv(f"SCENARIO_SECRET_{name}", KEY)
    monkeypatch.setenv("SCENARIO_SECRET_TOKEN", "t0p")
    ran = run("destinations", "--format", "json")
    assert ran.status == 0
    assert ran.json["default"] == {
        "rate": 50.0, "concurrency": 50, "breaker": None, "granted": {"PUBLIC": "missing"},
    }  # fmt: skip
    [wax] = ran.json["destinations"]
    assert (wax["name"], wax["host"], wax["rate"]) == ("wax", "https://api.wax.example:443", 10.0)
    assert wax["secrets"] == {"TOKEN": "set"}
    assert wax["granted"] == {"ACCOUNT": "missing"}
    assert wax["signing"] == {"NEW": "live", "OLD": "live until 2999-01-01T00:00:00+00:00", "GONE": "expired"}
    assert [finding["code"] for finding in ran.json["findings"]] == ["expired"]
    assert ran.err == ""


def test_without_a_file_it_says_which_setting_is_missing(run: Run):
    said = "scenario: name a file, or set SCENARIO_{}\n"
    assert run("destinations") == Ran(1, "", said.format("DESTINATIONS"))
    assert run("policies") == Ran(1, "", said.format("POLICIES"))


UNKNOWN = "told.yaml:5:9: error unknown-destination: there is no destination 'waxx': did you mean 'wax'?\n"


@pytest.mark.parametrize("variable", [False, True], ids=["option", "variable"])
def test_check_finds_a_destination_that_is_not_in_the_file(
    run: Run, file: Path, monkeypatch: pytest.MonkeyPatch, variable: bool
):
    if variable:
        monkeypatch.setenv("SCENARIO_DESTINATIONS", str(file))
    ran = run("check", "told.yaml", *(() if variable else ("--destinations", file)))
    assert (ran.status, ran.out) == (1, UNKNOWN)
    monkeypatch.setenv("SCENARIO_DESTINATIONS", "")
    assert run("check", "told.yaml").status == 0


def test_check_says_where_the_file_of_destinations_is_wrong(run: Run, file: Path):
    file.write_text("destinations: {wax: {}}\n")
    ran = run("check", "told.yaml", "--destinations", "destinations.yaml")
    assert (ran.status, ran.err) == (1, "scenario: destinations.yaml:1: 'url' is missing here\n")
    ran = run("destinations", "destinations.yaml")
    assert (ran.status, ran.out.startswith("destinations.yaml:1:")) == (1, True)


@pytest.mark.parametrize("command", ["check", "publish", "preview"])
def test_a_secret_that_may_not_go_there_stands_in_the_way(run: Run, file: Path, command: str):
    more = ("--random", "1") if command == "preview" else ()
    scenario = file.parent / "told.yaml"
    scenario.write_text(
        SCENARIO.replace("waxx", "wax").replace("a: 1", "a: '{{ secrets.ACCOUNT }}{{ secrets.TOKEN }}'")
    )
    ran = run(command, "told.yaml", "--destinations", file, *more)
    assert ran.status == 1
    assert (ran.out + ran.err).startswith(
        "told.yaml:7:48: error secret: the secret TOKEN may not go to destination 'wax': "
        "list it under its 'secrets' in destinations.yaml\n"
    )
    assert not (file.parent / ".scenario").exists()


def test_it_says_which_destinations_are_left_alone_now(run: Run, client: Client):
    assert run("destinations", "--now").err == (
        "no delivery waits for a retry; no destination is known to be left alone\n"
    )
    client.standing = [
        DestinationNow(destination="wax", waiting=12, left_alone=True, why="wax has failed too often", next_try_at=None)
    ]
    *_, line = run("destinations", "--now").out.splitlines()
    assert line.split() == ["wax", "left", "alone", "12", "wax", "has", "failed", "too", "often"]
    assert run("destinations", "--now", "--format", "json").json == [
        {
            "destination": "wax",
            "waiting": 12,
            "left_alone": True,
            "why": "wax has failed too often",
            "next_try_at": None,
        }
    ]
