"""Errors that commands have in common, each as one sentence: no server, no store, no such file, wrong arguments."""

import base64
import os
import re
import shlex
from pathlib import Path

import pytest
from temporalio.service import RPCError, RPCStatusCode

from cli import session
from runtime.encryption.keyring import Keyring, KeyWrapping
from runtime.errors import AttributesMissing, ConnectionFailed, SetupError
from runtime.process import free_port
from runtime.store import Store
from tests.claims import OwnJournal, OwnNamespace
from tests.cli.conftest import Client, Run, Stored
from tests.cli.samples import WELL
from tests.cli.test_campaign import Campaigns
from tests.cli.test_printed import text_of
from tests.factories import publish
from tests.fakes import Ran

HERE = Path(__file__)
LINES = HERE.with_name("misuses.txt").read_text("utf-8").splitlines()
MISUSES = {line.removeprefix("$ scenario "): said for line, said in zip(LINES[::2], LINES[1::2], strict=True)}
"""How the one sentence about each begins."""


SENTENCES = HERE.with_name("sentences.txt")
SALE = "scenario: sale\ntrigger: order\nsteps:\n- sms: hi\n  text: Hi\n"
ENTRY = '{"scenario": "sale", "contact": {"id": 1}, "trigger": {"type": "order", "order": {}}}'
FILES = {"sale.yaml": SALE, "e.json": ENTRY, "bad.json": ENTRY.replace("order", "x", 1), "a.txt": "a"}
FILES["policies.yaml"] = "caps: []"


@pytest.fixture
def little(run: Run, client: Client, stored: Stored, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Commands beside some files and a store without anything but scenarios; no server has anything to show."""

    async def fill(store: Store) -> None:
        for text in (SALE, SALE.replace("Hi", "Hello")):
            await publish(store, text)
        await store.publish("newer", {}, {"start": "a", "steps": {"a": {"kind": "teleport"}}}, "d", "ann")

    stored(fill)
    for name, text in FILES.items():
        Path(name).write_text(text)
    Path("latin.txt").write_bytes(b"\xe9")
    client.campaigns = Campaigns()
    client.campaigns.asked = ["empty"]
    client.shown["overview"] = WELL
    monkeypatch.setenv("SCENARIO_SUPPRESSION_KEY", base64.b64encode(bytes(32)).decode())
    return run


def test_what_cannot_be_done_and_that_there_is_nothing_are_sentences(little: Run, client: Client):
    """Run with SCENARIO_WRITE_SHAPE=1 to accept a deliberate change, or to add a command."""
    lines = re.findall(r"^\$ scenario (.+)", SENTENCES.read_text("utf-8"), re.MULTILINE)
    said = "\n".join(text_of(line, little(*shlex.split(line))) for line in lines) + "\n"
    if os.environ.get("SCENARIO_WRITE_SHAPE"):
        SENTENCES.write_text(said, "utf-8")
    assert said == SENTENCES.read_text("utf-8")
    assert {name for name, *_ in client.asked} <= client.shown.keys(), "nothing is changed"


@pytest.mark.parametrize(("line", "said"), MISUSES.items(), ids=[*MISUSES])
def test_a_misuse_is_one_sentence(run: Run, client: Client, tmp_path: Path, line: str, said: str):
    ran = run(*shlex.split(line.replace("{501 x}", 501 * "x")))
    assert (ran.status, ran.out, ran.err.count("\n"), client.asked) == (2, "", 1, [])
    assert ran.err.startswith(f"scenario: {said}")
    assert not (tmp_path / ".scenario").exists()


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
    monkeypatch.setattr("service.client.connect", connect)
    monkeypatch.setattr("service.client.StoreIdentity", OwnNamespace)
    monkeypatch.setattr("service.client.Journal", OwnJournal)
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
