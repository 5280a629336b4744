"""A store and a Temporal server that differ, as after either was put back from a backup, and what a repair makes of it.

Journeys are real: what is written back must be what the worker wrote at admission.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, update
from temporalio.client import WorkflowExecutionStatus

from runtime.encryption.codec import keyring_of
from runtime.settings import Settings
from runtime.store import AcceptedEntry, AdmissionRequest
from runtime.store.schema import entries
from service.client import Entered
from service.reconcile.reconcile import SETTLED, UNSETTLED, Discrepancy, Kind, Reconciler, Reconciliation
from tests.e2e.conftest import Stand, Stands, publish, until, until_state
from tests.factories import attempt, stored_campaign

pytestmark = pytest.mark.encrypted

SCENARIO = """
scenario: wishes
trigger: order
timezone: Europe/Paris
entry: {key: "{{ order.external_id }}"}
goal: {event: order.placed, within: 30d}
steps:
  - split: {red: 50, blue: 50}
    id: colour
  - sms: hello
    text: Hello
  - wait_for: wish.granted
    for: 7d
"""
GONE = "00000000-0000-4000-8000-000000000000"
"""A run that no server has."""


class Site:
    def __init__(self, stand: Stand) -> None:
        self.client, self.store, self.temporal = stand.client, stand.client.store, stand.client.temporal

    async def waiting(self, contact: int) -> Entered:
        trigger: dict[str, Any] = {"type": "order", "order": {"external_id": f"K{contact}"}}
        who = {"id": contact, "cellphone": "+33600000001"}
        entered = await self.client.enter({"scenario": "wishes", "contact": who, "trigger": trigger})
        await until_state(self.client, entered.id, "waiting")
        return entered

    async def finish(self, entered: Entered) -> None:
        await entered.handle.signal("event", {"name": "wish.granted"})
        await entered.result()

    async def forget(self, entered: Entered) -> None:
        await self._write(delete(entries).where(entries.c.workflow_id == entered.id))

    async def falsify(self, entered: Entered, **values: Any) -> None:
        await self._write(update(entries).where(entries.c.workflow_id == entered.id).values(**values))

    async def _write(self, statement: Any) -> None:
        await self.store._database.write(statement)  # pyright: ignore[reportPrivateUsage]

    async def record_delivery(self, entered: Entered, run_id: str) -> None:
        about = {"contact_id": entered.id.split("/")[1], "workflow_id": entered.id, "started_at": datetime.now(UTC)}
        real = attempt(f"msg_{entered.id}", run_id=run_id, scenario="wishes", step="later", **about)
        test = replace(real, delivery_id=f"msg_test{run_id}", workflow_id="", run_id="", test_by="ann")
        await self.store.record([real, test])

    async def reconcile(
        self, *, repair: bool = False, later: timedelta = 2 * SETTLED
    ) -> tuple[Reconciliation, list[Discrepancy]]:
        now, found = datetime.now(UTC) + later, list[Discrepancy]()
        result = await Reconciler(
            self.client,
            repair=repair,
            sent_since=now - timedelta(days=1),
            operator="ann",
            found=found.append,
            now=lambda: now,
        ).run()
        assert result.counts == Counter(finding.kind for finding in found)
        return result, found

    async def search_knows(self, running: int, ended: int) -> None:
        for status, number in (("Running", running), ("Completed", ended)):
            query = f"WorkflowType = 'Journey' AND ExecutionStatus = '{status}'"
            await until(partial(self.temporal.count_workflows, query), lambda found, n=number: found.count == n)


def differences(found: Sequence[Discrepancy]) -> dict[str, tuple[Kind, str | None, str | None]]:
    return {finding.id: (finding.kind, finding.store, finding.temporal) for finding in found}


async def test_each_difference_is_told_and_repaired_once(stand: Stands, tmp_path: Path) -> None:
    async with stand() as standing:
        await publish(standing.client, tmp_path, SCENARIO)
        site, now = Site(standing), datetime.now(UTC)
        store = site.store
        # How it stands, by contact.
        journeys = {name: await site.waiting(name) for name in range(1, 9)}
        _alike, over, unknown, revived, wrongly_lost, different, ended, erased = journeys.values()
        rows = {name: await store.entry(journey.id, journey.run_id) for name, journey in journeys.items()}
        await over.handle.terminate()
        await site.forget(unknown)
        await site.falsify(revived, outcome="exited", ended_at=now)
        await site.falsify(wrongly_lost, outcome="lost", ended_at=now)
        await site.finish(different)
        await site.falsify(different, outcome="exited")
        await site.finish(ended)
        await site.forget(ended)
        await keyring_of(Settings(), store).destroy("8")
        await site.forget(erased)
        # What a server that was put back has lost.
        await store.admit(AdmissionRequest("wishes", 9, "9", "K9", "wishes/9/K9", GONE, "never", now))
        await store.accept(AcceptedEntry("wishes/10/K10", GONE, "10", now))
        # What campaigns send without workflows: one is at work, the other is gone.
        tomorrow = now + timedelta(days=1)
        await store.add_campaign(stored_campaign(scenario="wishes", loaded_at=now, starts_at=tomorrow))
        for contact, key in (("14", "sale"), ("15", "gone")):
            name = f"wishes/{contact}/{key}"
            await store.admit(AdmissionRequest("wishes", 1, contact, key, name, GONE, "never", now, root=GONE))
        # What a server that was put back to before a delivery does not know of.
        sent, continued = await site.waiting(12), await site.waiting(13)
        await site.record_delivery(sent, sent.run_id)
        await site.record_delivery(continued, GONE)
        # An entry that no worker has looked at yet is no difference.
        await site.temporal.start_workflow("Journey", {}, id="wishes/11/K11", task_queue="nobody")
        await site.search_knows(running=8, ended=2)

        expected = {
            sent.id: (Kind.AHEAD, "delivered 'later'", "running"),
            continued.id: (Kind.AHEAD, "delivered 'later'", "running"),
            over.id: (Kind.OVER, "running", "terminated"),
            unknown.id: (Kind.UNKNOWN, None, "running"),
            revived.id: (Kind.REVIVED, "exited", "running"),
            wrongly_lost.id: (Kind.REVIVED, "lost", "running"),
            different.id: (Kind.DIFFERENT, "exited", "finished"),
            ended.id: (Kind.UNKNOWN, None, "completed"),
            erased.id: (Kind.ERASED, "erased", "running"),
            "wishes/9/K9": (Kind.LOST, "running", None),
            "wishes/10/K10": (Kind.UNADMITTED, "acknowledged", None),
            "wishes/15/gone": (Kind.LOST, "running", None),
        }
        told, found = await site.reconcile()
        assert differences(found) == expected
        assert [(one.version, one.journeys) for one in told.missing_versions] == [("wishes@9", 1)]
        assert (told.repaired, told.is_clean) == ({}, False)
        _, found = await site.reconcile()
        assert differences(found) == expected, "a comparison changes nothing"

        done, found = await site.reconcile(repair=True, later=timedelta())
        fresh = {revived.id, wrongly_lost.id, sent.id, continued.id}
        assert {finding.id for finding in found if not finding.repaired} == fresh
        assert {finding.trouble for finding in found} == {None, UNSETTLED}
        assert (await sent.handle.describe()).status is WorkflowExecutionStatus.RUNNING
        expected = {name: how for name, how in expected.items() if name in fresh}
        done, found = await site.reconcile(repair=True)
        assert differences(found) == expected
        assert (done.repaired, [finding.trouble for finding in found]) == (done.counts, [None] * len(expected))
        outcomes = {name: (await store.entry(journey.id, journey.run_id)) for name, journey in journeys.items()}
        assert {name: entry and entry.outcome for name, entry in outcomes.items()} == {
            1: None,
            2: "lost",
            3: None,
            4: "exited",
            5: None,
            6: "finished",
            7: "finished",
            8: None,
        }
        # The number of counted steps was lost with the row: they are counted again.
        before, after = (one and replace(one, counted_passages=0) for one in (rows[3], outcomes[3]))
        assert before == after, "it is as it was admitted"
        assert outcomes[7] is not None
        assert rows[7] is not None
        assert replace(outcomes[7], ended_at=None, outcome=None, reason=None) == replace(rows[7], counted_passages=0)
        for journey in (revived, sent, continued):
            assert (await journey.handle.describe()).status is WorkflowExecutionStatus.TERMINATED
        assert [erasure.operator for erasure in await site.client.erasures(is_open=True)] == ["ann"]

        await until(lambda: site.reconcile(repair=True), lambda told: not told[1])  # search lags
