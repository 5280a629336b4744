"""The end of the run: the records of all sides are read, compared and judged."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from benchmarks.chaos import judge
from benchmarks.chaos.judge import Arrivals
from benchmarks.chaos.operators import CAMPAIGN
from benchmarks.chaos.record import SERVER_RESTARTED, WORKER_KILLED, ChaosRun
from benchmarks.chaos.scenarios import CHANGED, LAST_STEP, STEPS, contact_id, gets_text, ids_of, message_step
from benchmarks.reconcile import EndedJourney, find_differences
from benchmarks.stops import say
from runtime.store import Attempt, Store
from scenario.steps.delivery import delivery_id

_ALL: Final = 1_000_000
SECOND: Final = "chaos@2"
"""The second version."""


async def compare(run: ChaosRun, store: Store) -> None:
    """Compare messages, the log, the store and histories with the expectations, and print the results."""
    arrivals, log = run.arrivals(), await _read_log(store)
    journeys = await _ended_journeys(run)
    _judge_deliveries(run, journeys, arrivals, log)
    _judge_messages(run, journeys, arrivals, log)
    await _judge_campaign(run, store, log)
    await _count_stuck(run)
    taken = {one for one, requests in arrivals.items() if any(r.answer != judge.REFUSED for r in requests)}
    others = 1 if run.erased else 0
    found = await find_differences(store, "chaos", journeys, taken, others=others, capped=True)
    run.wrong += found
    say(f"{len(run.left)} early exits; {len(found)} differences between store, histories and receivers")


async def _read_log(store: Store) -> dict[str, list[Attempt]]:
    log = defaultdict[str, list[Attempt]](list)
    for scenario in ("chaos", "offer"):
        for row in await store.deliveries(scenario=scenario, limit=_ALL):
            log[row.delivery_id].append(row)
    for rows in log.values():
        rows.sort(key=lambda row: row.started_at)
    return log


async def _ended_journeys(run: ChaosRun) -> list[EndedJourney]:
    """Return all journeys but the erased contact's, according to their histories."""
    found: list[EndedJourney] = []
    for contact, journey in run.journeys.items():
        if contact != run.erased:
            closed = (await run.retry(journey.handle.describe)).close_time
            assert closed is not None
            found.append(EndedJourney(contact, journey.id, journey.run_id, await run.retry(journey.result), closed))
    return found


def _judge_deliveries(run: ChaosRun, journeys: list[EndedJourney], arrivals: Arrivals, log: judge.AttemptLog) -> None:
    """Judge whether each delivery arrived, under its id, with the same bytes, and is in the log."""
    needed, possible = set[str](), set[str]()
    for contact, journey in run.journeys.items():
        possible |= ids_of(journey, (*STEPS, LAST_STEP, message_step(contact)))
    for one in journeys:
        if one.contact not in run.left:
            steps = (*STEPS, *([LAST_STEP] if one.result["version"] == SECOND else []))
            # A text message may be held as unknown. `find_differences` compares the others with the histories.
            steps = steps if gets_text(one.contact) else (*steps, "english")
            needed |= ids_of(run.journeys[one.contact], steps)
    arrived = {one for one, requests in arrivals.items() if any(r.answer != judge.REFUSED for r in requests)}
    lost, strange = len(needed - arrived), len(set(arrivals) - possible - _offers(log))
    run.expect(not (lost or strange), f"{lost} deliveries lost, {strange} under other ids")
    moved = sum(one.result["version"] == SECOND for one in journeys)
    run.expect(bool(moved), "no journey ended in the second version")
    repeated = sum(len(requests) - 1 for requests in arrivals.values())
    erased = (
        ids_of(run.journeys[run.erased], (*STEPS, LAST_STEP, message_step(run.erased))) if run.erased else set[str]()
    )
    judged = {one: requests for one, requests in arrivals.items() if one not in erased}  # whose rows are deleted
    crashes = run.faults_of(WORKER_KILLED, SERVER_RESTARTED)
    for verdict in (
        judge.find_repeated(judged, log, run.faults),
        judge.find_unlogged(judged, log, crashes),
        judge.find_other_bytes(arrivals),
    ):
        run.wrong += verdict
    say(
        f"{len(needed)} deliveries: {lost} lost, {strange} under other ids; {repeated} requests repeated; "
        f"{moved} of {len(journeys)} journeys ended in the second version"
    )


def _offers(log: judge.AttemptLog) -> set[str]:
    return {one for one, rows in log.items() if rows[0].scenario == "offer"}


def _judge_messages(run: ChaosRun, journeys: list[EndedJourney], arrivals: Arrivals, log: judge.AttemptLog) -> None:
    """Judge exits, changes, quiet hours and text messages."""
    of_contact = {
        contact: [
            arrival
            for one in ids_of(journey, (*STEPS, LAST_STEP, message_step(contact)))
            for arrival in arrivals.get(one, ())
        ]
        for contact, journey in run.journeys.items()
    }
    results = {one.contact: one.result for one in journeys}
    run.expect(not any(of_contact[one] for one in run.silent), "messages to contacts that left before their admission")
    run.expect(
        all(CHANGED.encode() in arrival.body for one in run.changed for arrival in of_contact[one]),
        "a change that was accepted before the admission is missing",
    )
    quiet = [contact_id(number) for number in range(1, run.number + 1) if run.is_quiet(number)]
    steps = {
        delivery_id(one.workflow_id, one.run_id, step["id"], 0): step["outcome"]
        for one in journeys
        if one.contact not in run.left  # whose journey may end while a message is on its way
        for step in one.result["steps"]
    }
    exits = {contact: at for contact, at in run.exits.items() if contact in results}
    for verdict in (
        judge.find_ignored_exits(exits, results, of_contact),
        judge.find_early((arrival for one in quiet for arrival in of_contact[one]), run.quiet_until),
        judge.find_doubled(run.texts()),
        judge.find_unsettled(steps, log),
    ):
        run.wrong += verdict
    texts = run.texts()
    uncertain = sum(requests[-1].answer == judge.UNANSWERED for requests in texts.values())
    say(f"{len(texts)} text messages, {uncertain} unanswered; {len(quiet)} contacts in quiet hours; {len(exits)} exits")


async def _judge_campaign(run: ChaosRun, store: Store, log: judge.AttemptLog) -> None:
    """Judge whether each line of the campaign was sent."""
    stored = await store.stored_campaign(CAMPAIGN)
    counts = (await store.campaign_counts([CAMPAIGN]))[CAMPAIGN]
    sent = sum(any(row.outcome == "delivered" for row in log[one]) for one in _offers(log))
    run.expect(
        stored is not None and stored.outcome == "finished" and sum(counts.values()) == run.lines,
        f"the campaign ended as {stored and stored.outcome} with {counts}",
    )
    arrived = {
        rows[0].contact_id
        for one, rows in log.items()
        if one in _offers(log) and any(r.answer != judge.REFUSED for r in run.receiver.webhooks.get(one, ()))
    }
    run.expect(len(arrived) == run.lines, f"{len(arrived)} of {run.lines} lines of the campaign arrived")
    say(f"a campaign of {run.lines} lines: {dict(counts)}; {sent} delivered in the log")


async def _count_stuck(run: ChaosRun) -> None:
    stuck = {
        which: await run.count_running(f"WorkflowType = 'Journey'{more}")
        for which, more in {
            "running": "",
            "held": " AND JourneyState = 'held'",
            "with problems": " AND TemporalReportedProblems IS NOT NULL",
        }.items()
    }
    run.expect(not any(stuck.values()), f"stuck: {stuck}")
    say(f"stuck: {stuck}")
