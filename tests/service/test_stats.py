"""A scenario in numbers: from the store, and from a stand-in for Temporal's search."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.service import RPCStatusCode

from activities.content import Content
from authoring.errors import BadInput
from runtime.store import Attempt, Passage, Store
from service.client import ScenarioClient
from service.stats import DayView, PopulationView, StatsView, StepStats, StepTrend, of_all_versions, stats, trends
from tests import factories
from tests.factories import admission_request
from tests.search import Search

NOW = datetime.now(UTC)
SALE = """
scenario: sale
trigger: segment
steps:
  - email: mail
    subject: Hi
    text: Hi
  - wait: 2d
  - webhook: hook
    url: https://hooks.example.com/
    body: {}
"""


def standing(*journeys: tuple[str, str, str, int], on: Search | None = None) -> Search:
    """Journeys by version, state and step, of which there are so many."""
    search = on or Search()
    for version, state, step, times in journeys:
        for number in range(times):
            search.add(f"{version}/{step}/{number}", ScenarioVersion=version, JourneyState=state, StepId=step)
    return search


async def publish(store: Store, text: str = SALE) -> None:
    await factories.publish(store, text)


async def admit(store: Store, number: int, version: int = 1) -> str:
    journey = f"sale/{number}"
    now = NOW - timedelta(hours=2)
    await store.admit(admission_request(str(number), "sale", version=version, run_id="r", now=now, trigger="segment"))
    return journey


def attempt(journey: str, step: str, outcome: str, error: str | None = None, **more: Any) -> Attempt:
    given = {"started_at": NOW - timedelta(minutes=5), "outcome": outcome, "error": error, "contact_id": "1", **more}
    return factories.attempt(
        f"msg_{journey}_{step}", workflow_id=journey, run_id="r", scenario="sale", step=step, **given
    )


async def asked(store: Store, search: Search, version: int | None = None, before: StatsView | None = None) -> StatsView:
    return await stats(search.client, store, Content(store), "sale", version, before=before)


def people(found: StatsView) -> dict[str, PopulationView | None]:
    """Those who stand at steps of the newest version."""
    return {one.id: one.now for one in found.versions[0].steps if one.now != PopulationView()}


async def test_each_step_has_those_at_it_and_those_through_with_it(store: Store):
    await publish(store)
    journeys = [await admit(store, number) for number in range(6)]
    passed = [Passage(1, "mail", "delivered", NOW - timedelta(days=3)), Passage(1, "wait-2", "waited", NOW)]
    await store.count_passages(journeys[0], "r", 0, passed)
    await store.count_passages(journeys[1], "r", 0, [Passage(1, "mail", "skipped", NOW)])
    await store.depart(journeys[0], "r", "finished", None, NOW)
    await store.depart(journeys[1], "r", "exited", None, NOW)
    made = [
        attempt(journeys[2], "mail", "delivered"),
        attempt(journeys[3], "mail", "skipped", "capped"),
        attempt(journeys[4], "mail", "skipped"),  # the contact has no address
        attempt(journeys[2], "hook", "retry", "HTTP 503"),
        attempt(journeys[4], "hook", "failed", "HTTP 400", started_at=NOW - timedelta(days=2)),
    ]
    await store.record(made)
    search = standing(("sale@1", "waiting", "wait-2", 1), ("sale@1", "retrying", "mail", 1))
    standing(("sale@1", "held", "hook", 1), on=search)
    found = await asked(store, search)
    assert (found.scenario, found.trouble, len(found.versions)) == ("sale", "", 1)
    assert found.since == found.as_of.replace(minute=0, second=0, microsecond=0) - timedelta(days=1)
    [version] = found.versions
    assert (version.version, version.is_newest, version.entered, version.under_way) == (1, True, 6, 4)
    assert version.over == {"exited": 1, "finished": 1}
    assert version.now == PopulationView(waiting=1, retrying=1, held=1, running=1), (
        "one has never waited: search does not know it"
    )
    mail: dict[str, Any] = {"passed": {"delivered": 1, "skipped": 1}, "passed_lately": {"skipped": 1}}
    mail |= {"attempts": {"delivered": 1, "skipped": 2}, "skipped": {"aborted": 1, "capped": 1}}
    wait = {"passed": {"waited": 1}, "passed_lately": {"waited": 1}}
    hook: dict[str, Any] = {"kind": "webhook", "what": "webhook → hooks.example.com", "attempts": {"retry": 1}}
    assert version.steps == [
        StepStats(id="mail", kind="email", what="email", now=PopulationView(retrying=1), **mail),
        StepStats(id="wait-2", kind="wait", what="wait 2d", now=PopulationView(waiting=1), **wait),
        StepStats(id="hook", now=PopulationView(held=1), **hook),
    ]


async def test_older_versions_are_told_as_long_as_somebody_is_in_them(store: Store):
    for days in (2, 3, 4):
        await publish(store, SALE.replace("2d", f"{days}d"))
    first, second = await admit(store, 1, 1), await admit(store, 2, 2)
    await admit(store, 3, 1)
    await store.adopt(first, "r", 2)
    await store.depart(second, "r", "finished", None, NOW)
    search = standing(("sale@1", "waiting", "wait-2", 1), ("sale@2", "waiting", "wait-2", 1))
    found = await asked(store, search)
    assert [(one.version, one.is_newest, one.entered, one.under_way) for one in found.versions] == [
        (3, True, 0, 0),
        (2, False, 1, 1),
        (1, False, 2, 1),
    ]
    assert [one.now and one.now.waiting for one in found.versions] == [0, 1, 1]
    assert not any("sale@3" in query for query in search.queries), "nobody is in it"
    alone = await asked(store, search, 2)
    assert [one.version for one in alone.versions] == [2]


SIXTY = "scenario: sale\ntrigger: segment\nsteps:\n" + "".join(f"  - {{id: w{n}, wait: 1d}}\n" for n in range(60))


async def test_no_more_is_counted_than_it_takes_and_few_at_a_time(store: Store):
    await publish(store, SIXTY)
    await admit(store, 1)
    search = standing(("sale@1", "waiting", "w50", 2000), ("sale@1", "waiting", "w3", 5))
    stand = {"w3": PopulationView(waiting=5), "w50": PopulationView(waiting=2000)}
    first = await asked(store, search)
    assert people(first) == stand
    assert len(search.queries) <= 5 + 52
    assert search.most <= 4
    search.queries.clear()
    second = await asked(store, standing(("sale@1", "waiting", "w51", 3), on=search), before=first)
    assert people(second) == {**stand, "w51": PopulationView(waiting=3)}
    search.database.execute("DELETE FROM journeys WHERE StepId = 'w51'")
    search.queries.clear()
    await asked(store, search, before=second)
    assert len(search.queries) == 5 + 4, "those where somebody stood, first"


async def test_few_journeys_are_listed_instead_of_counted_by_step(store: Store):
    await publish(store, SIXTY)
    await admit(store, 1)
    search = standing(("sale@1", "waiting", "w50", 30), ("sale@1", "waiting", "w3", 5))
    standing(("sale@1", "paused", "w59", 1), ("sale@2", "waiting", "w3", 1), on=search)
    assert people(await asked(store, search)) == {
        "w3": PopulationView(waiting=5),
        "w50": PopulationView(waiting=30),
        "w59": PopulationView(paused=1),
    }
    assert len(search.queries) == 5 + 2


async def test_without_search_there_is_what_the_store_knows(store: Store):
    await publish(store)
    journey = await admit(store, 1)
    await store.count_passages(journey, "r", 0, [Passage(1, "mail", "delivered", NOW)])
    for status, trouble in (
        (RPCStatusCode.UNIMPLEMENTED, "the Temporal server has no search: who stands where is not known"),
        (RPCStatusCode.UNAVAILABLE, "Temporal's search does not answer (UNAVAILABLE): who stands where is not known"),
    ):
        found = await asked(store, Search(error=status))
        assert found.trouble == trouble
        assert (found.versions[0].under_way, found.versions[0].now) == (1, None)
        mail = found.versions[0].steps[0]
        assert (mail.now, mail.passed, mail.passed_lately) == (None, {"delivered": 1}, {"delivered": 1})


async def test_what_is_not_published_has_no_numbers(store: Store):
    await publish(store)
    with pytest.raises(BadInput, match="there is no scenario 'sail': did you mean 'sale'"):
        await stats(Search().client, store, Content(store), "sail")
    with pytest.raises(BadInput, match="sale has no version 7: the newest is 1"):
        await asked(store, Search(), 7)


async def test_a_client_counts_once_for_all_who_look(store: Store):
    await publish(store)
    await admit(store, 1)
    search = Search()
    client = ScenarioClient(search.client, store)
    found = await asyncio.gather(*(client.stats("sale") for _ in range(20)))
    assert (len({id(one) for one in found}), len(search.queries)) == (1, 5)
    await client.services.close()


async def test_trends_have_people_and_attempts_by_day_and_version(store: Store, monkeypatch: pytest.MonkeyPatch):
    await publish(store)
    await publish(store, SALE.replace("2d", "3d"))
    days = [NOW - timedelta(days=number) for number in range(4)]
    passed = [(1, "delivered", days[3]), (2, "delivered", days[1]), (1, "skipped", days[1])]
    for number, (version, outcome, at) in enumerate(passed):
        journey = await admit(store, number)
        await store.count_passages(journey, "r", 0, [Passage(version, "mail", outcome, at)])
    for number, (outcome, at) in enumerate((("retry", days[2]), ("retry", days[1]), ("delivered", days[0]))):
        await store.record([attempt(f"sale/{number}", "hook", outcome, started_at=at)])
    found = await trends(store, Content(store), "sale", days=3)
    assert (found.since, found.until, found.attempts_since) == (days[2].date(), days[0].date(), days[2].date())
    assert [(one.version, one.is_newest) for one in found.versions] == [(2, True), (1, False)]

    def day(at: datetime, **outcomes: int) -> DayView:
        return DayView(day=at.date(), outcomes=outcomes)

    mail, wait, hook = found.versions[1].steps
    assert (mail.people, mail.attempts) == ([day(days[1], skipped=1)], [])
    assert (wait.people, wait.attempts) == ([], None)
    attempts = [day(days[2], retry=1), day(days[1], retry=1), day(days[0], delivered=1)]
    assert hook == StepTrend(id="hook", kind="webhook", what="webhook → hooks.example.com", attempts=attempts)
    merged = of_all_versions(found)
    assert [one.id for one in merged] == ["mail", "wait-2", "hook"]
    assert merged[0].people == [day(days[1], delivered=1, skipped=1)]
    assert (merged[1].attempts, merged[2].attempts) == (None, hook.attempts)
    assert [one.version for one in (await trends(store, Content(store), "sale", 1)).versions] == [1]
    monkeypatch.setattr("service.stats.COUNTED", 3)
    assert (await trends(store, Content(store), "sale", days=3)).attempts_since == days[1].date()
