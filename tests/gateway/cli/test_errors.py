"""Errors that commands have in common, each as one sentence: no server, no store, no such file, wrong arguments."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from temporalio.service import RPCError, RPCStatusCode

from gateway.cli import session
from runtime.encryption.keyring import Keyring, KeyWrapping
from runtime.errors import AttributesMissing, ConnectionFailed, SetupError
from runtime.process.ports import free_port
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
MISUSES = [
    ("chek", "no such command 'chek': did you mean 'check' or 'schema' or 'change'?"),
    ("frobnicate", "no such command 'frobnicate': see 'scenario --help'"),
    ("show", "missing argument 'JOURNEY': see 'scenario show --help'"),
    ("show a/1 --colour", "no such option: --colour"),
    ("list --limit 0", "invalid value for '--limit': Input should be greater than or equal to 1"),
    ("list --format xml", "invalid value for '--format': 'xml' is not one of 'text', 'json'"),
    ("list --state gone", "invalid value for '--state': 'gone' is not one of running, waiting, retrying, held,"),
    ("list --held --state held", "invalid value: --state does not go with --held, which is a state itself"),
    ("list --version 3", "invalid value: --version goes with --scenario"),
    ("list --destination wax", "invalid value: --destination goes with --held or --state retrying: see 'scenario"),
    ("list --held --reason down", "invalid value for '--reason': 'down' is not one of permanent, exhausted,"),
    ("deliveries --outcome sent", "invalid value for '--outcome': 'sent' is not one of delivered, retry,"),
    ("deliveries --skipped late", "invalid value for '--skipped': 'late' is not one of capped"),
    ("deliveries --skipped capped --outcome failed", "invalid value: --skipped does not go with --outcome"),
    *(
        (f"{verb} 1", f"missing option '--reason': see 'scenario {verb} --help'")
        for verb in ("retry", "skip", "leave", "pause", "resume", "retune", "erase")
    ),
    ("retry --scenario a --reason ' '", "invalid value for '--reason': write 1 to 500 characters for the"),
    (f"retry --scenario a --reason {501 * 'x'}", "invalid value for '--reason': write 1 to 500 characters"),
    ("leave a/7 --reason x --operator ' '", "invalid value for '--operator': write 1 to 500 characters"),
    ("pause a/1 --reason x --operator 'key abcdefgh'", "invalid value for '--operator': an operator's name"),
    ("retry --reason x", "invalid value: name a JOURNEY, or select journeys by --scenario, --destination or"),
    ("leave --reason x --all", "invalid value: name a JOURNEY, or select journeys by"),
    ("retry a/7 --reason x --destination wax", "invalid value: --destination selects many journeys: leave it"),
    ("skip a/7 --reason x --dry-run", "invalid value: --dry-run is for many journeys: leave it out, or see"),
    ("leave a/7 --reason x --all", "invalid value: --all is for many journeys: leave it out, or leave out"),
    ("leave --scenario a --reason x --all --step b", "invalid value: --step is for held journeys: leave it out"),
    ("retry --reason x --held-reason down", "invalid value for '--held-reason': 'down' is not one of"),
    ("retry a/7 --reason x --with-version last", "invalid value for '--with-version': 'last' is not a version"),
    ("retry --scenario a --reason x --rate 0/s", "invalid value for '--rate': '0/s' is not a rate: write"),
    ("retry --reason x --since soon", "invalid value for '--since': 'soon' is neither a time nor a duration: write"),
    ("retune wax --reason x --deadline '3 days'", "invalid value for '--deadline': '3 days' is not a duration: wri"),
    ("preview sale.yaml", "invalid value: give one contact with --entry, or a number of generated ones with"),
    ("preview sale.yaml --entry - --random 3", "invalid value: give one contact with --entry"),
    ("preview sale.yaml --entry - --seed 7", "invalid value: --seed goes with --random"),
    ("preview sale.yaml --random 3 --event a.b", "invalid value: --event goes with --entry"),
    ("suppress", "invalid value: name an address, or use --list, --import or --export: see 'scenario suppress --help'"),
    ("suppress a@example.com --list --remove", "invalid value: --remove, --list, --import and --export are not for"),
    ("suppress a@example.com --export x.csv", "invalid value: --import and --export are about files, and take"),
    ("keys", "missing command: see 'scenario keys --help'"),
    ("keys creat", "no such command 'creat': did you mean 'create'?"),
    ("keys create", "missing option '--scope': see 'scenario keys --help'"),
    ("keys create --scope write", "invalid value for '--scope': 'write' is not one of enter, events, read,"),
    ("keys create --scope read --scenario sale@2", "invalid value for '--scenario': name a scenario without its"),
    ("keys create --scope read --expires soon", "invalid value for '--expires': 'soon' is neither a date nor a"),
    ("keys create --scope read --expires 2020-01-01", "invalid value for '--expires': '2020-01-01' is in the past"),
    ("migrate a --map x", "invalid value for '--map': 'x' maps no step: write the old id, =, and the new one, such as"),
    ("migrate a --to 0", "invalid value for '--to': '0' is not a version: write its number, such as 4, or newest"),
    *(
        (f"migrate a/7 {option}", f"invalid value: {option.split()[0]} is for the journeys of a scenario: leave it out")
        for option in ("--from 3", "--dry-run")
    ),
    *(
        (f"prune --{what} {age}", f"invalid value: '{age}' is not an age of {what}: from {least} to 10y, such as 90d, ")
        for what, age, least in (("deliveries", "99y", "1d"), ("claims", "3d", "32d"))
    ),
    ("campaign start sale --audience p.csv --local", "invalid value: --local needs --at"),
    ("campaign start sale --audience p.csv --rate 200", "invalid value: a rate is a number of lines and a unit: write"),
    ("destinations a.yaml --now", "invalid value: --now asks Temporal"),
    ("stats sale --days 2", "invalid value for --days: it goes with --by day"),
    ("dev --resume", "invalid value: --resume goes with --send: see 'scenario dev --help'"),
    ("receiver wax --times 3", "invalid value: give --answer with --times and --delay, or --refuse, or"),
    ("receiver wax --refuse --answer 503", "invalid value: give --answer with --times and --delay"),
    ("receiver wax --reset --delay 1s", "invalid value: give --answer with --times and --delay"),
    ("receiver --answer 503", "invalid value: say for which place, such as wax or hooks.example.com"),
    ("receiver wax --answer 99", "invalid value for '--answer': "),
]


@pytest.mark.parametrize(("line", "advice"), FILES)
def test_a_missing_file_is_named(run: Run, tmp_path: Path, line: str, advice: str):
    (tmp_path / "sale.yaml").write_text("scenario: sale\ntrigger: order\nsteps:\n- exit: bye\n", "utf-8")
    ran = run(*line.split())
    name = next(part for part in line.split() if part.startswith("none."))
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.splitlines()[0] == f"scenario: {name} {NO_FILE}{advice}"


@pytest.mark.parametrize(("line", "said"), MISUSES, ids=[line[:60] for line, _ in MISUSES])
def test_a_misuse_is_one_sentence(run: Run, client: Client, tmp_path: Path, line: str, said: str):
    ran = run(*shlex.split(line))
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
