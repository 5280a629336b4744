"""A contact is erased in mid-run, and nothing of it may stay readable."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import httpx
from temporalio.api.common.v1 import Payload
from temporalio.service import RPCError, RPCStatusCode

from benchmarks.chaos.record import ChaosRun
from benchmarks.chaos.scenarios import PLANTED, STEPS, ids_of, make_entry
from benchmarks.stops import say
from runtime.encryption.codec import keyring_of
from runtime.encryption.keyring import Erased, Keyring
from runtime.settings import Settings
from runtime.store import Store
from service.errors import NotEntered
from tests.e2e.conftest import sealing
from tests.e2e.decoding import inside

ERASURE: Final = 0.5
"""Share of all deliveries at which the contact is erased."""


async def erase_contact(run: ChaosRun) -> None:
    """Copy the history of a contact's running journey, then erase the contact by the API."""
    await run.wait_for_share(ERASURE)
    await run.entered.wait()

    async def choose() -> str:
        for contact, journey in run.journeys.items():
            taken = sum(map(run.receiver.has_taken, ids_of(journey, STEPS)))
            if taken in (1, 2):
                history = await journey.handle.fetch_history()
                run.copy = [part for event in history.events for part in inside(event) if isinstance(part, Payload)]
                return contact
        raise SystemExit("no journey is between its first and its last webhook")

    run.erased = await run.retry(choose)
    run.erasure = (await run.retry(lambda: request_erasure(run))).json()["id"]
    run.note("a contact is erased")
    answer = await run.retry(lambda: enter_erased(run))
    run.expect(answer.json().get("outcome") == "refused", f"the erased contact was admitted: {answer.text}")
    try:
        await run.client.enter(make_entry(run.erased))
    except NotEntered:
        pass
    else:
        run.wrong.append("the erased contact was admitted by the client")


async def request_erasure(run: ChaosRun) -> httpx.Response:
    """Request the erasure through the API."""
    answer = await run.api.delete(f"/v1/contacts/{run.erased}", params={"reason": "request 4711"})
    run.answered[str(answer.status_code)] += 1
    return answer.raise_for_status()


async def fetch_report(run: ChaosRun) -> dict[str, Any]:
    """Return the API's report of the erasure."""
    return (await run.api.get(f"/v1/erasures/{run.erasure}")).raise_for_status().json()


async def enter_erased(run: ChaosRun) -> httpx.Response:
    """Request an entry of the erased contact through the API."""
    answer = await run.api.post("/v1/entries", json=make_entry(run.erased))
    run.answered[str(answer.status_code)] += 1
    return answer.raise_for_status()


async def finish_erasure(run: ChaosRun) -> None:
    """Wait for the end of the erasure."""
    while (await run.retry(lambda: fetch_report(run)))["finished_at"] is None:
        await asyncio.sleep(1)


async def compare_erased(run: ChaosRun, store: Store) -> None:
    """Check that no data of the erased contact can be read, and that names are stored encrypted."""
    keys: Keyring = keyring_of(Settings(), store)
    codec = sealing(run.client.temporal, store).data_converter.payload_codec
    assert codec is not None
    readable, secret = 0, [one for one in run.copy if one.metadata.get("encoding") == b"binary/encrypted"]
    for payload in secret:
        try:
            await codec.decode([payload])
        except Erased:
            continue
        readable += 1
    run.expect(bool(secret) and not readable, f"{readable} of {len(secret)} payloads of the erased contact can be read")
    run.expect(await keys.is_erased(run.erased), "the erased contact's key still exists")
    left = run.database.count_containing(run.erased)
    run.expect(not left, f"rows contain the erased contact's id: {left}")
    report, history = await fetch_report(run), "readable"
    # A killed worker may have ended the journey without counting it.
    complete = (
        report["encrypted"] and report["state"] == "finished" and report["ended"] <= 1 and not report["remaining"]
    )
    run.expect(complete, f"the erasure is incomplete: {report}")
    try:
        await run.journeys[run.erased].handle.fetch_history()
    except RPCError as error:
        history = error.status.name
    run.expect(history == RPCStatusCode.NOT_FOUND.name, f"the erased contact's history still exists ({history})")
    clear = run.database.count_containing(PLANTED)
    files = [path for path in (run.folder / "state").glob("temporal.db*") if PLANTED.encode() in path.read_bytes()]
    logs = [path.name for path in run.folder.glob("*.log") if PLANTED in path.read_text("utf-8", "replace")]
    run.expect(not (clear or files or logs), f"unencrypted names: {clear} {files} {logs}")
    say(
        f"erased: {len(secret)} payloads of a copy of the history, {readable} readable; history {history}; rows with "
        f"the contact's id {left}; unencrypted names: {[*clear, *files, *logs] or 'none'}"
    )
