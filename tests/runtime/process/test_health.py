"""The health pages say whether the process turns, and what it lacks to work."""

import asyncio
import logging
import socket
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest

from runtime.errors import LocalError, PortInUse
from runtime.process import health
from runtime.process.health import health_pages, measured
from runtime.process.ports import HOST
from runtime.telemetry import metrics
from tests.measured import now


def yes() -> bool:
    return True


def no() -> bool:
    return False


def broken() -> bool:
    raise ValueError("a mistake in the check")


async def page(checks: dict[str, health.Check], path: str) -> tuple[int, Any]:
    async with (
        health_pages(0, checks) as running,
        aiohttp.ClientSession() as session,
        session.get(f"http://{HOST}:{running.port}{path}") as response,
    ):
        return response.status, await response.json() if response.content_type == "application/json" else None


@pytest.mark.parametrize(
    ("checks", "status", "answer"),
    [
        ({}, 200, {"ready": True, "checks": {}}),
        ({"temporal": yes, "store": yes}, 200, {"ready": True, "checks": {"temporal": True, "store": True}}),
        ({"temporal": no, "store": yes}, 503, {"ready": False, "checks": {"temporal": False, "store": True}}),
    ],
    ids=["nothing to check", "all there", "one missing"],
)
async def test_it_is_ready_when_every_check_says_so(checks: dict[str, health.Check], status: int, answer: Any):
    assert await page(checks, "/readyz") == (status, answer)


def test_the_checks_are_measured_those_too_that_come_later():
    checks = {"store": no}
    with measured(checks):
        checks |= {"temporal": yes}
        assert now(metrics.READY) == {("store",): (0, 0), ("temporal",): (1, 1)}
    assert now(metrics.READY) == {}


async def test_it_is_alive_whatever_the_checks_say():
    assert await page({"temporal": no}, "/healthz") == (200, {"alive": True})


async def test_a_check_that_is_broken_is_not_ready_and_logged(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.ERROR):
        status, _ = await page({"temporal": broken}, "/readyz")
    assert status == 500
    assert [record.name for record in caplog.records] == ["uvicorn.error.guarded"]


@pytest.mark.parametrize(
    "begun",
    [b"", b"GET /readyz HT", b"GET /readyz HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n"],
    ids=["nothing", "half a line", "no body"],
)
async def test_clients_that_hang_keep_nobody_else_from_an_answer(begun: bytes):
    async with health_pages(0, {"temporal": yes}) as running, AsyncExitStack() as connections:
        for _ in range(100):
            _, writer = await asyncio.open_connection(HOST, running.port)
            connections.callback(writer.close)
            writer.write(begun)
        async with aiohttp.ClientSession() as session:
            for path in ("/readyz", "/healthz"):
                async with session.get(f"http://{HOST}:{running.port}{path}") as response:
                    assert response.status == 200


async def test_a_port_in_use_is_named():
    with socket.create_server((HOST, 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortInUse, match=f"^port {port} is in use by another program: .* for the health pages$"):
            async with health_pages(port, {}):
                pass


async def test_it_listens_on_loopback_only_unless_it_is_told_otherwise():
    async with health_pages(0, {}) as running:
        with socket.socket() as other:
            assert other.connect_ex(("127.0.0.2", running.port)) != 0
    async with health_pages(0, {}, host="0.0.0.0") as running:
        with socket.socket() as other:
            assert other.connect_ex((HOST, running.port)) == 0


async def test_an_address_of_another_machine_is_one_sentence():
    with pytest.raises(LocalError, match=r"^this machine has no such address .* for the health pages$"):
        async with health_pages(0, {}, host="192.0.2.1"):
            pass
