"""Addresses that get no messages, erased contacts and wrapped keys: no address is kept, shown or quoted."""

import base64
import hashlib
import io
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cli import privacy
from runtime.derived_keys import AddressHashes
from runtime.encryption.keyring import Keyring, KeyWrapping
from runtime.store import Store
from scenario.policies.suppression import Suppression
from tests.cli.conftest import Client, Run, Stored
from tests.cli.samples import BEGUN, ERASED, STUCK, UNSEALED, WOULD_BE
from tests.fakes import Ran

KEY = bytes(range(32))
HASHES = AddressHashes([KEY])
ADA = "ada.lovelace@example.com"
[ADAS] = HASHES.of("email", ADA)
[NUMBERS] = HASHES.of("sms", "+33612345678")
Suppressed = Callable[..., list[tuple[str, ...]]]


@pytest.fixture
def suppress(run: Run, suppressed: Suppressed, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command beside an empty store, with a key."""
    assert suppressed() == []
    monkeypatch.setenv("SCENARIO_SUPPRESSION_KEY", base64.b64encode(KEY).decode())
    monkeypatch.delenv("SCENARIO_SUPPRESSION_KEY_PREVIOUS", raising=False)
    return lambda *arguments: run("suppress", *arguments)


@pytest.fixture
def suppressed(stored: Stored) -> Suppressed:

    def look(*given: Suppression) -> list[tuple[str, ...]]:
        async def work(store: Store) -> list[Suppression]:
            await store.suppress_many(given)
            return await store.suppressions()

        return sorted((one.channel, one.address_hash, one.source, one.scope, one.evidence) for one in stored(work))

    return look


def test_an_address_is_suppressed_and_taken_back(
    suppress: Run, suppressed: Suppressed, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"{ADA}\n".encode())))
    ran = suppress("-", "--evidence", "asked by letter")  # out of the shell's history
    assert ran == Ran(0, "suppressed by email: the address gets no messages (custom)\n", "")
    assert suppressed() == [("email", ADAS, "custom", "", "asked by letter")]
    assert suppress(ADA.upper()).out == "was suppressed by email already: the address gets no messages (custom)\n"
    assert suppress(ADA, "--remove", "--source", "bounce").out == "was not suppressed by email\n"
    assert suppress(ADA, "--remove").out == "no longer suppressed by email: custom\n"
    assert suppressed() == []


def test_a_list_is_unsubscribed_from(suppress: Run, suppressed: Suppressed):
    ran = suppress(ADA, "--source", "unsub", "--scope", "newsletter")
    assert ran.out == "suppressed by email: the address gets no marketing of newsletter (unsub)\n"
    assert suppress("+33 6 12 34 56 78", "--source", "stop").out.startswith("suppressed by sms: the address gets no")
    assert suppressed() == [("email", ADAS, "unsub", "newsletter", ""), ("sms", NUMBERS, "stop", "", "")]
    assert suppress(ADA, "--remove").out == "no longer suppressed by email: unsub newsletter\n"


def test_without_a_key_it_says_which_setting_is_missing(suppress: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("SCENARIO_SUPPRESSION_KEY")
    missing = "scenario: suppressions are not configured: set SCENARIO_SUPPRESSION_KEY here, as for the workers\n"
    assert suppress(ADA) == Ran(1, "", missing)
    assert suppress("--list").err == "nothing is suppressed\n", "which needs none"


def test_they_are_listed_by_their_hashes(suppress: Run, suppressed: Suppressed, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "80")
    at = datetime(2026, 3, 31, 8, 0, tzinfo=UTC)
    suppressed(
        Suppression("email", ADAS, "unsub", at, "newsletter", "one click"),
        Suppression("email", ADAS, "bounce", at.replace(day=30), evidence="550 5.1.1 no such user"),
        Suppression("sms", NUMBERS, "stop", at.replace(day=29)),
    )
    ran = suppress("--list")
    assert ran.err == "on record: 1 email bounce, 1 email unsub, 1 sms stop\n"
    assert [len(line) <= 80 for line in ran.out.splitlines()] == [True] * len(ran.out.splitlines())
    assert ADAS[:12] in ran.out
    found = suppress("--list", "--format", "json").json
    assert [(one["source"], one["hash"]) for one in found] == [("unsub", ADAS), ("bounce", ADAS), ("stop", NUMBERS)]
    assert found[0]["suppressed_at"] == "2026-03-31T08:00:00+00:00"
    for options, sources in (
        ((ADA,), ["bounce", "unsub"]),
        (("--channel", "sms"), ["stop"]),
        (("--limit", "1"), ["unsub"]),
    ):
        assert [one["source"] for one in suppress("--list", *options, "--format", "json").json] == sources


def test_the_journal_gets_a_files_name_and_digest_instead_of_its_lines(
    suppress: Run, suppressed: Suppressed, stored: Stored, tmp_path: Path
):
    (tmp_path / "in.csv").write_text(f"address\n{ADA}\nbob@example.com\n", "utf-8")
    assert suppress("--import", "in.csv").status == 0
    assert suppress("--import", "in.csv").out == "0 suppressed, 2 known already, 0 wrong\n"
    assert len(suppressed()) == 2
    _, entries = stored(lambda store: store.outbox(9))
    digest = hashlib.sha256((tmp_path / "in.csv").read_bytes()).hexdigest()
    assert [(entry.kind, entry.data) for entry in entries] == [("imported", {"file": "in.csv", "sha256": digest})]


def test_a_file_is_brought_in_line_by_line(suppress: Run, suppressed: Suppressed, tmp_path: Path):
    (tmp_path / "in.csv").write_text(
        "address,source,scope,suppressed_at,evidence\n"
        f"{ADA},unsub,newsletter,2026-03-31T10:00:00+02:00,the old tool\n"
        "+33612345678,stop,,2026-03-31,\n"
        "\n"
        "nobody,,,,\n"
        f"{ADA},bounce,,yesterday,\n"
        f"{ADA.upper()},unsub,newsletter,,again\n"
        f'bob@example.com,,,,"call +33 6 12 34 56 78, or\nwrite to {ADA}"\n'
        "eve@example.com,custom\n"
        "eve@example.com,custom,newsletter,,\n",
        "utf-8-sig",
    )
    ran = suppress("--import", "in.csv")
    assert (ran.status, ran.out) == (1, "3 suppressed, 1 known already, 4 wrong\n")
    assert ran.err.splitlines() == [
        "line 5 of in.csv: the address is neither an e-mail address nor an international number such as +33612345678",
        "line 6 of in.csv: its suppressed_at is not a time: write 2026-03-31T10:00:00+02:00",
        "line 10 of in.csv: it has 2 cells, and there are 5 columns",
        "line 11 of in.csv: 'custom' stops everything to an address: only 'unsub' has a scope",
    ]
    assert suppressed() == sorted(
        [
            ("email", ADAS, "unsub", "newsletter", "the old tool"),
            ("sms", NUMBERS, "stop", "", ""),
            ("email", *HASHES.of("email", "bob@example.com"), "custom", "", "call […], or write to […]"),
        ]
    )


UNREADABLE = {
    f'address,evidence\n{ADA},"by letter\nbob@example.com,by letter\n': (
        "line 3 of in.csv: the file ends within quotes: close them, since nothing behind them was read"
    ),
    f"address,source,scope\n{ADA},unsub,Fidélité\n": (
        "line 2 of in.csv: it is not UTF-8: save the file as 'CSV UTF-8'"
    ),
    "hash,channel\nxyz,email\n": "line 2 of in.csv: its hash is not 64 hexadecimal digits",
    f"hash,channel\n{ADAS},\n": "line 2 of in.csv: a hash does not tell its channel: name it",
    f"hash,channel\n{ADAS},webhook\n": "line 2 of in.csv: 'webhook' is no channel with addresses: it is one of email",
    f"hash,channel,source\n{ADAS},email,angry\n": "line 2 of in.csv: 'angry' suppresses nothing by email: it is one of",
    "\n": "and '' is none: there are address, channel, hash, source, scope, suppressed_at and evidence",
    "adress,source\n": "and 'adress' is none: did you mean 'address'?",
    f"{ADA},unsub\n": "and '…' is none: there are address, ",
    "source,scope\n": "line 1 has to name one of the columns 'address' and 'hash'",
    "address,hash\n": "line 1 has to name one of the columns 'address' and 'hash'",
    "address,address\n": "line 1 names a column twice",
}


@pytest.mark.parametrize(("content", "said"), UNREADABLE.items(), ids=UNREADABLE.values())
def test_what_cannot_be_read_suppresses_nothing(
    suppress: Run, suppressed: Suppressed, tmp_path: Path, content: str, said: str
):
    (tmp_path / "in.csv").write_text(content, "cp1252")
    ran = suppress("--import", "in.csv")
    assert (ran.status, said in ran.err, ADA in ran.err, suppressed()) == (1, True, False, []), ran.err


def test_what_was_carried_away_can_be_brought_in_elsewhere(
    run: Run, suppress: Run, suppressed: Suppressed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    given = [
        Suppression("email", ADAS, "unsub", datetime(2026, 3, 31, 8, tzinfo=UTC), "a,b", 'said "no"'),
        Suppression("sms", NUMBERS, "stop", datetime(2026, 3, 30, 8, 0, 0, 5, tzinfo=UTC)),
    ]
    suppressed(*given)
    ran = suppress("--export", "out.csv")
    assert (ran.status, ran.out, ran.err) == (0, "", "2 exported\n")
    text = (tmp_path / "out.csv").read_text("utf-8")
    assert text.splitlines()[0] == "channel,hash,source,scope,suppressed_at,evidence"
    assert suppress("--export", "-").out == text
    assert suppress("--export", "-", "--source", "stop").out.count("\n") == 2
    monkeypatch.setenv("SCENARIO_STORE", f"sqlite:///{tmp_path / 'other.db'}")
    run("store", "upgrade")
    monkeypatch.delenv("SCENARIO_SUPPRESSION_KEY")  # which hashes do not need
    assert suppress("--import", "out.csv", "--format", "json").json == {"new": 2, "known": 0, "bad": []}
    assert suppress("--export", "-").out == text
    assert suppress("--import", "out.csv").out == "0 suppressed, 2 known already, 0 wrong\n"


def test_a_spreadsheets_semicolons_will_do_and_options_fill_what_lines_leave_out(
    suppress: Run, suppressed: Suppressed, tmp_path: Path
):
    (tmp_path / "in.csv").write_text(f"Address;Scope\r\n{ADA};vip\r\n{ADA};\r\n", "utf-8")
    ran = suppress("--import", "in.csv", "--source", "unsub", "--scope", "newsletter", "--evidence", "moved")
    assert (ran.status, ran.out) == (0, "2 suppressed, 0 known already, 0 wrong\n")
    assert suppressed() == [("email", ADAS, "unsub", "newsletter", "moved"), ("email", ADAS, "unsub", "vip", "moved")]


def test_many_wrong_lines_do_not_flood_the_screen(suppress: Run, tmp_path: Path):
    (tmp_path / "in.csv").write_text("address\n" + "nobody\n" * 45, "utf-8")
    ran = suppress("--import", "in.csv")
    assert len(ran.err.splitlines()) == 21
    assert ran.err.endswith("and 25 more invalid lines\n")
    assert ran.out == "0 suppressed, 0 known already, 45 wrong\n"


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
