"""The way in over HTTP, with sockets on one side and a stand-in for the journeys on the other."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import AsyncMock

import httpx
import pytest
from starlette.applications import Starlette
from temporalio.api.enums.v1 import WorkflowExecutionStatus
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionResponse
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from authoring.errors import BadInput
from gateway.callbacks import app
from gateway.callbacks.app import MAX_BODY, MOST_BYTES, MOST_EVENTS, CallbackEvent, Overfull, Receiving, Unsettled
from runtime.process.http_server import HttpServer
from runtime.public_links import CallbackClaim, Callbacks
from service.concurrency import RateLimit
from service.events import RESERVED_NAME

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
JOURNEY = "post-purchase/3028687/CGX0094"
ROOT = "0199a1b2-0000-7000-8000-0123456789ab"
DELIVERY = "msg_00112233445566778899aabbccddeeff"
EVENT = {"name": "chat.replied", "properties": {"text": "yes"}}
RESERVED = ["email.clicked", "sms.replied", "whatsapp.any", "contact.changed", "contact.unsubscribed"]
GONE = {"error": "this callback address has expired, or its journey is over"}
NOBODY = {"error": "there is no such callback address: post to it exactly as it was sent to you"}


@dataclass(frozen=True)
class Gateway:
    client: httpx.AsyncClient

    def path(self, key: bytes = KEY, *, age: timedelta = timedelta()) -> str:
        return Callbacks("", [key]).url(JOURNEY, ROOT, DELIVERY, datetime.now(UTC) - age)

    async def post(self, event: Any = EVENT, path: str | None = None, **headers: str) -> httpx.Response:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.post(path or self.path(), json=event, headers=given)


def application(tell: AsyncMock, **options: Any) -> Starlette:
    return Receiving(Callbacks("", [KEY]), tell, **options).application


def serve(tell: AsyncMock, **options: Any) -> Gateway:
    transport = httpx.ASGITransport(application(tell, **options))
    return Gateway(httpx.AsyncClient(transport=transport, base_url="http://test"))


@pytest.fixture
def tell() -> AsyncMock:
    """Stands in for Temporal: it is called with a claim, an event and its id, and returns if the journey is told."""
    return AsyncMock(return_value=True)


@pytest.fixture
def gateway(tell: AsyncMock) -> Gateway:
    return serve(tell)


@asynccontextmanager
async def listening(tell: AsyncMock, **options: Any) -> AsyncGenerator[Gateway]:
    async with HttpServer() as server:
        server.start(application(tell), **options)
        async with httpx.AsyncClient(base_url=server.url, trust_env=False, verify=False) as client:
            yield Gateway(client)


def ids(tell: AsyncMock) -> list[str | None]:
    return [call.args[2] for call in tell.call_args_list]


async def test_an_event_reaches_the_journey_of_the_address_and_is_answered_202(gateway: Gateway, tell: AsyncMock):
    answer = await gateway.post()
    assert (answer.status_code, answer.json()) == (202, {})
    claim, event, identifier = tell.call_args.args
    assert (claim.workflow_id, claim.root, claim.delivery_id) == (JOURNEY, ROOT, DELIVERY)
    assert (event, identifier) == (CallbackEvent(name="chat.replied", properties={"text": "yes"}), None)
    tell.return_value = False
    answer = await gateway.post()
    assert (answer.status_code, answer.json()) == (410, GONE), "the journey is over"


IDENTIFIED: list[tuple[dict[str, Any], dict[str, str], str | None]] = [
    (EVENT, {"idempotency_key": '"8e03978e-40d5"'}, "8e03978e-40d5"),
    (EVENT, {"idempotency_key": "8e03978e-40d5"}, "8e03978e-40d5"),
    (EVENT | {"id": "evt_1"}, {"webhook_id": "msg_9", "idempotency_key": "k"}, "evt_1"),
    (EVENT, {"webhook_id": "msg_9", "idempotency_key": "k"}, "msg_9"),
    (EVENT, {"webhook_id": ""}, None),
]


async def test_an_event_that_is_sent_twice_can_be_recognised(gateway: Gateway, tell: AsyncMock):
    for event, headers, _ in IDENTIFIED:
        assert (await gateway.post(event, **headers)).status_code == 202
    assert ids(tell) == [identifier for *_, identifier in IDENTIFIED]


async def test_an_address_that_is_not_good_does_nothing(gateway: Gateway, tell: AsyncMock):
    good, month = gateway.path(), timedelta(days=31)
    nothing = {"error": "there is nothing here"}
    for path, status, said in (
        (gateway.path(OTHER), 404, NOBODY),
        (gateway.path(OTHER, age=month), 404, NOBODY),
        (f"{good}x", 404, NOBODY),
        (f"/callbacks/{'A' * 5000}", 404, NOBODY),
        (gateway.path(age=month), 410, GONE),
        (f"{good}{good}", 404, nothing),
        (f"{good}/", 404, nothing),
        ("/callbacks/", 404, nothing),
    ):
        answer = await gateway.post(path=path)
        assert (answer.status_code, answer.json(), tell.called) == (status, said, False)
        assert "location" not in answer.headers
    for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS"):
        answer = await gateway.client.request(method, good)
        assert (answer.status_code, answer.headers["allow"], tell.called) == (405, "POST", False)


async def test_only_json_is_taken(gateway: Gateway, tell: AsyncMock):
    for form, coding, status in (
        ("Application/JSON; charset=utf-8", "", 202),
        ("application/cloudevents+json", "identity", 202),
        ("application/json", "gzip", 415),
        ("text/plain", "", 415),
        ("text/evil+json", "", 415),
        ("", "", 415),
    ):
        headers = {name: value for name, value in (("content-type", form), ("content-encoding", coding)) if value}
        answer = await gateway.client.post(gateway.path(), content=json.dumps(EVENT).encode(), headers=headers)
        assert answer.status_code == status
    assert tell.call_count == 2


async def test_what_is_no_event_is_answered_400_in_a_sentence(gateway: Gateway, tell: AsyncMock):
    for event, headers in (({"name": "a b"}, {}), (EVENT, {"webhook_id": "x" * 129})):
        answer = await gateway.post(event, **headers)
        assert (answer.status_code, list(answer.json()), tell.called) == (400, ["error"], False)


@pytest.mark.parametrize("name", RESERVED)
async def test_a_program_cannot_send_an_event_with_a_reserved_name(gateway: Gateway, tell: AsyncMock, name: str):
    answer = await gateway.post({"name": name})
    assert (answer.status_code, answer.json(), tell.called) == (422, {"error": RESERVED_NAME}, False)


async def parts(*contents: bytes, pause: float = 0.0) -> AsyncIterator[bytes]:
    for content in contents:
        yield content
        await asyncio.sleep(pause)


async def test_bodies_are_bounded(gateway: Gateway, tell: AsyncMock):
    filled, hasty = b'{"name": "x"}'.ljust(MAX_BODY), serve(tell, patience=0.2)
    for of, content, status in (
        (gateway, filled, 202),
        (gateway, filled + b" ", 413),
        (gateway, parts(filled, b" "), 413),  # what comes is counted, and not what is said
        (hasty, parts(*[b"{"] * 8, pause=0.04), 408),  # drop by drop
    ):
        given: dict[str, Any] = {"content": content, "headers": {"content-type": "application/json"}}
        answer = await of.client.post(of.path(), **given)
        assert (answer.status_code, answer.headers.get("connection")) == (status, "close" if status > 202 else None)
    assert tell.call_count == 1


async def test_a_request_that_takes_longer_than_its_head_may_is_answered(tell: AsyncMock):
    async with listening(tell, patience=0.25) as gateway:
        content = parts(b'{"name": ', b'"x"}', pause=0.5)
        headers = {"content-type": "application/json"}
        assert (await gateway.client.post(gateway.path(), content=content, headers=headers)).status_code == 202


async def test_a_client_that_goes_away_in_the_middle_is_no_trouble(tell: AsyncMock, caplog: pytest.LogCaptureFixture):
    async with listening(tell) as gateway:
        _, writer = await asyncio.open_connection("127.0.0.1", gateway.client.base_url.port)
        head = f"POST {gateway.path()} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100"
        writer.write(f"{head}\r\n\r\n{{".encode())
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.close()
        assert (await gateway.post()).status_code == 202
    assert tell.call_count == 1
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_an_event_that_cannot_be_told_now_may_be_sent_again(tell: AsyncMock, caplog: pytest.LogCaptureFixture):
    gateway = serve(tell, patience=0.2)

    async def never(*_: Any) -> None:
        await asyncio.Event().wait()

    for tell.side_effect in (RPCError("secret text", RPCStatusCode.UNAVAILABLE, b""), Unsettled(), never):
        answer = await gateway.post()
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert answer.json() == {"error": "the event cannot be taken now: try again"}
    assert "secret" not in caplog.text


async def test_one_address_cannot_drown_its_journey(tell: AsyncMock):
    gateway = serve(tell, pace=RateLimit(2, 60, lambda: 0))
    answers = [await gateway.post() for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202, 202, 429]
    assert answers[2].headers["retry-after"] == "60"
    assert tell.call_count == 2


async def test_health_needs_no_journey(gateway: Gateway):
    answer = await gateway.client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"alive": True})
    assert (await gateway.client.post("/healthz")).status_code == 405


async def test_no_token_and_no_property_is_logged(tell: AsyncMock, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    tell.side_effect = [True, ValueError("zoe: a bug"), False]
    async with listening(tell) as gateway:
        path = gateway.path()
        await gateway.post({"name": "chat.replied", "properties": {"text": "zoe.obrien@example.com"}}, path)
        await gateway.client.get(path)
        answer = await gateway.post(path=path)
        assert (answer.status_code, answer.text) == (500, "Internal Server Error")
        await gateway.post(path=path)
    said = [record.getMessage() for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    assert f"event chat.replied for {JOURNEY} by {DELIVERY}" in said
    assert path.rpartition("/")[2] not in "\n".join(said)
    assert "zoe" not in "\n".join(said)


LINK = "?name=newsletter.confirmed&score=9&q=%3Cscript%3E"
FORM = {"content-type": "application/x-www-form-urlencoded"}


class TestALink:
    """A callback address that names an event, in a message that people read."""

    async def test_opened_shows_a_page_that_asks_and_tells_nobody(self, gateway: Gateway, tell: AsyncMock):
        for method in ("HEAD", "GET"):
            answer = await gateway.client.request(method, gateway.path() + LINK)
            assert (answer.status_code, tell.called) == (200, False)
            assert answer.headers["content-type"] == "text/html; charset=utf-8"
            assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
            assert (answer.headers["cache-control"], answer.headers["referrer-policy"]) == ("no-store", "no-referrer")
        assert '<form method="post"><button>Confirm</button></form>' in answer.text
        assert "script" not in answer.text  # neither ours nor anybody's

    async def test_s_button_tells_the_journey_once_however_often_it_is_pressed(self, gateway: Gateway, tell: AsyncMock):
        path = gateway.path() + LINK
        for score, different in (("9", 1), ("9", 1), ("8", 2)):
            answer = await gateway.client.post(path.replace("=9", f"={score}"), headers=FORM)
            assert (answer.status_code, "Thank you" in answer.text) == (200, True)
            event = CallbackEvent(name="newsletter.confirmed", properties={"score": score, "q": "<script>"})
            assert (tell.call_args.args[1], len({*ids(tell)})) == (event, different)

    async def test_that_leads_nowhere_says_so_to_people(self, gateway: Gateway, tell: AsyncMock):
        for path, status, words in (
            (gateway.path(OTHER) + LINK, 404, "does not work"),
            (gateway.path(age=timedelta(days=31)) + LINK, 410, "has expired"),
            (gateway.path() + "?name=a%20b", 400, "does not work"),
        ):
            for method in ("GET", "POST"):
                answer = await gateway.client.request(method, path, headers=FORM)
                assert (answer.status_code, words in answer.text, "<form" in answer.text) == (status, True, False)
        assert not tell.called
        tell.side_effect = [False, Unsettled("it does not stand still")]
        for status, words in ((410, "has expired"), (503, "try again in a few minutes")):
            answer = await gateway.client.post(gateway.path() + LINK, headers=FORM)
            assert (answer.status_code, words in answer.text) == (status, True)
        assert answer.headers["retry-after"] == "5"

    async def test_speaks_the_language_of_the_browser(self, gateway: Gateway):
        for asked, sentence in (
            ("fr-FR,fr;q=0.9,en;q=0.8", "Cliquez sur le bouton pour confirmer."),
            ("xx, es", "Pulse el botón para confirmar."),
            ("", "Please press the button to confirm."),
        ):
            answer = await gateway.client.get(gateway.path() + LINK, headers={"accept-language": asked})
            assert f"<p>{sentence}</p>" in answer.text

    @pytest.mark.parametrize("name", RESERVED)
    async def test_that_names_a_reserved_event_no_longer_counts(self, gateway: Gateway, tell: AsyncMock, name: str):
        for method in ("GET", "POST"):
            answer = await gateway.client.request(method, f"{gateway.path()}?name={name}", headers=FORM)
            assert (answer.status_code, "This link no longer counts." in answer.text) == (410, True)
            assert "<form" not in answer.text
        answer = await gateway.client.get(f"{gateway.path(OTHER)}?name={name}")
        assert answer.status_code == 404, "a forged token is answered as for any other name"
        assert not tell.called

    async def test_takes_an_event_of_a_program_all_the_same(self, gateway: Gateway, tell: AsyncMock):
        answer = await gateway.post(path=gateway.path() + LINK)
        assert (answer.status_code, tell.call_args.args[1].name) == (202, "chat.replied")


SECRET = "zoe.obrien@example.com"


def nested(levels: int) -> Any:
    return {"a": nested(levels - 1)} if levels else 1


def test_an_event_is_read():
    properties = {"text": "é\u2028", "n": [1, None]}
    for content in ({"name": "a:b-c_d", "properties": properties, "id": "e1"}, {"name": "x", "id": None}):
        for ascii_only in (True, False):
            read = CallbackEvent.parse(json.dumps(content, ensure_ascii=ascii_only).encode())
            assert read == CallbackEvent.model_validate(content)


A = b'{"name": "x", "properties": {"a": '


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (b"\xff\xfe", "the body is not UTF-8"),
        (b"name=x", "the body is not JSON"),
        (A + b'"\\ud800"}}', "a text of the body holds half a character"),
        (A + b"1e999}}", "the event holds something that JSON does not have, such as NaN"),
        (A + b"9" * 5000 + b"}}", "the body holds a number of more than 4,300 digits"),
        (b"[]", "the body must be an object"),
        ({"name": 1}, "'name' must be an event's name"),
        ({"name": SECRET}, "'name' must be an event's name"),
        ({"name": "x" * 201}, "'name' must be an event's name"),
        ({"name": "x", "properties": [SECRET]}, "'properties' must be an object"),
        ({"name": "x", "properties": None}, "'properties' must be an object"),
        ({"name": "x", "id": 1}, "'id' must be 1 to 128"),
        ({"name": "x", "id": "a b"}, "'id' must be 1 to 128"),
        ({"name": "x", "id": "a" * 129}, "'id' must be 1 to 128"),
        ({"name": "x", "more": SECRET}, "and nothing else"),
        ({"name": "x", "properties": nested(150)}, "nested too deeply"),
        (b'{"name": "x", "properties": ' + b'{"a":' * 5000, "the body is nested more than 100 levels deep"),
    ],
)
def test_what_is_no_event_is_told_why_and_not_quoted(content: Any, wanted: str):
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    with pytest.raises(BadInput) as caught:
        CallbackEvent.parse(raw)
    assert wanted in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


CLAIM = CallbackClaim("a/7", "root", "msg_1", datetime(2027, 1, 1, tzinfo=UTC))
RUNNING = WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING


@dataclass
class Runs:
    """Stands in for Temporal's client: a journey that is in one run after the other, each time that one looks."""

    runs: list[WorkflowExecutionInfo]
    gone: tuple[str, ...]
    signals: list[tuple[str, dict[str, Any]]] = field(default_factory=list[tuple[str, dict[str, Any]]])
    namespace = "default"

    @property
    def workflow_service(self) -> Any:
        return SimpleNamespace(describe_workflow_execution=self._describe)

    async def _describe(self, _: Any, **__: Any) -> DescribeWorkflowExecutionResponse:
        if not self.runs:
            raise RPCError("not found", RPCStatusCode.NOT_FOUND, b"")
        return DescribeWorkflowExecutionResponse(workflow_execution_info=self.runs.pop(0))

    def get_workflow_handle(self, _: str, *, run_id: str) -> Any:
        async def signal(name: str, message: dict[str, Any], **_: Any) -> None:
            if run_id in self.gone:
                raise RPCError("not found", RPCStatusCode.NOT_FOUND, b"")
            self.signals.append((run_id, {"signal": name, **message}))

        return SimpleNamespace(signal=signal)


def run(name: str, *, first: str = "root", status: Any = RUNNING, length: int = 10, size: int = 1_000) -> Any:
    info = WorkflowExecutionInfo(first_run_id=first, status=status, history_length=length, history_size_bytes=size)
    info.execution.run_id = name
    return info


COMPLETED = WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_COMPLETED
FOUR = ("r1", "r2", "r3", "r4")
SEEN: dict[str, tuple[list[Any], tuple[str, ...], str | type[Exception] | None]] = {
    "in this run": ([run("r3")], (), "r3"),
    "in the next run meanwhile": ([run("r1"), run("r2")], ("r1",), "r2"),
    "forgotten": ([], (), None),
    "another's": ([run("r3", first="another")], (), None),
    "over": ([run("r3", status=COMPLETED)], (), None),
    "it does not stand still": ([run(name) for name in FOUR], FOUR, Unsettled),
    "a history nearly full of events": ([run("r1", length=MOST_EVENTS + 1)], (), Overfull),
    "a history nearly full of bytes": ([run("r1", size=MOST_BYTES + 1)], (), Overfull),
}


@pytest.mark.parametrize(("runs", "gone", "expected"), SEEN.values(), ids=SEEN)
async def test_the_run_in_which_the_journey_is_now_is_told(runs: list[Any], gone: tuple[str, ...], expected: Any):
    temporal = Runs([*runs], gone)
    telling = app.tell(cast("Client", temporal), CLAIM, CallbackEvent(name="x", properties={"a": 1}), "e1")
    if isinstance(expected, type):
        with pytest.raises(expected):
            await telling
        return
    assert await telling is (expected is not None)
    event = {"signal": "event", "name": "x", "properties": {"a": 1}, "id": "msg_1/e1"}
    assert temporal.signals == ([(expected, event)] if expected else [])
