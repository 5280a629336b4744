"""What is said where Temporal or the store is not as a command needs it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from temporalio.service import RPCError, RPCStatusCode

from gateway.cli import session
from runtime.encryption.keyring import Keyring, KeyWrapping
from runtime.errors import AttributesMissing, ConnectionFailed, SetupError
from runtime.process.ports import free_port
from runtime.store import Store
from tests.claims import OwnNamespace
from tests.gateway.cli.conftest import Run

COMMANDS = [
    ["list"],
    ["show", "a/1"],
    ["event", "1", "x"],
    ["pause", "a/1", "--reason", "x"],
]


@pytest.mark.parametrize("arguments", COMMANDS)
def test_without_a_server_it_says_how_to_start_one(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str]
) -> None:
    monkeypatch.setattr(session, "PATIENCE", 0.0)
    address = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("TEMPORAL_ADDRESS", address)
    ran = run(*arguments)
    assert (ran.status, ran.out) == (1, "")
    assert ran.err == (
        f"scenario: no Temporal server at {address}: start one with `scenario dev`, or set TEMPORAL_ADDRESS (and "
        "TEMPORAL_TLS=true if it requires TLS)\n"
    )
    assert not (tmp_path / ".scenario").exists()


def test_an_address_with_a_scheme_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", "http://localhost:7233")
    ran = run("list")
    assert (ran.status, ran.err) == (1, "scenario: TEMPORAL_ADDRESS must be host:port, without a scheme\n")


def test_looking_makes_no_store(run: Run, tmp_path: Path) -> None:
    ran = run("deliveries")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err == (
        "scenario: there is no store at .scenario/store.db: go to the folder where 'scenario dev' runs, "
        "correct SCENARIO_STORE, or create the store with `scenario store upgrade`\n"
    )
    assert not (tmp_path / ".scenario").exists()


def test_a_store_without_tables_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / ".scenario").mkdir()
    (tmp_path / ".scenario" / "store.db").touch()
    ran = run("deliveries")
    assert ran.status == 1
    assert ran.err == (
        "scenario: the store .scenario/store.db has no tables yet: run `scenario store upgrade` to "
        "create them, or correct SCENARIO_STORE\n"
    )


def test_a_command_without_the_keys_sends_nothing_in_clear(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def connect(**_: object) -> None:
        return None

    async def seal() -> None:
        async with Store.open(url) as store:
            await Keyring(store, KeyWrapping([b"k" * 32])).seal("7", "hello")

    url = f"sqlite:///{tmp_path / 'store.db'}"
    asyncio.run(seal())
    monkeypatch.setenv("SCENARIO_STORE", url)
    monkeypatch.setattr("runtime.connection.connect", connect)
    monkeypatch.setattr("runtime.identity.StoreIdentity", OwnNamespace)
    ran = run("event", "7", "ordered")
    assert (ran.status, ran.err) == (
        1,
        "scenario: the store has keys of contacts, so journeys are encrypted: set SCENARIO_ENCRYPTION_KEYS here, too\n",
    )


@pytest.mark.parametrize(
    ("message", "kind", "said"),
    [
        ("zoe@example.com", ConnectionFailed, "the Temporal server refused a call (INVALID_ARGUMENT)"),
        (
            "Namespace default has no mapping defined for search attribute ContactId",
            AttributesMissing,
            "namespace default lacks the search attributes of journeys: start a worker, or register them with "
            "`temporal operator search-attribute create --namespace default",
        ),
    ],
)
def test_errors_of_the_server_become_sentences_without_its_text(
    message: str, kind: type[SetupError], said: str
) -> None:
    error = session.worded(RPCError(message, RPCStatusCode.INVALID_ARGUMENT, b""), "default")
    assert isinstance(error, kind)
    assert str(error).startswith(said)
    assert "zoe" not in str(error)
