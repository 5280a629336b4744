"""Erasing a contact from the command line, and changing the keys that wrap."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.erasing import Erasing
from runtime.encryption.keyring import Keyring
from runtime.encryption.wrapping import Wrapping
from runtime.store import Store
from runtime.store.erasure import Traces
from tests.gateway.cli.conftest import Client, Run

OLD, NEW = b"o" * 32, b"n" * 32
DONE = Erasing(
    contact="d982",
    at=datetime(2026, 3, 31, 8, tzinfo=UTC),
    operator="ann",
    reason="request 4711",
    dry_run=False,
    encrypted=True,
    before=False,
    ended=1,
    histories=3,
    rows=Traces(entries=3, deliveries=7, claims=1, operation_items=0),
)
WHO = ("--operator", "ann", "--reason", "request 4711")


def test_it_says_what_was_erased(run: Run, client: Client) -> None:
    client.erased = DONE
    ran = run("erase", "7", *WHO)
    assert ran.status == 0
    assert "copies of the store that were made before hold the contact's key, wrapped" in ran.err
    assert ran.out == (
        "erased: 3 runs of journeys, 1 of them under way; and in the store 3 entries, 7 attempts, 1 claims\n"
    )
    assert client.asked == [("erase", "7", {"operator": "ann", "reason": "request 4711", "dry_run": False})]


def test_the_report_names_nobody(run: Run, client: Client) -> None:
    client.erased = replace(DONE, before=True)
    report = run("erase", "7-secret", *WHO, "--format", "json")
    assert (report.json["contact"], report.json["before"], report.json["rows"]["deliveries"]) == ("d982", True, 7)
    assert "7-secret" not in report.out
    assert len(report.json["kept"]) == 7


def test_a_dry_run_says_that_nothing_was_done(run: Run, client: Client) -> None:
    client.erased = replace(DONE, dry_run=True)
    assert run("erase", "7", *WHO, "--dry-run").out.endswith("1 claims: nothing was done\n")


def test_without_encryption_copies_are_named(run: Run, client: Client) -> None:
    client.erased = replace(DONE, encrypted=False)
    assert "copies of the databases that were made before can still be read" in run("erase", "7", *WHO).err


def test_it_needs_a_reason(run: Run) -> None:
    ran = run("erase", "7")
    assert ran.status == 2
    assert "--reason" in ran.err


def text(*keys: bytes) -> str:
    return ",".join(base64.b64encode(key).decode() for key in keys)


def test_keys_are_wrapped_anew(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"

    async def seal() -> str | None:
        async with Store.open(url) as store:
            return await Keyring(store, Wrapping([OLD])).seal("7", "hello")

    sealed = asyncio.run(seal())
    monkeypatch.setenv("SCENARIO_STORE", url)
    ran = run("encryption", "rotate")
    assert (ran.status, ran.err) == (1, "scenario: nothing is encrypted: SCENARIO_ENCRYPTION_KEYS is not set\n")
    monkeypatch.setenv("SCENARIO_ENCRYPTION_KEYS", text(NEW))
    assert "SCENARIO_ENCRYPTION_KEYS lacks a key" in run("encryption", "rotate").err
    monkeypatch.setenv("SCENARIO_ENCRYPTION_KEYS", text(NEW, OLD))
    for told in ("2 keys of contacts wrapped anew, 0 were so before", "0 keys of contacts wrapped anew, 2 were"):
        assert run("encryption", "rotate").out.startswith(told)

    async def unseal() -> str | None:
        async with Store.open(url) as store:
            return await Keyring(store, Wrapping([NEW])).unseal(sealed or "")

    assert asyncio.run(unseal()) == "hello"
