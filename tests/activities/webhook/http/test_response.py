import asyncio
import contextlib
import gzip
import socket
from collections.abc import Callable

import pytest

from activities.outcome import Outcome
from activities.webhook.errors import AttemptError, RefusedError
from activities.webhook.http.connections import MAX_INTERIM, translate
from activities.webhook.http.exchange import MAX_BODY, MAX_HEADERS, Flight, Phase, Request, Target, authored, sendable
from activities.webhook.http.transport import Transport
from scenario.errors import TemplateError
from scenario.http.destinations import FRAMING, MAX_VALUE
from scenario.liquid import check_header_name
from tests.activities.webhook import faults
from tests.activities.webhook.casefiles import table
from tests.activities.webhook.faults import Behaviour, End, Receiver, answer, failure, head, raw, receiver

Post = Callable[..., Request]


DRIP = raw(b"HTTP/1.1 200 OK\r\n", *(b"x-drip: drop\r\n" for _ in range(500)), pause=0.02, end=End.HANG)


# -- Before there is a response ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "word", "unknown"),
    [
        (faults.reset_before_headers(), "reset_before_response", True),
        (faults.close_unanswered(), "disconnect_without_response", True),
        (raw(b"HTTP/1.1 200 OK\r\nx: ", end=End.CLOSE), "disconnect_without_response", True),
        (raw(b"HTTP/1.1 200 OK\r\nx: ", pause=0.02, end=End.RESET), "reset_before_response", True),
        (faults.malformed(), "malformed_response", False),
        (raw(b"HTTP/1.1 banana\r\n\r\n", end=End.CLOSE), "malformed_response", False),
        (raw(b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", end=End.CLOSE), "malformed_response", False),
        (raw(head(200, "x-huge: " + "h" * 300_000, length=0), end=End.CLOSE), "response_header_too_large", False),
        (raw(head(200, *(f"x-{n}: v" for n in range(5000)), length=0)), "malformed_response", False),
    ],
)
async def test_no_response(transport: Transport, post: Post, fault: Behaviour, word: str, unknown: bool):
    async with receiver(fault) as there:
        error = await failure(transport, post(there))
    assert isinstance(error, AttemptError)
    assert (error.word, error.verdict.unknown) == (word, unknown)
    assert len(there.calls) == 1
    assert error.verdict.outcome is Outcome.RETRY


@pytest.mark.parametrize(("fault", "pieces"), [(faults.silence(), 0), (DRIP, 5)])
async def test_no_response_in_time(
    transport: Transport, post: Post, out_of_time: Callable[[], None], fault: Behaviour, pieces: int
):
    async with receiver(fault) as there:
        task = asyncio.create_task(failure(transport, post(there)))
        await there.called.wait()
        while there.pieces < pieces:
            await asyncio.sleep(0.01)
        out_of_time()
        error = await task
    assert isinstance(error, AttemptError)
    assert (error.word, type(error), len(there.calls)) == ("read_timeout", AttemptError, 1)
    assert error.verdict.outcome is Outcome.RETRY


@pytest.mark.parametrize(
    ("phase", "word"), [(Phase.CONNECTING, "refused_address"), (Phase.SENDING, "reset_before_response")]
)
def test_a_denied_address_does_not_hide_what_became_of_a_request_that_left(phase: Phase, word: str):
    flight = Flight(Target("https://a.example/", "https", "a.example", 443), phase=phase, denied=True)
    assert translate(ConnectionResetError(), flight).word == word


async def test_nothing_listens(transport: Transport, post: Post):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        error = await failure(transport, post(Receiver("127.0.0.1", unused.getsockname()[1])))
    assert isinstance(error, AttemptError)
    assert (error.word, type(error)) == ("connect_refused", AttemptError)


async def test_a_port_that_swallows_connections(post: Post):
    with socket.socket() as full, contextlib.ExitStack() as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(3):  # fills the queue of a listener that never accepts
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.connect(full.getsockname())
        there = Receiver(*full.getsockname())
        async with Transport(connect_timeout=0.2) as transport:
            by_connecting = await failure(transport, post(there, timeout=5))
            by_total = await failure(transport, post(there, timeout=0.1))
    assert {by_connecting.word, by_total.word} == {"connect_timeout"}
    assert {type(by_connecting), type(by_total)} == {AttemptError}


async def test_no_log_line_quotes_the_url(transport: Transport, post: Post, caplog: pytest.LogCaptureFixture):
    async with receiver(answer(), faults.wrong_length(), faults.malformed()) as there:
        with caplog.at_level("DEBUG"):
            for _ in range(2):
                await transport.send(post(there, "/hunter2?token=hunter2"))
            await failure(transport, post(there, "/hunter2?token=hunter2"))
    assert {call.target for call in there.calls} == {"/hunter2?token=hunter2"}
    assert "hunter2" not in caplog.text


async def test_no_failure_quotes_the_url_in_itself_or_in_what_caused_it(transport: Transport, post: Post):
    async with receiver(faults.malformed(), faults.close_unanswered(), faults.silence()) as there:
        for seconds in (60, 60, 0.1):
            error = await failure(transport, post(there, "/hunter2?token=hunter2", timeout=seconds))
            chain: list[BaseException] = []
            link: BaseException | None = error
            while link is not None:
                chain.append(link)
                link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
            assert not any("hunter2" in f"{one} {one!r} {one.args}" for one in chain)
            assert not any("127.0.0.1" in str(one) for one in chain)


# -- Once there is a status -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        raw(head(503, length=100), b"begin", pause=0.02, end=End.RESET),
        faults.wrong_length(),
        raw(head(200, "Transfer-Encoding: chunked") + b"5\r\nbegin\r\n", b"nonsense\r\n", pause=0.02, end=End.CLOSE),
    ],
)
async def test_a_broken_body_does_not_undo_a_status(transport: Transport, post: Post, fault: Behaviour):
    async with receiver(fault) as there:
        response = await transport.send(post(there))
    assert response.status == int(fault.pieces[0].split()[1])
    assert (response.body, response.body_error, response.complete) == (b"begin", "body_broken", False)


async def test_a_slow_body_does_not_either(transport: Transport, post: Post, out_of_time: Callable[[], None]):
    async with receiver(raw(head(length=500), *(b"." for _ in range(500)), pause=0.02)) as there:
        task = asyncio.create_task(transport.send(post(there)))
        while there.pieces < 10:
            await asyncio.sleep(0.01)
        out_of_time()
        response = await task
    assert (response.status, response.body_error, response.complete) == (200, "body_timeout", False)
    assert response.body.startswith(b".")


@pytest.mark.parametrize(
    ("lines", "body", "read", "error"),
    [
        (["Content-Length: 2"], b"okay then", b"ok", None),
        (["Content-Length: 0"], b'{"ok": 1}', b"", None),
        (["Content-Length: 2", "Connection: close"], b"okay then", b"ok", None),
        (["Transfer-Encoding: chunked"], b"no size\r\n", b"", "body_broken"),
        (["Transfer-Encoding: chunked"], b"2\r\nok\r\nno size\r\n", b"ok", "body_broken"),
        (["Transfer-Encoding: chunked"], b"2\r\nok\r\n0\r\n\r\nand more", b"ok", None),
        (["Transfer-Encoding: chunked"], b"2\r\nok\r\n0\r\n" + b"x: y\r\n" * 5000 + b"\r\n", b"ok", "body_broken"),
    ],
)
@pytest.mark.parametrize("cut", [None, -3, -1, 0, 1], ids="{}".format)
async def test_a_broken_body_undoes_no_status_though_it_comes_in_one_piece_with_it(
    transport: Transport, post: Post, lines: list[str], body: bytes, read: bytes, error: str | None, cut: int | None
):
    before = head(200, *lines)
    whole = before + body
    where = len(before) + (cut or 0)
    pieces = [whole] if cut is None else [whole[:where], whole[where:]]
    async with receiver(raw(*pieces, pause=0.02, end=End.HANG)) as there:
        response = await transport.send(post(there))
    assert (response.status, response.body_error) == (200, error)
    assert response.body == read or (error and not response.body)  # what was read before the fault may be lost with it


OK = head(200, length=2) + b"ok"
EMPTY, TAKEN = (204, b""), (200, b"ok")
# What the receiver does for two requests, their answers, and the number of connections.
PAIRS: list[tuple[list[Behaviour], list[tuple[int, bytes]], int]] = [
    ([answer()], [TAKEN] * 2, 1),
    ([raw(head(200, version="1.0") + b"old", end=End.CLOSE)], [(200, b"old")] * 2, 2),
    ([raw(head(204))], [EMPTY] * 2, 1),
    ([raw(head(204) + b"hello"), answer()], [EMPTY, TAKEN], 2),
    ([raw(head(204, "Content-Length: 5") + b"hello"), answer()], [EMPTY, TAKEN], 2),
    ([raw(head(204, "Transfer-Encoding: chunked") + b"hello"), answer()], [EMPTY, TAKEN], 2),
    # What comes behind an answer is no answer to the next request.
    ([raw(OK + head(500, length=2) + b"no"), answer(201)], [TAKEN, (201, b"ok")], 2),
    # Interim responses are skipped, as many as anybody sends; one that is final breaks the protocol.
    ([raw(b"HTTP/1.1 100 Continue\r\n\r\n", head(103, "link: </a>; rel=preload"), OK, pause=0.01)], [TAKEN] * 2, 1),
    ([raw(head(103) * MAX_INTERIM + OK)], [TAKEN] * 2, 1),
    ([raw(head(101, "upgrade: x", "connection: upgrade"), end=End.CLOSE), answer()], [(101, b""), TAKEN], 2),
]


@pytest.mark.parametrize(("script", "answers", "connections"), PAIRS)
async def test_two_requests_get_their_own_answers_by_as_few_connections_as_may_be(
    transport: Transport, post: Post, script: list[Behaviour], answers: list[tuple[int, bytes]], connections: int
):
    async with receiver(*script) as there:
        found = [await transport.send(post(there)) for _ in range(2)]
    assert [(one.status, one.body) for one in found] == answers
    assert all(one.complete for one in found if one.status != 101)
    assert there.connections == connections


@pytest.mark.parametrize("stray", [head(200, length=5) + b"stray", head(408, length=0), b"HTTP/1.1 200", b"noise"])
async def test_what_comes_while_nobody_waits_is_no_answer(transport: Transport, post: Post, stray: bytes):
    async with receiver(raw(OK, stray, pause=0.02), answer(503)) as there:
        assert (await transport.send(post(there))).status == 200
        async with asyncio.timeout(60):
            while there.open:
                await asyncio.sleep(0.01)
        assert (await transport.send(post(there))).status == 503
    assert (there.connections, len(there.calls)) == (2, 2)


async def test_more_than_anybody_reads_is_cut_and_the_connection_closed(transport: Transport, post: Post):
    async with receiver(raw(head(length=2**25), *(bytes(2**20) for _ in range(32))), answer()) as there:
        response = await transport.send(post(there))
        assert (response.status, len(response.body), response.truncated) == (200, MAX_BODY, True)
        assert (response.body_error, response.complete) == (None, False)
        await asyncio.wait_for(there.cut_off.wait(), 60)
        await transport.send(post(there))
    assert there.connections == 2


@pytest.mark.parametrize(("size", "truncated"), [(MAX_BODY, False), (MAX_BODY + 1, True)])
async def test_the_cap_to_the_byte(transport: Transport, post: Post, size: int, truncated: bool):
    async with receiver(answer(200, b"x" * size)) as there:
        response = await transport.send(post(there))
    assert (len(response.body), response.truncated) == (MAX_BODY, truncated)


async def test_a_bomb_is_not_unpacked(transport: Transport, post: Post):
    packed = gzip.compress(bytes(20 * 1024 * 1024))
    async with receiver(raw(head(200, "Content-Encoding: gzip", length=len(packed)) + packed)) as there:
        response = await transport.send(post(there))
    assert response.body.startswith(b"\x1f\x8b")
    assert (response.truncated, response.complete) == (False, False)
    assert response.headers["content-encoding"] == "gzip"


async def test_interim_responses_without_end_are_no_answer(transport: Transport, post: Post):
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        while True:
            writer.write(head(103, "link: </a>; rel=preload") * 100)
            await writer.drain()

    async with faults.serving(flood) as there:
        error = await failure(transport, post(there))
        await asyncio.wait_for(there.cut_off.wait(), 60)
    assert (error.word, type(error)) == ("malformed_response", AttemptError)


async def test_an_answer_before_the_body_was_read_counts(transport: Transport, post: Post):
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head(413, "Retry-After: 60", length=0))
        await writer.drain()
        await reader.read()

    async with faults.serving(refuse) as there:
        response = await transport.send(post(there, body=bytes(1024 * 1024)))
    assert (response.status, response.headers["retry-after"]) == (413, "60")


def refusal(headers: dict[str, str]) -> str:
    with pytest.raises(RefusedError) as caught:
        authored(headers)
    assert caught.value.verdict.outcome is Outcome.PERMANENT
    return str(caught.value)


@pytest.mark.parametrize("name", table("response_cases.json", "headers", "reject_names"))
def test_no_listed_bad_name_is_sent(name: str):
    refusal({name: "x"})


@pytest.mark.parametrize("value", table("response_cases.json", "headers", "reject_values"))
def test_no_listed_bad_value_is_sent(value: str):
    refusal({"x-ok": value})


def test_a_refused_value_is_not_quoted():
    assert "hunter2" not in refusal({"authorization": "hunter2\n"})


@pytest.mark.parametrize("value", table("response_cases.json", "headers", "accept_values"))
def test_every_listed_good_value_is_sent(value: str):
    assert authored({"x-ok": value}) == {"x-ok": value}


@pytest.mark.parametrize("name", ["Host", "x-google-y", "X-Goog-Z", "X_Goog_Z", "Content_Length", "cf_ray", "X-Ok"])
def test_what_the_check_lets_pass_is_sent(name: str):
    try:
        check_header_name(name)
    except TemplateError:
        assert name in refusal({name: "x"})
    else:
        assert authored({name: "x"}) == {name.lower(): "x"}


@pytest.mark.parametrize("value", ["", "a", "a b", "a\tb", "~" * MAX_VALUE, "!#$%&'*+.^_`|~"])
def test_values_at_the_edge_of_what_is_allowed(value: str):
    assert sendable({"x-ok": value}) == {"x-ok": value}


@pytest.mark.parametrize("value", [" ", "\t", "a\t", "~" * (MAX_VALUE + 1), "a\x00", "a\x1b[31m", "a\u0085b", "a\n"])
def test_values_just_past_the_edge(value: str):
    refusal({"x-ok": value})


def test_names_that_come_twice_or_are_too_many_are_refused():
    assert "twice" in refusal({"X-A": "1", "x-a": "2"})
    assert "more than" in refusal({f"x-{number}": "v" for number in range(MAX_HEADERS + 1)})


@pytest.mark.parametrize("name", sorted(FRAMING))
def test_not_even_we_set_what_frames_a_message(name: str):
    with pytest.raises(RefusedError):
        sendable({name: "1"})


def test_our_own_headers_go_out():
    assert sendable({"webhook-id": "x", "traceparent": "y"}) == {"webhook-id": "x", "traceparent": "y"}
