"""Erasing a contact from the command line, and changing the keys that wrap."""

import base64
from datetime import UTC, datetime

import pytest

from gateway.cli import privacy
from runtime.encryption.keyring import Keyring, KeyWrapping
from tests.gateway.cli.conftest import Client, Run, Stored
from tests.gateway.cli.samples import BEGUN, ERASED, STUCK, UNSEALED, WOULD_BE

OLD, NEW = b"o" * 32, b"n" * 32
WHO = ("--operator", "ann", "--reason", "request 4711")
FOUND = "3 runs of journeys, 1 of them running; and in the store 3 entries, 7 attempts, 0 claims"


@pytest.mark.usefixtures("paris")
def test_it_says_that_it_has_begun_and_how_to_look(run: Run, client: Client):
    at = datetime.now(UTC)
    client.erasures_seen = [BEGUN.model_copy(update={"at": at, "trouble": "Temporal cannot be reached"})]
    ran = run("erase", "7", *WHO)
    since = at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    assert (ran.status, ran.out) == (
        0,
        f"erasing, waiting since {since}: {FOUND}; Temporal still has 2 of the runs\n",
    )
    assert ran.err == (
        "scenario: Temporal cannot be reached\n"
        "scenario: a worker finishes it within some minutes: 'scenario erasures e1'\n"
    )
    assert client.asked == [("erase", "7", {"operator": "ann", "reason": "request 4711", "dry_run": False})]


def test_it_waits_if_asked_to_but_not_forever(run: Run, client: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(privacy, "_POLL", 0.0)
    client.erasures_seen = [BEGUN, BEGUN, ERASED]
    ran = run("erase", "7-secret", *WHO, "--wait", "--format", "json")
    assert (ran.status, ran.json["state"], "7-secret" in ran.out) == (0, "finished", False)
    assert client.asked[1:] == [("erasure", "e1"), ("erasure", "e1")]
    monkeypatch.setattr(privacy, "_PATIENCE", 0.0)
    for form in ("text", "json"):
        client.erasures_seen = [BEGUN]
        client.asked.clear()
        ran = run("erase", "7", *WHO, "--wait", "--format", form)
        assert (ran.status, ran.out != "", len(client.asked)) == (1, True, 1)


def test_what_is_different_is_said(run: Run, client: Client):
    client.erasures_seen = [WOULD_BE]
    assert run("erase", "7", *WHO, "--dry-run", "--wait").out == f"there are {FOUND}: nothing was done\n"
    client.erasures_seen = [UNSEALED]
    assert "copies of the databases that were made before can still be read" in run("erase", "7", *WHO).err
    client.shown["erasures"] = [STUCK]
    run("erasures", "--open")
    assert client.asked[-1] == ("erasures", {"is_open": True, "limit": 50})


def text(*keys: bytes) -> str:
    return ",".join(base64.b64encode(key).decode() for key in keys)


def test_keys_are_wrapped_anew(run: Run, stored: Stored, monkeypatch: pytest.MonkeyPatch):
    sealed = stored(lambda store: Keyring(store, KeyWrapping([OLD])).seal("7", "hello"))
    monkeypatch.setenv("SCENARIO_ENCRYPTION_KEYS", text(NEW))
    assert "SCENARIO_ENCRYPTION_KEYS lacks a key" in run("encryption", "rotate").err
    monkeypatch.setenv("SCENARIO_ENCRYPTION_KEYS", text(NEW, OLD))
    for told in ("2 keys of contacts wrapped again, 0 had been already", "0 keys of contacts wrapped again, 2 had"):
        assert run("encryption", "rotate").out.startswith(told)
    assert stored(lambda store: Keyring(store, KeyWrapping([NEW])).unseal(sealed or "")) == "hello"
