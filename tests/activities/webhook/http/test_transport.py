import asyncio
import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from activities.outcome import Outcome
from activities.webhook.errors import AttemptError, RefusedError
from activities.webhook.http.exchange import ClientContext, Request, Response, Tls, tls_context
from activities.webhook.http.transport import Transport
from activities.webhook.outcome import of_status
from scenario.http.urls import Access
from tests.activities.webhook import faults
from tests.activities.webhook.faults import Behaviour, answer, failure, receiver

Post = Callable[..., Request]


# -- What is sent -----------------------------------------------------------------------------------------------------


async def test_a_request_arrives_byte_for_byte(transport: Transport, post: Post):
    body = '{"name": "Zoë 🎁"}'.encode()
    async with receiver() as there:
        request = post(there, "/a%7Eb/%2F?x=%41&y=1+2%20é", body=body, headers={"Content-Type": "application/json"})
        response = await transport.send(request)
    (call,) = there.calls
    assert (call.method, call.target, call.body) == ("POST", "/a%7Eb/%2F?x=%41&y=1+2%20%C3%A9", body)
    assert sorted((name.lower(), value) for name, value in call.headers) == [
        ("accept", "*/*"),
        ("accept-encoding", "identity"),
        ("content-length", str(len(body))),
        ("content-type", "application/json"),
        ("host", f"127.0.0.1:{there.port}"),
        ("user-agent", "scenario-runner"),
    ]
    assert (response.status, response.body, response.body_error, response.truncated) == (200, b"ok", None, False)
    assert response.complete


async def test_headers_about_framing_never_leave(transport: Transport, post: Post):
    async with receiver() as there:
        error = await failure(transport, post(there, headers={"Transfer-Encoding": "x"}))
        assert (error.word, type(error)) == ("request_header_illegal", RefusedError)
    assert there.connections == 0


async def test_only_a_few_response_headers_are_kept(transport: Transport, post: Post):
    lines = ("Content-Type: text/plain", "Retry-After: 7", "X-Request-Id: " + "r" * 3000, "Set-Cookie: a=b", "X-Any: 1")
    async with receiver(answer(503, b"no", *lines)) as there:
        response = await transport.send(post(there))
        await transport.send(post(there, body=b""))
    assert (there.calls[1].header("cookie"), there.calls[1].header("content-length")) == (None, "0")
    assert response.headers == {
        "content-type": "text/plain",
        "content-length": "2",
        "retry-after": "7",
        "x-request-id": "r" * 1024,
    }


# -- Connections ------------------------------------------------------------------------------------------------------


async def test_as_many_connections_as_requests_at_once_and_no_more(transport: Transport, post: Post):
    async with receiver(faults.together(20)) as there:
        for _ in range(3):
            await asyncio.gather(*(transport.send(post(there)) for _ in range(20)))
    assert (len(there.calls), there.connections) == (60, 20)


async def test_a_connection_does_not_outlive_its_permission(transport: Transport, post: Post):
    async with receiver() as there:
        lax = post(there)
        await transport.send(lax)
        strict = dataclasses.replace(lax, access=dataclasses.replace(lax.access, allow_private=False))
        named = dataclasses.replace(strict, url=there.url("/", host="localhost"))
        assert (await failure(transport, strict)).word == "refused_address"
        assert isinstance(await failure(transport, named), RefusedError)
    assert (there.connections, len(there.calls)) == (1, 1)


async def test_a_connection_closed_while_idle_is_not_used_again(transport: Transport, post: Post):
    async with receiver(answer(end=faults.End.CLOSE), answer()) as there:
        await transport.send(post(there))
        while there.open:
            await asyncio.sleep(0)
        for _ in range(10):  # the news arrives
            await asyncio.sleep(0.005)
        response = await transport.send(post(there))
    assert (response.status, there.connections) == (200, 2)


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize(
    ("fault", "word"),
    [
        (faults.close_unanswered(), "disconnect_without_response"),
        (faults.reset_before_headers(), "reset_before_response"),
    ],
)
async def test_a_request_lost_in_the_keep_alive_race_is_never_sent_again_by_the_client(
    transport: Transport, post: Post, method: str, fault: Behaviour, word: str
):
    async with receiver(answer(), fault, answer()) as there:
        await transport.send(post(there))
        error = await failure(transport, post(there, method=method))
        assert (error.word, type(error)) == (word, AttemptError)
        assert [call.method for call in there.calls] == ["POST", method]
        assert error.verdict.unknown
        await transport.send(post(there))


async def test_the_bound_on_connections_is_waited_for_within_the_attempt_s_time(
    post: Post, out_of_time: Callable[[], None]
):
    async with Transport(max_connections=1) as transport, receiver(faults.silence()) as there:
        first = asyncio.create_task(failure(transport, post(there)))
        await there.called.wait()
        second = await failure(transport, post(there, timeout=0.1))
        assert (second.word, type(second)) == ("pool_timeout", AttemptError)
        out_of_time()
        assert (await first).word == "read_timeout"
    assert len(there.calls) == 1


async def test_cancelling_an_attempt_closes_its_connection(transport: Transport, post: Post):
    async with receiver(faults.silence(), answer()) as there:
        task = asyncio.create_task(transport.send(post(there)))
        await asyncio.wait_for(there.called.wait(), 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await transport.send(post(there))
    assert there.connections == 2


# -- Redirects, cookies, the environment ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "location"), [(301, ""), (302, "/same"), (303, "https://["), (307, "\u00ff"), (308, "")]
)
async def test_a_redirect_is_an_answer_and_is_not_followed(
    transport: Transport, post: Post, status: int, location: str
):
    async with receiver() as trap, receiver(answer(status, b"", f"Location: {location or trap.url()}")) as there:
        response = await transport.send(post(there))
    assert (response.status, len(there.calls), trap.connections) == (status, 1, 0)
    assert of_status(status).outcome is Outcome.PERMANENT


async def test_the_environment_has_no_say(post: Post, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login a password b\n")
    netrc.chmod(0o600)
    async with receiver() as proxy, receiver() as there:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url())
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.setenv("NETRC", str(netrc))
        async with Transport() as transport:
            await transport.send(post(there))
    assert proxy.connections == 0
    assert there.calls[0].header("authorization") is None


# -- Life --------------------------------------------------------------------------------------------------------------


async def test_closing_closes_the_kept_connections(post: Post):
    async with receiver() as there:
        async with Transport() as transport:
            await transport.send(post(there))
        with pytest.raises(RuntimeError):
            await transport.send(post(there))


def and_port(request: Request, port: int) -> Request:
    access = dataclasses.replace(request.access, ports=(*request.access.ports, port))
    return dataclasses.replace(request, access=access)


async def test_settings_that_come_and_go_do_not_pile_up(post: Post, monkeypatch: pytest.MonkeyPatch):
    made: list[Tls] = []

    def noted(tls: Tls) -> ClientContext:
        made.append(tls)
        return tls_context(tls)

    monkeypatch.setattr("activities.webhook.http.connections.tls_context", noted)
    async with Transport() as transport, receiver() as there:
        for number in range(80):
            await transport.send(and_port(post(there), number + 1))
        async with asyncio.timeout(60):
            while there.open != 64:
                await asyncio.sleep(0.01)
        assert there.connections == 80
    assert made == [Tls()]  # whom they trust is the same


async def test_many_settings_at_once_disturb_nobody(transport: Transport, post: Post):
    async with receiver() as there:
        request = post(there)
        everything = [and_port(request, number + 1) for number in range(100)]
        for _ in range(2):
            answers = await asyncio.gather(*(transport.send(one) for one in everything))
            assert {response.status for response in answers} == {200}


def test_a_request_and_a_response_show_no_secret_and_no_payload():
    request = Request("POST", "https://a.example/hunter2", {"authorization": "hunter2"}, b"hunter2")
    response = Response(200, {}, b"hunter2")
    assert request.access == Access(False, (), False, (443,)), "by default, https to the public"
    assert "hunter2" not in f"{request!r} {response!r}"
