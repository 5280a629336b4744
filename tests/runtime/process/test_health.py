"""The health pages say whether the process turns, and what it lacks to work."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from runtime.errors import ClockWrong, LocalError, PortInUse
from runtime.process import HOST, health
from runtime.process.health import ClockCheck, Watch, health_pages, measuring_readiness, watching
from runtime.store import StoreError
from runtime.store.database import certain_offset
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
    assert await page(checks, "/healthz") == (200, {"alive": True}), "whatever the checks say"


def test_the_checks_are_measured_those_too_that_come_later():
    checks = {"store": no}
    with measuring_readiness(checks):
        checks |= {"temporal": yes}
        assert now(metrics.READY) == {("store",): (0, 0), ("temporal",): (1, 1)}
    assert now(metrics.READY) == {}


async def test_a_check_that_is_broken_is_not_ready_and_logged(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.ERROR):
        status, _ = await page({"temporal": broken}, "/readyz")
    assert status == 500
    assert [record.name for record in caplog.records] == ["uvicorn.error.guarded"]


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
    with pytest.raises(LocalError, match=r"^this machine has no such address .* for the health pages$"):
        async with health_pages(0, {}, host="192.0.2.1"):  # another machine's
            pass


SECRET = "s3cr3t-pa55"


class Ill:
    name = "db.example:5432/scenarios"

    def __init__(self) -> None:
        self.answer: str | Exception | None = None
        self.silent = False
        self.looks = 0

    async def check(self) -> None:
        self.looks += 1
        if self.silent:
            await asyncio.Event().wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer is not None:
            raise StoreError(self.answer)


async def test_trouble_is_logged_when_it_comes_changes_and_goes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    store = Ill()
    watch = Watch(store, patience=0.01)
    for answer, silent in [(None, False), *[("it is away", False)] * 3, (None, True), (None, True), (None, False)]:
        store.answer, store.silent = answer, silent
        await watch.look()
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("ERROR", "it is away"),
        ("ERROR", "The store db.example:5432/scenarios does not answer: check that it is running."),
        ("INFO", "The store db.example:5432/scenarios can be used again."),
    ]


async def test_a_store_is_looked_at_again_and_again_until_nobody_watches() -> None:
    store = Ill()
    async with watching(store, every=0) as watch:
        while store.looks < 3:
            await asyncio.sleep(0)
        store.answer = "it is away"
        while watch.trouble is None:
            await asyncio.sleep(0)
    looks = store.looks
    for _ in range(9):
        await asyncio.sleep(0)
    assert store.looks == looks


async def test_an_error_that_nobody_foresaw_is_trouble_too_and_does_not_end_the_watch(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    store = Ill()
    store.answer = RuntimeError(SECRET)
    async with watching(store, every=0) as watch:
        while store.looks < 3:
            await asyncio.sleep(0)
        trouble = watch.trouble
        store.answer = None
        while watch.trouble is not None:
            await asyncio.sleep(0)
    assert trouble == "The store db.example:5432/scenarios cannot be checked (RuntimeError)."
    unforeseen, again = caplog.records
    assert (unforeseen.levelname, unforeseen.getMessage().count(SECRET)) == ("ERROR", 0)
    assert unforeseen.exc_info is not None, "where it comes from is in the log"
    assert again.getMessage() == "The store db.example:5432/scenarios can be used again."


async def test_a_store_that_does_not_even_let_a_look_be_cancelled_is_noticed_in_time(caplog: pytest.LogCaptureFixture):
    """As a frozen database does: the driver asks it to cancel, and waits for the answer."""
    thawed = asyncio.Event()
    looks = 0

    class Frozen:
        name = "db.example:5432/scenarios"

        async def check(self) -> None:
            nonlocal looks
            looks += 1
            while not thawed.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await thawed.wait()

    watch = Watch(Frozen(), patience=0.01)
    for _ in range(9):
        async with asyncio.timeout(30):
            await watch.look()
        assert watch.trouble == "The store db.example:5432/scenarios does not answer: check that it is running."
    assert looks == 3
    thawed.set()
    async with asyncio.timeout(30):
        while watch.trouble is not None:
            await asyncio.sleep(0)
            await watch.look()
    assert [record.levelname for record in caplog.records] == ["ERROR"]


class Other:
    def __init__(self, clock_offset: float | None = None) -> None:
        self.clock_offset = clock_offset


@pytest.mark.parametrize(
    ("asked", "answered", "theirs", "certain"),
    [
        (1000.0, 1000.2, 1000.1, 0.0),
        (1000.0, 1103.0, 1102.9, 0.0),  # a frozen database, and a clock that is right
        (8200.0, 8200.2, 1000.0, 7200.0),
        (1000.0, 1000.2, 8200.2, -7200.0),
        (8200.0, 1000.2, 1000.1, 0.1),  # set right in between
    ],
)
def test_an_offset_is_what_is_certain(asked: float, answered: float, theirs: float, certain: float) -> None:
    assert certain_offset(asked, answered, theirs) == pytest.approx(certain)


@pytest.mark.parametrize(
    ("store", "temporal", "sentence"),
    [
        (Other(), Other(), None),
        (Other(29.9), Other(-29.9), None),
        (Other(7199.2), Other(), "The clock of this machine is 7,199 s ahead of the store's"),
        (Other(), Other(-40.0), "The clock of this machine is 40 s behind Temporal's"),
        (Other(31.0), Other(31.0), "The clock of this machine is 31 s ahead of the store's"),
    ],
)
async def test_a_clock_may_differ_by_half_a_minute(store: Other, temporal: Other, sentence: str | None) -> None:
    clock = ClockCheck({"store": store, "temporal": temporal})
    if sentence is None:
        await clock.check()
        return
    with pytest.raises(ClockWrong) as caught:
        await clock.check()
    assert str(caught.value) == f"{sentence}: have both set by NTP."


async def test_a_wrong_clock_is_told_once_although_it_drifts(caplog: pytest.LogCaptureFixture) -> None:
    store = Other(100.0)
    async with ClockCheck({"store": store}).watching() as watch:
        for seconds in (100.9, 102.0):
            store.clock_offset = seconds
            await watch.look()
        assert not watch.is_well()
        assert {labels: number for labels, (number, _) in now(metrics.CLOCK_OFFSET).items()} == {("store",): 102.0}
        store.clock_offset = 0.0
        await watch.look()
        assert watch.is_well()
    assert caplog.messages == ["The clock of this machine is 100 s ahead of the store's: have both set by NTP."]
    assert now(metrics.CLOCK_OFFSET) == {}


@pytest.mark.parametrize(
    ("store", "temporal", "is_right"),
    [
        (None, None, True),
        (None, 31.0, False),
        (-31.0, None, False),
        (2700.0, 2666.0, False),
        (2700.0, 0.0, True),  # the store's clock is wrong
        (0.0, -2700.0, True),  # Temporal's is
        (30.0, 30.0, True),
    ],
)
def test_a_clock_is_wrong_if_it_differs_from_all_others(store: float | None, temporal: float | None, is_right: bool):
    assert ClockCheck({"store": Other(store), "temporal": Other(temporal)}).is_right() is is_right


@pytest.mark.parametrize(
    ("store", "temporal", "offset"),
    [(None, None, 0.0), (2700.0, None, 2700.0), (0.0, -2700.0, -2700.0), (2700.0, 0.0, 0.0)],
)
def test_the_server_s_time_is_temporal_s_if_it_is_known(store: float | None, temporal: float | None, offset: float):
    clock = ClockCheck({"store": Other(store), "temporal": Other(temporal)})
    found = datetime.now(UTC) - clock.server_time()
    assert found.total_seconds() == pytest.approx(offset, abs=1.0)
