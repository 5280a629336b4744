"""Erasing a contact from the command line, and changing the keys that wrap."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.cli import erase
from gateway.service.erasures import ErasureView
from runtime.encryption.keyring import Keyring, KeyWrapping
from tests.fakes import ERASURE
from tests.gateway.cli.conftest import Client, Run, Stored

OLD, NEW = b"o" * 32, b"n" * 32
BEGUN = replace(ERASURE, state="waiting", ended=1, histories=3, remaining=2, rows={"entries": 3, "deliveries": 7})
DONE = replace(
    BEGUN,
    contact_id=None,
    state="finished",
    remaining=0,
    sent_to=[{"channel": "email", "destination": "local"}, {"channel": "webhook", "destination": "wax"}],
    confirmed_at=ERASURE.requested_at,
    finished_at=ERASURE.requested_at + timedelta(minutes=2),
)
SEEN = ErasureView.of(DONE)
WHO = ("--operator", "ann", "--reason", "request 4711")
FOUND = "3 runs of journeys, 1 of them running; and in the store 3 entries, 7 attempts, 0 claims"


@pytest.mark.usefixtures("paris")
def test_it_says_that_it_has_begun_and_how_to_look(run: Run, client: Client):
    begun = replace(BEGUN, requested_at=datetime.now(UTC), trouble="Temporal cannot be reached")
    client.erasures_seen = [ErasureView.of(begun)]
    ran = run("erase", "7", *WHO)
    assert ran.status == 0
    since = begun.requested_at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    assert ran.out == f"erasing, waiting since {since}: {FOUND}; Temporal still has 2 of the runs\n"
    assert ran.err == (
        "scenario: Temporal cannot be reached\n"
        "scenario: a worker finishes it within some minutes: 'scenario erasures e1'\n"
    )
    assert client.asked == [("erase", "7", {"operator": "ann", "reason": "request 4711", "dry_run": False})]


@pytest.mark.usefixtures("paris")
def test_it_waits_if_asked_to_and_says_what_was_erased(run: Run, client: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(erase, "_POLL", 0.0)
    client.erasures_seen = [ErasureView.of(one) for one in (BEGUN, BEGUN, DONE)]
    ran = run("erase", "7", *WHO, "--wait")
    assert ran.status == 0
    assert ran.out == f"erased at 2026-03-03 11:02:00: {FOUND}\n"
    assert "may hold messages to the contact, which their operators have to erase: email local, webhook wax" in ran.err
    assert "copies of the store that were made before hold the contact's key, wrapped" in ran.err
    assert client.asked[1:] == [("erasure", "e1"), ("erasure", "e1")]


@pytest.mark.parametrize("form", ["text", "json"])
def test_it_does_not_wait_forever(run: Run, client: Client, monkeypatch: pytest.MonkeyPatch, form: str):
    monkeypatch.setattr(erase, "_PATIENCE", 0.0)
    client.erasures_seen = [ErasureView.of(BEGUN)]
    ran = run("erase", "7", *WHO, "--wait", "--format", form)
    assert (ran.status, len(client.asked)) == (1, 1)
    assert ran.out


def test_the_report_names_nobody(run: Run, client: Client):
    client.erasures_seen = [ErasureView.of(replace(DONE, before=True))]
    report = run("erase", "7-secret", *WHO, "--format", "json")
    seen = report.json
    assert (seen["id"], seen["contact"], seen["before"], seen["rows"]["deliveries"]) == ("e1", "0123", True, 7)
    assert (seen["at"], seen["finished_at"]) == ("2026-03-03T10:00:00Z", "2026-03-03T10:02:00Z")
    assert "7-secret" not in report.out
    assert len(seen["kept"]) == 8


def test_a_dry_run_says_that_nothing_was_done(run: Run, client: Client):
    client.erasures_seen = [ErasureView.of(BEGUN, dry_run=True)]
    assert run("erase", "7", *WHO, "--dry-run", "--wait").out == f"there are {FOUND}: nothing was done\n"


def test_without_encryption_copies_are_named(run: Run, client: Client):
    client.erasures_seen = [ErasureView.of(replace(DONE, encrypted=False))]
    assert "copies of the databases that were made before can still be read" in run("erase", "7", *WHO).err


@pytest.mark.usefixtures("paris")
def test_erasures_are_listed_and_shown(run: Run, client: Client):
    stuck = ErasureView.of(replace(DONE, finished_at=None, state="ending", trouble="Temporal cannot be reached"))
    client.erasures_seen = [stuck, SEEN]
    assert run("erasures", "--open").out == (
        "e1  ending since 2026-03-03 11:00:00: request 4711 (Temporal cannot be reached)\n"
        "e1  finished since 2026-03-03 11:02:00: request 4711\n"
    )
    assert client.asked == [("erasures", {"is_open": True, "limit": 50})]
    assert [one["state"] for one in run("erasures", "--format", "json").json] == ["ending", "finished"]
    for form in ("text", "json"):
        client.erasures_seen = [stuck, SEEN]
        ran = run("erasures", "e1", "--format", form)
        assert (ran.json["state"] if form == "json" else ran.out.partition(" at ")[0]) in ("finished", "erased")


def text(*keys: bytes) -> str:
    return ",".join(base64.b64encode(key).decode() for key in keys)


def test_keys_are_wrapped_anew(run: Run, stored: Stored, monkeypatch: pytest.MonkeyPatch):
    sealed = stored(lambda store: Keyring(store, KeyWrapping([OLD])).seal("7", "hello"))
    ran = run("encryption", "rotate")
    assert (ran.status, ran.err) == (1, "scenario: nothing is encrypted: SCENARIO_ENCRYPTION_KEYS is not set\n")
    monkeypatch.setenv("SCENARIO_ENCRYPTION_KEYS", text(NEW))
    assert "SCENARIO_ENCRYPTION_KEYS lacks a key" in run("encryption", "rotate").err
    monkeypatch.setenv("SCENARIO_ENCRYPTION_KEYS", text(NEW, OLD))
    for told in ("2 keys of contacts wrapped again, 0 had been already", "0 keys of contacts wrapped again, 2 had"):
        assert run("encryption", "rotate").out.startswith(told)
    assert stored(lambda store: Keyring(store, KeyWrapping([NEW])).unseal(sealed or "")) == "hello"
