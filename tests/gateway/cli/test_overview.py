"""`scenario overview`."""

from __future__ import annotations

from gateway.service.overview import HeldCount, MissingWorkers, OverviewView, RetryingDestination, WaitingBatches
from tests.gateway.cli.conftest import Client, Run
from tests.gateway.journey import START

WELL = OverviewView(
    at=START,
    well=True,
    in_progress=3,
    held=[],
    retrying=[],
    missing_workers=[],
    campaigns=[],
    batches=WaitingBatches(),
    held_audiences=0,
    outgoing=[],
)
TROUBLE = {
    "well": False,
    "held": [HeldCount(cause="permanent", journeys=1_000), HeldCount(cause=None, journeys=1)],
    "retrying": [
        RetryingDestination(destination="wax", deliveries=2, since=START, paused=True, why="wax answered 503")
    ],
    "missing_workers": [MissingWorkers(queue="email", tasks=7)],
    "batches": WaitingBatches(open=2, overdue=1, oldest_due_at=START),
}


def test_the_exit_status_tells_whether_all_is_well(run: Run, client: Client):
    client.seen = WELL
    ran = run("overview")
    assert (ran.status, ran.out) == (0, "all is well\n3 journeys in progress\n")
    client.seen = WELL.model_copy(update=TROUBLE)
    ran = run("overview")
    assert ran.status == 1
    held, other, wax, email, batches, _ = ran.out.splitlines()
    assert held == "held: 1,000 journeys, cause permanent"
    assert other == "held: 1 journey, cause other"
    assert wax.startswith("left alone: 2 deliveries to wax, since ")
    assert wax.endswith(": wax answered 503")
    assert email == "no worker: queue email, 7 tasks waiting"
    assert batches == "batches: 2 have not ended, 1 overdue"
    ran = run("overview", "--format", "json")
    assert (ran.status, ran.json["held"][0]) == (1, {"cause": "permanent", "journeys": 1_000})
