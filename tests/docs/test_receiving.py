"""What the page for receivers shows is right: its programs are run against what the sender really signs and answers."""

from __future__ import annotations

import asyncio
import base64
import importlib
import json
import re
import sqlite3
import sys
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from activities.outcome import Outcome
from activities.webhook.outcome import of_status
from activities.webhook.signing import Key, headers
from gateway.callbacks.app import PACE, CallbackEvent, Receiving
from runtime.process.http_server import HttpServer
from runtime.public_links import CALLBACK_LIFE, CallbackClaim, Callbacks
from service.concurrency import RateLimit
from tests import nodes

FOLDER = Path(__file__).parents[2] / "docs" / "integrate"
PAGE = (FOLDER / "receiving.md").read_text(encoding="utf-8")
PROGRAMS = {
    **dict(re.findall(r"```python\n# ([\w.]+)\n(.*?)```", PAGE, re.DOTALL)),
    **{path.name: path.read_text(encoding="utf-8") for path in (FOLDER / "receiving").iterdir() if path.is_file()},
}
ID = "msg_00112233445566778899aabbccddeeff"
BODY = '{"name": "Zoé", "lines": [1, 2]}'.encode()


def secret(seed: int) -> str:
    return "whsec_" + base64.b64encode(bytes(range(seed, seed + 32))).decode()


def pair(seed: int) -> tuple[str, str]:
    raw = bytes(range(seed, seed + 32))
    public = Ed25519PrivateKey.from_private_bytes(raw).public_key().public_bytes_raw()
    return "whsk_" + base64.b64encode(raw).decode(), "whpk_" + base64.b64encode(public).decode()


NEW, OLD, OTHER = secret(0), secret(50), secret(100)
PRIVATE, PUBLIC = pair(0)
OTHER_PUBLIC = pair(50)[1]


@dataclass(frozen=True)
class Case:
    """A request, and whether a receiver takes it. Of `changes`, None takes a header away."""

    name: str
    good: bool
    signed: tuple[str, ...] = (NEW,)
    known: tuple[str, ...] = (NEW,)
    age: int = 0
    moved: int = 0
    body: bytes = BODY
    changes: Mapping[str, str | None] = field(default_factory=dict[str, str | None])

    def headers(self) -> dict[str, str]:
        now = datetime.now(UTC) - timedelta(seconds=self.age)
        made = headers([Key.parse(key) for key in self.signed], ID, now, BODY)
        made["webhook-timestamp"] = str(int(made["webhook-timestamp"]) + self.moved)
        return {name: value for name, value in {**made, **self.changes}.items() if value is not None}


SHARED = [
    Case("a request", True),
    Case("one signed with the new key and the old, by who knows the new", True, signed=(NEW, OLD)),
    Case("one signed with the old key, by who knows both", True, signed=(OLD,), known=(NEW, OLD)),
    Case("one signed in both ways", True, signed=(PRIVATE, NEW)),
    Case("one four minutes old", True, age=240),
    Case("one four minutes ahead", True, age=-240),
    Case("one of another key", False, signed=(OTHER,)),
    Case("one of the old key, when it is no longer known", False, signed=(OLD,)),
    Case("one six minutes old", False, age=360),
    Case("one six minutes ahead", False, age=-360),
    Case("another body", False, body=BODY.replace(b"1", b"2")),
    Case("another id", False, changes={"webhook-id": "msg_1"}),
    Case("another time", False, moved=60),
    Case("a time that is none", False, changes={"webhook-timestamp": "now"}),
    Case("no id", False, changes={"webhook-id": None}),
    Case("no time", False, changes={"webhook-timestamp": None}),
    Case("no signature", False, changes={"webhook-signature": None}),
    *(
        Case(f"the signature {text!r}", False, changes={"webhook-signature": text})
        for text in ("", "v1", "v1,????", "v1,é", "v2,abcd", "v1a,AAAA", "v1,AAAA v1,AAAA")
    ),
]
PUBLIC_KEY = [
    Case("one of a private key", True, signed=(PRIVATE,), known=(PUBLIC,)),
    Case("one of a private key, by who knows two", True, signed=(PRIVATE,), known=(OTHER_PUBLIC, PUBLIC)),
    Case("one of another private key", False, signed=(PRIVATE,), known=(OTHER_PUBLIC,)),
    Case("one of a private key with another body", False, signed=(PRIVATE,), known=(PUBLIC,), body=BODY + b" "),
    Case("an old one of a private key", False, signed=(PRIVATE,), known=(PUBLIC,), age=360),
    Case("one of a secret, by who knows a public key", False, known=(PUBLIC,)),
    *(
        Case(f"the signature {text!r}, to who knows a public key", False, (PRIVATE,), (PUBLIC,), changes=changes)
        for text in ("v1a", "v1a,????", "v1a,AAAA", "v1,AAAA")
        for changes in [{"webhook-signature": text}]
    ),
]
ONLY_PUBLIC_KEY = [Case("one of a private key, by who knows a secret", False, signed=(PRIVATE,))]


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    for name, text in PROGRAMS.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture
def load(programs: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    monkeypatch.setattr(sys, "path", [str(programs), *sys.path])
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if f"{name}.py" in PROGRAMS:
            del sys.modules[name]


@pytest.fixture
def node() -> str:
    return str(nodes.node())


def test_the_page_has_its_programs():
    listed = re.findall(r"\(receiving/([\w.]+)\)", PAGE)
    assert sorted(PROGRAMS) == sorted([*listed, "verify.py"])


def genuine(cases: list[Case]) -> list[str]:
    return [case.name for case in cases if case.good]


@pytest.mark.parametrize(("program", "cases"), [("verify", SHARED + ONLY_PUBLIC_KEY), ("verify_ed25519", PUBLIC_KEY)])
def test_python_takes_what_is_genuine_and_nothing_else(
    load: Callable[[str], ModuleType], program: str, cases: list[Case]
):
    module = load(program)
    taken: list[str] = []
    for case in cases:
        try:
            assert module.verify(case.headers(), case.body, list(case.known)) == ID
        except module.Refused:
            continue
        taken.append(case.name)
    assert taken == genuine(cases)


async def test_node_takes_what_is_genuine_and_nothing_else(programs: Path, node: str):
    cases = SHARED + PUBLIC_KEY + ONLY_PUBLIC_KEY
    given = [
        {"headers": case.headers(), "body": base64.b64encode(case.body).decode(), "known": case.known} for case in cases
    ]
    (programs / "cases.json").write_text(json.dumps(given), encoding="utf-8")
    script = """
        import { readFileSync } from "node:fs";
        import { verify } from "./verify.mjs";
        console.log(JSON.stringify(JSON.parse(readFileSync("cases.json")).map(({ headers, body, known }) => {
          try { return verify(headers, Buffer.from(body, "base64"), known); } catch (error) { return null; }
        })));
    """
    done = await asyncio.create_subprocess_exec(
        node, "--input-type=module", "-e", script, cwd=programs, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await done.communicate()
    found = json.loads(out)
    assert set(found) == {ID, None}
    assert [case.name for case, identifier in zip(cases, found, strict=True) if identifier == ID] == genuine(cases)


@asynccontextmanager
async def started(folder: Path, *command: str, **variables: str) -> AsyncGenerator[tuple[int, asyncio.StreamReader]]:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, env={"PORT": "0", **variables}, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(100):
            line = (await process.stdout.readline()).decode()
        yield int(line.rpartition(" ")[2]), process.stdout
    finally:
        process.kill()
        await process.wait()


async def deliver(port: int) -> list[int]:
    good = Case("", True, signed=(NEW, OLD))
    sent = [good, good, Case("", False, signed=(OTHER,)), Case("", False, body=b"{}")]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        answers = [await client.post("/", content=case.body, headers=case.headers()) for case in sent]
    return [answer.status_code for answer in answers]


async def test_the_receiver_in_python_keeps_each_delivery_once(programs: Path):
    database = programs / "inbox.db"
    variables = {"WEBHOOK_SECRETS": f"{NEW} {OLD}", "DATABASE": str(database)}
    async with started(programs, sys.executable, "receiver.py", **variables) as (port, _):
        assert await deliver(port) == [204, 204, 401, 401]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\ncontent-length: 99999999\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")
        writer.close()
    with closing(sqlite3.connect(database)) as inbox:
        assert inbox.execute("SELECT id, body, done FROM inbox").fetchall() == [(ID, BODY, 0)]


async def test_the_receiver_in_node_keeps_each_delivery_once(programs: Path, node: str):
    async with started(programs, node, "receiver.mjs", WEBHOOK_SECRETS=f"{NEW} {OLD}") as (port, printed):
        assert await deliver(port) == [204, 204, 401, 401]
        assert (await printed.readline()).decode().strip() == f"kept {ID}"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await printed.readline()


@dataclass
class Journey:
    told: list[tuple[CallbackEvent, str | None]] = field(default_factory=list[tuple[CallbackEvent, str | None]])
    over: bool = False

    async def tell(self, _claim: CallbackClaim, event: CallbackEvent, identifier: str | None) -> bool:
        self.told.append((event, identifier))
        return not self.over


@asynccontextmanager
async def listening(journey: Journey, **options: Any) -> AsyncGenerator[str]:
    async with HttpServer() as there:
        callbacks = Callbacks(there.url, [bytes(range(32))])
        there.start(Receiving(callbacks, journey.tell, **options).application)
        yield callbacks.url("post-purchase/1", "0199a1b2-0000-7000-8000-0123456789ab", ID, datetime.now(UTC))


TELLING = {
    "python": (
        "import sys, tell",
        "try: print(tell.tell(sys.argv[1], 'chat.replied', {'text': 'oui, Zoé'}, 'reply-1', 3, 0.01))",
        "except RuntimeError as error: print(error)",
    ),
    "node": (
        "import { tell } from './tell.mjs';",
        "const options = { tries: 3, pause: 10 };",
        "const told = tell(process.argv[1], 'chat.replied', { text: 'oui, Zoé' }, 'reply-1', options);",
        "console.log(await told.catch((error) => error.message));",
    ),
}


@pytest.fixture(params=TELLING)
def tell(request: pytest.FixtureRequest, programs: Path) -> Callable[..., Any]:
    script = "\n".join(TELLING[request.param])
    if request.param == "python":
        command = [sys.executable, "-c", script]
    else:
        command = [request.getfixturevalue("node"), "--input-type=module", "-e", script]

    async def run(address: str) -> str:
        process = await asyncio.create_subprocess_exec(*command, address, cwd=programs, stdout=asyncio.subprocess.PIPE)
        out, _ = await process.communicate()
        return out.decode().strip()

    return run


async def test_a_journey_is_told_once_the_gateway_is_not_asked_too_often(tell: Callable[..., Any]):
    moments = iter([0.0, 59.5, 61.0])  # it says 1 s
    journey = Journey()
    async with listening(journey, pace=RateLimit(1, 60, lambda: next(moments))) as address:
        await tell(address)
        assert (await tell(address)).lower() == "true"
    event = CallbackEvent(name="chat.replied", properties={"text": "oui, Zoé"}, id="reply-1")
    assert journey.told == [(event, "reply-1")] * 2


async def test_a_journey_that_cannot_be_told_is_no_success(tell: Callable[..., Any]):
    async with listening(Journey(over=True)) as address:
        assert (await tell(address)).lower() == "false"
        # A cut address is an error that does not show it.
        assert await tell(address[:-1]) == "the journey was not told: 404"
    assert await tell(address) == "the journey was not told: no answer"


def rows(title: str) -> list[list[str]]:
    table = re.search(rf"^\| {title} \|.*\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    assert table is not None
    return [[cell.strip() for cell in line.strip("|\n").split("|")] for line in table[1].splitlines()]


def statuses(text: str) -> set[int]:
    spans = {status for low, high in re.findall(r"(\d+) to (\d+)", text) for status in range(int(low), int(high) + 1)}
    return spans | {int(status) for status in re.findall(r"\d{3}", text)}


def test_the_table_of_answers_is_what_the_sender_does():
    delivered, later, soon, gone, never = (statuses(row[0]) for row in rows("you answer"))
    known = {
        Outcome.DELIVERED: delivered,
        Outcome.RETRY: later,
        Outcome.RETRY_SHORT: soon,
        Outcome.PERMANENT: gone | never,
    }
    for outcome, listed in known.items():
        assert {status for status in listed if of_status(status).outcome is not outcome} == set()
    assert {of_status(status).reason for status in gone} == {"gone"}
    # Every status that anybody uses and that is not one of its kind is named.
    for status in (*range(400, 418), *range(421, 432), 451):
        if of_status(status).outcome in (Outcome.RETRY, Outcome.RETRY_SHORT):
            assert status in later | soon


def test_the_table_of_the_gateways_answers_and_the_numbers_are_those_of_the_code():
    gateway = Path(__file__).parents[2] / "gateway"
    source = "".join((gateway / name).read_text(encoding="utf-8") for name in ("callbacks/app.py", "public_calls.py"))
    refusals = {int(status) for status in re.findall(r"RefusedCall\((\d+)", source)}
    assert {status for row in rows("answer") for status in statuses(row[0])} == refusals | {202, 400, 405}
    assert f"works for {CALLBACK_LIFE.days} days" in PAGE
    assert (f"more than {PACE[0]} events in a minute" in PAGE, PACE[1]) == (True, 60)
