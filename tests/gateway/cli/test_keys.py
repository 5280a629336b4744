"""Keys are shown once, and are good for what was said until they end or are revoked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from runtime.api_keys import ApiKey, parse_token
from tests.gateway.cli.conftest import Run, Stored


@pytest.fixture(autouse=True)
def empty(stored: Stored) -> None:
    stored(lambda store: store.scenarios())


def kept(stored: Stored, identifier: str) -> ApiKey:
    key = stored(lambda store: store.key(identifier))
    assert key is not None
    return key


def test_a_key_is_alone_on_the_output_and_its_secret_is_not_kept(run: Run, stored: Stored, tmp_path: Path):
    begun = datetime.now(UTC)
    ran = run(
        *("keys", "create", "--scope", "enter", "--scope", "events", "--scope", "enter", "--scenario", "sale"),
        *("--expires", "90d", "--rate", "500/s", "--note", "the engine"),
    )
    parsed = parse_token(ran.out.removesuffix("\n"))
    assert (ran.status, parsed is not None) == (0, True)
    assert parsed is not None
    identifier, secret = parsed
    assert ran.err == f"key {identifier} is shown this once: keep it where secrets are kept\n"
    key = kept(stored, identifier)
    assert key.fits(secret)
    assert (key.scopes, key.scenarios, key.rate, key.note) == (["enter", "events"], ["sale"], 500.0, "the engine")
    assert key.expires_at is not None
    assert timedelta(days=90) <= key.expires_at - begun < timedelta(days=90, minutes=5)
    for path in tmp_path.glob("store.db*"):
        assert secret.encode() not in path.read_bytes()


def test_a_key_is_by_default_for_all_scenarios_and_without_an_end(run: Run, stored: Stored):
    key = kept(stored, run("keys", "create", "--scope", "read").out.split("_")[1])
    assert (key.scenarios, key.rate, key.expires_at, key.note) == (None, None, None, "")


@pytest.mark.usefixtures("paris")
def test_a_key_may_end_on_a_date(run: Run, stored: Stored):
    ran = run("keys", "create", "--scope", "read", "--expires", "2036-03-31")
    assert kept(stored, ran.out.split("_")[1]).expires_at == datetime(2036, 3, 30, 22, tzinfo=UTC)


def test_they_are_listed_with_what_became_of_them(run: Run, stored: Stored):
    token = run("keys", "create", "--scope", "read", "--note", "dashboards").out.strip()
    first = token.split("_")[1]
    second = run("keys", "create", "--scope", "operate", "--scope", "read", "--scenario", "sale").out.split("_")[1]
    ran = run("keys", "revoke", token)
    assert (ran.status, ran.out) == (0, f"key {first} is revoked\n")
    assert run("keys", "revoke", first).out == f"key {first} was revoked already\n"
    found = {item["id"]: item for item in run("keys", "list", "--format", "json").json}
    assert {name: item["state"] for name, item in found.items()} == {first: "revoked", second: "good"}
    assert found[second].keys() == {
        *("id", "state", "scopes", "scenarios", "rate", "note", "created_at", "created_by", "expires_at"),
        "revoked_at",
    }
    lines = run("keys", "list").out.splitlines()
    assert any(line.startswith(f"{first}   revoked   read") and line.rstrip().endswith("dashboards") for line in lines)
    assert any(line.startswith(f"{second}   good") and "operate read   sale" in line for line in lines)
    assert kept(stored, first).digest not in "".join(lines)


def test_one_that_is_over_says_so(run: Run, stored: Stored):
    now = datetime.now(UTC)

    old = ApiKey("a", "d", ["read"], None, None, "", now, "ann", expires_at=now)
    stored(lambda store: store.add_key(old))
    assert [item["state"] for item in run("keys", "list", "--format", "json").json] == ["expired"]


def test_nothing_is_there_yet(run: Run):
    ran = run("keys", "list")
    assert (ran.status, ran.out, ran.err) == (0, "", "there are no keys: 'scenario keys create' makes one\n")
    ran = run("keys", "revoke", "sr_nearly_the_key")
    assert (ran.status, ran.err) == (1, "scenario: there is no key of this id: 'scenario keys list' lists all keys\n")
