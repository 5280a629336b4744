"""Errors that commands have in common, each as one sentence: no server, no store, no such file, wrong arguments."""

import shlex
from pathlib import Path

import pytest
from temporalio.service import RPCError, RPCStatusCode

from gateway.cli import session
from runtime.encryption.keyring import Keyring, KeyWrapping
from runtime.errors import AttributesMissing, ConnectionFailed, SetupError
from runtime.process import free_port
from runtime.store import Store
from tests.claims import OwnNamespace
from tests.fakes import Ran
from tests.gateway.cli.conftest import Client, Run, Stored

NO_FILE = "cannot be read: no such file or directory"
FILES = [
    ("check none.yaml", ""),
    ("map none.yaml", ""),
    ("preview sale.yaml --entry none.json", ""),
    ("test none.test.yaml", ""),
    ("enter none.jsonl", ""),
    ("suppress --import none.csv", ""),
    ("destinations none.yaml", ": name another destinations.yaml, here or with SCENARIO_DESTINATIONS"),
    ("check sale.yaml --policies none.yaml", ": name another policies.yaml, here or with SCENARIO_POLICIES"),
]
LINES = Path(__file__).with_name("misuses.txt").read_text("utf-8").splitlines()
MISUSES = {line.removeprefix("$ scenario "): said for line, said in zip(LINES[::2], LINES[1::2], strict=True)}
"""How the one sentence about each begins."""


@pytest.mark.parametrize(("line", "advice"), FILES)
def test_a_missing_file_is_named(run: Run, tmp_path: Path, line: str, advice: str):
    (tmp_path / "sale.yaml").write_text("scenario: sale\ntrigger: order\nsteps:\n- exit: bye\n", "utf-8")
    ran = run(*line.split())
    name = next(part for part in line.split() if part.startswith("none."))
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.splitlines()[0] == f"scenario: {name} {NO_FILE}{advice}"


@pytest.mark.parametrize(("line", "said"), MISUSES.items(), ids=[*MISUSES])
def test_a_misuse_is_one_sentence(run: Run, client: Client, tmp_path: Path, line: str, said: str):
    ran = run(*shlex.split(line.replace("{501 x}", 501 * "x")))
    assert (ran.status, ran.out, ran.err.count("\n"), client.asked) == (2, "", 1, [])
    assert ran.err.startswith(f"scenario: {said}")
    assert not (tmp_path / ".scenario").exists()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        *((f"{command} sael", "scenario 'sael': did you mean 'sale'?") for command in ("versions", "close", "map")),
        *(
            (line, "journey 'nope': list the journeys to find its id")
            for line in ("show nope", "show nope --rendered a")
        ),
    ],
)
def test_what_does_not_exist_is_named(run: Run, client: Client, stored: Stored, line: str, said: str):
    stored(lambda store: store.publish("sale", {}, {}, "d", "ann"))
    assert run(*line.split()) == Ran(1, "", f"scenario: there is no {said}\n")


def test_without_a_server_it_says_how_to_start_one(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(session, "PATIENCE", 0.0)
    address = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("TEMPORAL_ADDRESS", address)
    ran = run("list")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith(f"scenario: no Temporal server at {address}: start one with `scenario dev`, or set ")
    assert not (tmp_path / ".scenario").exists()


@pytest.mark.parametrize("line", ["deliveries", "keys list", "map a", "prune --format json"])
def test_only_some_commands_create_a_store(run: Run, tmp_path: Path, line: str):
    assert run(*line.split()) == Ran(
        1,
        "",
        "scenario: there is no store at .scenario/store.db: go to the folder where 'scenario dev' runs, "
        "correct SCENARIO_STORE, or create the store with `scenario store upgrade`\n",
    )
    assert not (tmp_path / ".scenario").exists()


def test_a_command_without_the_encryption_keys_sends_nothing(run: Run, stored: Stored, monkeypatch: pytest.MonkeyPatch):
    async def connect(**_: object) -> None:
        return None

    async def seal(store: Store) -> None:
        await Keyring(store, KeyWrapping([b"k" * 32])).seal("7", "hello")

    stored(seal)
    monkeypatch.setattr("gateway.client.connect", connect)
    monkeypatch.setattr("gateway.client.StoreIdentity", OwnNamespace)
    said = "the store has keys of contacts, so journeys are encrypted: set SCENARIO_ENCRYPTION_KEYS here, too"
    assert run("event", "7", "ordered") == Ran(1, "", f"scenario: {said}\n")


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("zoe@example.com", ConnectionFailed),
        ("Namespace default has no mapping defined for search attribute zoe", AttributesMissing),
    ],
)
def test_errors_of_the_server_become_sentences_without_its_text(message: str, kind: type[SetupError]):
    error = session.worded(RPCError(message, RPCStatusCode.INVALID_ARGUMENT, b""), "default")
    assert isinstance(error, kind)
    assert "zoe" not in str(error)
