"""Deliveries under way are retuned on a real server: it takes effect during a back-off, and where next.

The order is given as `scenario retune` gives it, by the update `retune`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest
from starlette.requests import Request
from starlette.responses import Response

from gateway.client import Entered, targets
from runtime.local.receiver import Receiver
from scenario.words import Operation
from tests.e2e.conftest import Gate, Stand, Stands, entry, outcomes, publish, until_received

SLOW = """
scenario: NAME
trigger: segment
steps:
  - webhook: hook
    url: https://hooks.example.com/NAME
    body: {}
    timeout: LONGEST
    retry: {initial_interval: 5h, maximum_attempts: LIMIT, deadline: 2d}
"""
WHO = {"operator": "ann", "reason": "incident 42"}
FAST = {"initial_interval": "1s", "backoff_coefficient": 1}


def slow(name: str, limit: int = 0, longest: str = "15s") -> str:
    return SLOW.replace("NAME", name).replace("LIMIT", str(limit)).replace("LONGEST", longest)


async def backing_off(stand: Stand, folder: Path, name: str, limit: int = 0, longest: str = "15s") -> Entered:
    await publish(stand.client, folder, slow(name, limit, longest))
    entered = await stand.client.enter(entry(name))
    await until_received(stand.receiver, f"/hooks.example.com/{name}", 1)
    async with asyncio.timeout(60):  # the server has to learn that the attempt failed
        while not (await pending(entered)).attempt > 1:
            await asyncio.sleep(0.05)
    return entered


async def pending(entered: Entered) -> Any:
    return (await entered.handle.describe()).raw_description.pending_activities[0]


async def operate(entered: Entered, name: str, **more: Any) -> dict[str, Any]:
    execute = cast("Callable[..., Awaitable[dict[str, Any]]]", entered.handle.execute_update)  # pyright: ignore[reportUnknownMemberType]
    return await execute(name, {**WHO, **more})


WAYS: dict[str, tuple[int, str, dict[str, Any], int]] = {
    # The most attempts, the longest attempt, what is changed, and the attempts that are made, the second failing too.
    "soon": (0, "15s", FAST, 3),
    "unlimited": (2, "15s", {**FAST, "maximum_attempts": 0}, 3),
    "raised": (2, "15s", {**FAST, "maximum_attempts": 3}, 3),
    "lowered": (0, "15s", {**FAST, "maximum_attempts": 2}, 2),
    "late": (0, "1s", {"deadline": "1s"}, 0),  # an attempt at the deadline may take as long
}


async def test_what_a_delivery_in_a_back_off_of_hours_is_told_takes_effect(stand: Stands, tmp_path: Path) -> None:
    async def told(up: Stand, name: str, limit: int, longest: str, retry: dict[str, Any], attempts: int) -> None:
        entered = await backing_off(up, tmp_path, name, limit, longest)
        progress = await operate(entered, "retune", retry=retry)
        assert progress["operations"][0]["details"] == {"retry": retry}
        if attempts == 3:
            result = await entered.handle.result()
            assert (outcomes(result), result["steps"][0]["attempts"]) == ([("hook", "delivered")], 3)
            return
        while (progress := await entered.handle.query("progress"))["state"] != "held":
            await asyncio.sleep(0.05)
        waiting = progress["waiting"]
        assert (waiting["cause"], waiting["destination"]) == ("exhausted", "hooks.example.com")
        assert list((await entered.handle.describe()).search_attributes["HeldReason"]) == ["exhausted"]
        if attempts:
            assert (waiting["attempts"], waiting["status"]) == (attempts, 503)
        await entered.handle.terminate()

    async with stand(fail={f"/hooks.example.com/{name}": [503, 503] for name in WAYS}) as up, asyncio.timeout(120):
        await asyncio.gather(*(told(up, name, *way) for name, way in WAYS.items()))


class Asking(Receiver):
    async def _receive(self, request: Request) -> Response:
        response = await super()._receive(request)
        response.headers["retry-after"] = "72000"
        return response


async def test_a_pause_that_the_receiver_asked_for_is_cut_short_too(
    stand: Stands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # `next_retry_delay` overrides the policy for one interval, until an operator says otherwise.
    monkeypatch.setattr("tests.e2e.conftest.Receiver", Asking)
    async with stand(fail={"/hooks.example.com/asked": [503]}) as up:
        entered = await backing_off(up, tmp_path, "asked")
        await operate(entered, "retune", retry=FAST)
        async with asyncio.timeout(60):
            assert outcomes(await entered.handle.result()) == [("hook", "delivered")]


async def test_an_attempt_under_way_is_not_disturbed(stand: Stands, tmp_path: Path) -> None:
    async with Gate(hold=1) as gate, stand(gate=gate) as up:
        await publish(up.client, tmp_path, slow("now", longest="1m"))
        entered = await up.client.enter(entry("now"))
        await gate.called(1)
        (found,) = await up.client.in_flight("hooks.example.com")
        assert (found.journey, found.latest, found.pending.state) == (entered.id, None, "started")
        await operate(entered, "retune", retry=FAST)
        gate.opened.set()
        async with asyncio.timeout(60):
            result = await entered.handle.result()
        assert (outcomes(result), result["steps"][0]["attempts"]) == ([("hook", "delivered")], 1)
        assert len(gate.calls) == 1


async def test_a_delivery_that_a_breaker_turned_away_is_found_and_retuned(stand: Stands, tmp_path: Path) -> None:
    host = "down.example.com"
    async with stand(fail={f"/{host}/down": [503] * 99}) as up:
        text = (
            SLOW.replace("hooks.example.com", host)
            .replace("NAME", "down")
            .replace("LIMIT", "0")
            .replace("LONGEST", "15s")
        )
        await publish(up.client, tmp_path, text)
        for contact in range(1, 12):  # one after the other, until the breaker opens
            entered = await up.client.enter(entry("down", contact))
            async with asyncio.timeout(60):
                while not (seen := (await up.client.show(entered.id)).pending) or (
                    seen[0].attempt < 2 and not seen[0].turned_away
                ):
                    await asyncio.sleep(0.05)
        async with asyncio.timeout(60):
            while len(found := await up.client.in_flight(host)) < 11 or found[-2].latest is None:
                await asyncio.sleep(0.05)  # attempts are on record a moment later
        assert [item.latest is None for item in found] == [False] * 10 + [True]
        assert (found[-1].journey, found[-1].goes_to) == ("down/11", host)
        tally = await up.client.batch(Operation.RETUNE, operator="ann", reason="x", destination=host, retry=FAST).run(
            targets(found[-1:])
        )
        assert (tally.accepted, tally.refused) == (["down/11"], [])
        (changed,) = (await up.client.show("down/11")).pending
        assert changed.retry is not None
        assert changed.retry.initial_interval == 1
        for item in found:
            await up.client.send(item.journey, Operation.LEAVE, operator="ann", reason="seen")
