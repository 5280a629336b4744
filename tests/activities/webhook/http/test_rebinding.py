"""Names that lie, with every connection that is dialled on record."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_network
from typing import Any

import pytest
from aiohttp.abc import ResolveResult

from activities.outcome import Outcome
from activities.webhook.errors import AttemptError, RefusedError
from activities.webhook.http.dial import GuardedResolver, LookupFailedError, SystemLookup
from activities.webhook.http.exchange import Request
from activities.webhook.http.transport import Transport
from scenario.http.urls import Access
from tests.activities.webhook import faults
from tests.activities.webhook.casefiles import table
from tests.activities.webhook.faults import receiver


class Names:
    """Answers look-ups by a script: one answer a resolution, the last one forever; None where a name does not exist."""

    def __init__(self) -> None:
        self.script: dict[str, list[Sequence[str] | None]] = {}
        self.asked: list[str] = []

    async def __call__(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        await asyncio.sleep(0)
        answers = self.script.get(host, [None])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer is None:
            raise LookupFailedError("dns_nxdomain")
        return answer


def answering(*addresses: str) -> Callable[[str], Awaitable[Sequence[str]]]:
    async def lookup(_host: str) -> Sequence[str]:
        return addresses

    return lookup


@pytest.fixture
def dns() -> Names:
    return Names()


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every address that anything connects to; nobody is let through, so that no test talks to the world."""
    seen: list[str] = []

    async def connect(_loop: Any, _socket: socket.socket, address: tuple[str, int]) -> None:
        seen.append(address[0])
        raise ConnectionRefusedError(111, "recorded")

    monkeypatch.setattr(asyncio.SelectorEventLoop, "sock_connect", connect)
    return seen


async def failure(transport: Transport, url: str, access: Access | None = None) -> AttemptError:
    return await faults.failure(transport, Request("POST", url, body=b"{}", timeout=60, access=access or Access()))


@pytest.mark.parametrize("case", table("ssrf_cases.json", "cases", kind="dns"))
async def test_every_listed_answer(case: dict[str, Any], dns: Names, dialled: list[str]):
    listed = case["answers"]
    dns.script[case["host"]] = [None if listed == "NXDOMAIN" else listed]
    async with Transport(lookup=dns, dns_ttl=0) as transport:
        error = await failure(transport, f"https://{case['host']}/")
    if case["expect"] == "allow":
        assert dialled == case["answers"]
        return
    assert dialled == []
    if case["expect"] == "deny":
        assert error.word == "refused_address"
        assert error.verdict.outcome is Outcome.REFUSED
    else:
        assert isinstance(error, AttemptError)
        assert error.verdict.outcome is Outcome.RETRY


@pytest.mark.parametrize("case", table("ssrf_cases.json", "cases", kind="dns_sequence"))
async def test_every_listed_sequence_of_answers(case: dict[str, Any], dns: Names, dialled: list[str]):
    dns.script[case["host"]] = [list(answer) for answer in case["answers"]]
    url = f"https://{case['host']}/"
    async with Transport(lookup=dns, dns_ttl=0) as transport:
        first = await failure(transport, url)
        assert dns.asked == [case["host"]]  # one resolution an attempt: what was judged is what is dialled
        match case["expect"]:
            case "deny":
                assert (first.word, dialled) == ("refused_address", [])
            case "connects_only_to_first_validated":
                assert dialled == case["answers"][0]
            case "deny_on_second_attempt":
                second = await failure(transport, url)
                assert (second.word, dialled) == ("refused_address", case["answers"][0])
            case other:
                pytest.fail(f"unknown expectation {other}")


@pytest.mark.parametrize("case", table("ssrf_cases.json", "cases", kind="url", expect="allow"))
async def test_the_sender_dials_for_every_url_that_the_list_allows(case: dict[str, Any], dialled: list[str]):
    async with Transport(lookup=answering("93.184.216.34")) as transport:
        error = await failure(transport, case["input"])
    assert (error.word, len(dialled)) == ("connect_refused", 1)


@pytest.mark.parametrize("order", [("93.184.216.34", "10.0.0.1"), ("10.0.0.1", "93.184.216.34")])
async def test_one_denied_address_spoils_the_whole_answer(order: tuple[str, ...], dialled: list[str]):
    async with Transport(lookup=answering(*order)) as transport:
        error = await failure(transport, "https://mixed.example/")
    assert (error.word, type(error), dialled) == ("refused_address", RefusedError, [])


@pytest.mark.parametrize("addresses", [["10.0.0.1"], ["10.0.0.1", "fd00::1"], ["::ffff:127.0.0.1"]])
async def test_the_dial_judges_too_whatever_the_resolver_let_through(
    addresses: list[str], dialled: list[str], monkeypatch: pytest.MonkeyPatch
):
    async def resolve(_self: GuardedResolver, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=6, flags=0)
            for address in addresses
        ]

    monkeypatch.setattr(GuardedResolver, "resolve", resolve)
    async with Transport() as transport:
        error = await failure(transport, "https://any.example/")
    assert (error.word, type(error), dialled) == ("refused_address", RefusedError, [])


async def test_all_addresses_of_a_good_answer_are_tried(dialled: list[str]):
    async with Transport(lookup=answering("93.184.216.34", "93.184.216.35")) as transport:
        await failure(transport, "https://two.example/")
    assert set(dialled) == {"93.184.216.34", "93.184.216.35"}


async def test_many_deliveries_at_once_ask_once(dns: Names, dialled: list[str]):
    dns.script["busy.test"] = [["93.184.216.34"]]
    async with Transport(lookup=dns) as transport:
        await asyncio.gather(*(failure(transport, "https://busy.test/") for _ in range(20)))
    assert dns.asked == ["busy.test"]
    assert len(dialled) == 20


async def test_a_name_that_turns_inwards_between_two_attempts_reaches_nothing(dns: Names):
    """The whole way with real sockets: the first address is allowed, the second is not and listens all the same."""
    async with receiver(host="127.0.0.2") as allowed, receiver(host="127.0.0.1", port=allowed.port) as inside:
        dns.script["rebind.test"] = [["127.0.0.2"], ["127.0.0.1"], ["127.0.0.2", "127.0.0.1"]]
        access = Access(allow_cidr=(ip_network("127.0.0.2/32"),), allow_http=True, ports=(allowed.port,))
        url = f"http://rebind.test:{allowed.port}/"
        async with Transport(lookup=dns, dns_ttl=0, keep_alive=0.01) as transport:
            response = await transport.send(Request("POST", url, timeout=60, access=access))
            await asyncio.sleep(0.05)
            words = [(await failure(transport, url, access)).word for _ in range(2)]
    assert (response.status, words) == (200, ["refused_address", "refused_address"])
    assert (allowed.connections, inside.connections) == (1, 0)


async def test_our_own_addresses_are_not_called_even_if_they_are_public(
    dialled: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("activities.webhook.http.dial._binds", "93.184.216.34".__eq__)
    async with Transport(lookup=answering("93.184.216.34")) as transport:
        error = await failure(transport, "https://us.example/")
    assert (error.word, dialled) == ("refused_address", [])


# -- The system's resolver --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raised", "word"),
    [
        (socket.gaierror(socket.EAI_NONAME, "x"), "dns_nxdomain"),
        (socket.gaierror(socket.EAI_NODATA, "x"), "dns_nxdomain"),
        (socket.gaierror(socket.EAI_AGAIN, "x"), "dns_timeout"),
        (socket.gaierror(socket.EAI_FAIL, "x"), "dns_failed"),
        (UnicodeError("label too long"), "dns_nxdomain"),
    ],
)
async def test_what_the_system_s_resolver_says_becomes_a_word(
    monkeypatch: pytest.MonkeyPatch, raised: Exception, word: str
):
    def getaddrinfo(*_args: Any, **_kwargs: Any) -> Any:
        raise raised

    monkeypatch.setattr("activities.webhook.http.dial.socket.getaddrinfo", getaddrinfo)
    async with Transport() as transport:
        error = await failure(transport, "https://any.example/")
    assert (error.word, type(error)) == (word, AttemptError)
    assert error.verdict.outcome is Outcome.RETRY


async def test_a_silent_name_server_costs_no_more_than_its_time(monkeypatch: pytest.MonkeyPatch):
    released = asyncio.Event()
    loop = asyncio.get_running_loop()

    def getaddrinfo(*_args: Any, **_kwargs: Any) -> Any:
        asyncio.run_coroutine_threadsafe(released.wait(), loop).result(60)
        return []

    monkeypatch.setattr("activities.webhook.http.dial.socket.getaddrinfo", getaddrinfo)
    lookup = SystemLookup(timeout=0.1)
    with pytest.raises(LookupFailedError) as caught:
        await lookup("slow.example")
    assert caught.value.word == "dns_timeout"
    released.set()
    lookup.close()


async def test_the_system_s_resolver_finds_this_machine():
    lookup = SystemLookup()
    assert set(await lookup("localhost")) <= {"127.0.0.1", "::1"}
    lookup.close()
