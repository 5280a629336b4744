"""What became of an entry, without servers: as the journey, the store and the log of attempts tell it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import AsyncMock
from zoneinfo import ZoneInfo

import pytest

from gateway.client import ScenarioClient
from gateway.errors import BadCursor, BadInput, NotFound
from gateway.journeys.snapshot import JourneySnapshot
from gateway.service.suppressions import ContactSuppressions, suppressions_of
from gateway.why.of_contact import NotLetIn
from gateway.why.story import clock, refused, told
from gateway.why.why import CapPlaces, answer, places
from runtime.derived_keys import AddressHashes
from runtime.store import Store, StoredEntry
from scenario.policies.caps import Cap
from scenario.policies.suppression import Suppression
from tests.factories import admission_request, cap_claim
from tests.gateway.journey import ENTRY, HELD, PLAN, PROGRESS, START, attempt
from tests.gateway.search import NOW, Search

PARIS = ZoneInfo("Europe/Paris")
OVER = replace(ENTRY, ended_at=START + timedelta(hours=1), outcome="exited", reason="event order.returned")


def story(view: JourneySnapshot = HELD, entry: StoredEntry = ENTRY, **more: Any) -> list[str]:
    made = told(replace(view, entry=entry, **more), entry)
    lines = [f"{clock(one.at, made.zone)[15:]} {one.step or ''}: {one.words}" for one in made.happenings]
    return [*lines, *([f"now {made.now}"] if made.now else [])]


def test_a_held_journey_is_told_from_its_beginning() -> None:
    assert story() == [
        "10:00 : let in by order with the key K1",
        "10:00 mail: sent by mx.example.com (250); rendered again with a@4",
        "10:05 pause: skipped by ann: hurry",
        "10:05 hook: retune by ann: it is slow",
        "10:10 hook: not delivered to hooks.example.com: 503 (2 times)",
        "10:20 hook: held: hooks.example.com answered 503",
        "now held at hook: decide with 'scenario retry|skip|leave a/7/K1 --reason …'",
    ]


WORDS = {"capped": "a cap had no place", "no_consent": "there was no consent", "expired": "it had waited too long"}


@pytest.mark.parametrize(("word", "said"), WORDS.items())
def test_what_temporal_has_forgotten_is_told_from_the_log(word: str, said: str) -> None:
    skipped = attempt("hook", 1, outcome="skipped", status=None, error=word)
    found = story(entry=OVER, status="forgotten", progress=None, attempts=[skipped])
    assert found == [
        "10:00 : let in by order with the key K1",
        f"10:00 hook: not sent: {said}",
        "11:00 : left: event order.returned",
    ]


def test_whether_a_step_was_reached_is_answered() -> None:
    held, again = told(HELD, ENTRY), told(replace(HELD, status="running"), ENTRY)
    assert "Yes: on Tue 2026-03-31 10:00 Europe/Paris, sent" in answer("7", [held], "mail")
    assert "Not yet: held at hook" in answer("7", [held, again], "hook")
    assert "Not yet: it comes after hook. Now: held at hook" in answer("7", [held], "later")
    late = refused(NotLetIn("a/7", "r9", "a", START + timedelta(days=1), "the contact was in a@3 before"), PLAN)
    said = answer("7", [late, held], "mail")
    assert "No: on Wed 2026-04-01 10:00 Europe/Paris, not let in: the contact was in a@3 before." in said
    assert "By an earlier entry, on Tue 2026-03-31 10:00 Europe/Paris, it was sent" in said
    asking = refused(NotLetIn("a/7", "r9", "a", START, None), PLAN)
    assert "Not yet: waits for admission: no worker has processed it yet." in answer("7", [asking], "mail")
    over = told(replace(HELD, status="completed", progress=None, result={**PROGRESS, "outcome": "exited"}), OVER)
    assert "No: the journey was over before: on Tue 2026-03-31 11:00" in answer("7", [over], "later")


def test_places_under_caps_are_counted_as_they_are_when_a_message_asks() -> None:
    caps = [Cap.model_validate({"name": "week", "channels": ["sms"], "at_most": 2, "per": "7d"})]
    now = START + timedelta(days=1)
    claims = [
        cap_claim(str(number), channel=channel, claimed_at=at)
        for number, (channel, at) in enumerate((("sms", START), ("email", START + timedelta(hours=1)), ("sms", now)))
    ]
    for known, taken, free_at in ((claims[:2], 1, None), (claims, 2, START + timedelta(days=7))):
        expected = CapPlaces(cap="week", taken=taken, at_most=2, per="7d", free_at=free_at)
        assert places(caps, known, now, PARIS) == [expected]


async def test_pages_have_every_entry_once(store: Store) -> None:
    search = Search()
    client = ScenarioClient(search.client, store)
    for number in range(10):
        now = NOW - timedelta(days=number // 3)  # several at the same time
        await store.admit(admission_request("7", "a", key=str(number), run_id=f"r{number}", now=now))
    # The control contact of r9 has departed, and its workflow is not closed yet.
    await store.depart("a/7/9", "r9", "control", "in the control group", NOW)
    search.add("a/7/9", ContactId="7")
    # This one waits: it was admitted, though the store does not have it any more.
    search.add("a/7/old", ContactId="7", JourneyState="waiting")
    found, cursor = list[str](), None
    while not found or cursor:
        page = await client.why("7", limit=4, cursor=cursor)
        found += [story.journey for story in page.entries]
        cursor = page.next
    assert sorted(found) == [f"a/7/{number}" for number in range(10)]
    assert {story.journey for story in (await client.why("7", since=NOW - timedelta(hours=1))).entries} == {
        *(f"a/7/{number}" for number in range(3))
    }
    with pytest.raises(NotFound):
        await client.why("7", since=NOW + timedelta(hours=1))
    with pytest.raises(BadCursor):
        await client.why("7", cursor="abc")
    with pytest.raises(BadInput, match=r"has a step 'hello': none is known$"):  # no version of 'a' is stored
        await client.why("7", step="hello")


HASHES = AddressHashes([b"k" * 32])
RUNNING = told(HELD, ENTRY)
KNOWN = {"contact": {"id": 7, "email": "Zoe@Example.com", "cellphone": "none"}}
NO_ADDRESSES = f"the entry of {RUNNING.journey} has no addresses"


async def test_addresses_of_a_running_journey_are_looked_up(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    bounce = Suppression("email", HASHES.of("email", "zoe@example.com")[0], "bounce", NOW)
    await store.suppress(bounce)
    await store.suppress(replace(bounce, address_hash="0" * 64))
    submitted = AsyncMock(side_effect=[KNOWN, {"contact": {}}, None, BadInput("no")])
    monkeypatch.setattr("gateway.service.suppressions.submitted_entry", submitted)

    async def look(story: Any, hashes: AddressHashes | None = HASHES) -> ContactSuppressions:
        return await suppressions_of(Search().client, store, hashes, [story])

    assert await look(RUNNING) == ContactSuppressions(RUNNING.journey, ["email"], [bounce])
    assert [(await look(RUNNING)).unknown for _ in range(3)] == [NO_ADDRESSES, NO_ADDRESSES, "no"]
    assert {call.args[1] for call in submitted.call_args_list} == {RUNNING.journey}
    over = RUNNING.model_copy(update={"now": None})
    assert (await look(over)).unknown == "no running journey above knows the contact's addresses"
    assert (await look(RUNNING, hashes=None)).unknown is not None
