"""Contacts enter, and events, changes and operations are requested for them, while processes fail."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from benchmarks.chaos.record import (
    EXIT_DIGIT,
    PENDING_REQUESTS,
    WORKERLESS_ENTRIES,
    ChaosRun,
)
from benchmarks.chaos.scenarios import CHANGED, PLANTED, STEPS, contact_id, ids_of, make_entry
from service.client import Entered


async def enter_by_api(run: ChaosRun, contact: str, *, quiet: bool = False) -> Entered:
    """Enter a contact through the API. Repeat the request under its idempotency key until it succeeds."""

    async def post() -> dict[str, Any]:
        answer = await run.api.post(
            "/v1/entries", json=make_entry(contact, quiet=quiet), headers={"Idempotency-Key": f"order-{contact}"}
        )
        run.answered[str(answer.status_code)] += 1
        return answer.raise_for_status().json()

    response = await run.retry(post)
    handle = run.client.temporal.get_workflow_handle(response["journey"], run_id=response["run"], result_type=dict)
    return Entered(response["journey"], response["run"], already=False, handle=handle)


async def send_event(run: ChaosRun, contact: str, name: str) -> int:
    """Send an event through the API until it is accepted. Return the number of pending entries that will get it."""

    async def post() -> dict[str, Any]:
        key = f"{name}-{contact}"
        event = {"contact": contact, "name": name, "id": key}
        answer = await run.api.post("/v1/events", json=event, headers={"Idempotency-Key": key})
        run.answered[str(answer.status_code)] += 1
        return answer.raise_for_status().json()

    response = await run.retry(post)
    run.expect(response["told"] + response["pending"] == 1, f"{contact} did not get the event {name}: {response}")
    return response["pending"]


async def enter_all(run: ChaosRun) -> None:
    """Enter odd contacts by the client and even ones through the API, every fifth of these twice under one key."""
    gate = asyncio.Semaphore(20)
    leaving = list[asyncio.Future[None]]()

    async def enter(number: int) -> None:
        contact, quiet = contact_id(number), run.is_quiet(number)
        async with gate:
            if number % 2:
                run.journeys[contact] = await run.client.enter(make_entry(contact, quiet=quiet), settle=60)
                await send_event(run, contact, "told")
                if number % 10 == EXIT_DIGIT:
                    leaving.append(asyncio.ensure_future(exit_early(run, contact)))
                return
            run.journeys[contact] = await enter_by_api(run, contact, quiet=quiet)
            await send_event(run, contact, "told")
            if number % 10 == 0:
                run.expect(
                    await enter_by_api(run, contact, quiet=quiet) == run.journeys[contact], f"{contact} entered twice"
                )

    await asyncio.gather(*(enter(number) for number in range(1, run.early_entries + 1)))
    run.note("all contacts have entered")
    run.entered.set()
    await asyncio.gather(*leaving)


async def exit_early(run: ChaosRun, contact: str) -> None:
    """Send the exit event once the first delivery has arrived. The second one is then in flight, or about to be."""
    journey = run.journeys[contact]
    [first] = ids_of(journey, STEPS[:1])
    while not run.receiver.has_taken(first):
        run.receiver.more.clear()
        await run.receiver.more.wait()
    run.left.add(contact)
    await run.retry(lambda: journey.handle.signal("event", {"name": "gone", "id": "gone"}))
    run.exits[contact] = time.time()


async def enter_without_worker(run: ChaosRun) -> None:
    """Enter contacts while no worker runs. Request an exit, an operation or a change for each."""

    async def one(contact: str, what: str) -> None:
        run.journeys[contact] = await enter_by_api(run, contact)
        pending = await send_event(run, contact, "told")
        if what == "gone":
            pending += await send_event(run, contact, "gone")
        elif what == "leave":
            run.operations.append(asyncio.create_task(leave_by_api(run, contact)))
        else:
            pending += await change_by_api(run, contact)
        run.expect(pending == (1 if what == "leave" else 2), f"{contact}: {pending} pending while no worker ran")
        (run.changed if what == "change" else run.silent).add(contact)

    contacts = [contact_id(run.early_entries + number) for number in range(1, WORKERLESS_ENTRIES + 1)]
    await asyncio.gather(
        *(one(contact, PENDING_REQUESTS[at % len(PENDING_REQUESTS)]) for at, contact in enumerate(contacts))
    )
    run.left |= run.silent
    run.note(f"{WORKERLESS_ENTRIES} contacts have entered without a worker, and their requests were accepted")


async def leave_by_api(run: ChaosRun, contact: str) -> None:
    """Request the operation under one idempotency key until it is carried out."""
    path, key = f"/v1/journeys/{run.journeys[contact].id}/leave", {"Idempotency-Key": f"leave-{contact}"}

    async def post() -> None:
        answer = await run.api.post(path, json={"reason": "incident 42"}, headers=key)
        run.answered[str(answer.status_code)] += 1
        answer.raise_for_status()

    await run.retry(post, run.worker_outage + 300)


async def change_by_api(run: ChaosRun, contact: str) -> int:
    """Change the contact through the API. Return the number of pending entries that will get the change."""

    async def patch() -> dict[str, Any]:
        key = {"Idempotency-Key": f"change-{contact}"}
        change = {"firstname": f"{CHANGED}-{PLANTED}-{contact}"}
        answer = await run.api.patch(f"/v1/contacts/{contact}", json=change, headers=key)
        run.answered[str(answer.status_code)] += 1
        return answer.raise_for_status().json()

    return (await run.retry(patch))["pending"]
