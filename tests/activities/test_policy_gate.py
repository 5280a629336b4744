"""The gate of every message, with a store: what it asks, and what becomes of places under caps."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.service import RPCError, RPCStatusCode

from activities.channel_registry import EMAIL, SMS, WEBHOOK, Channel
from activities.content import Content
from activities.gate import OutgoingMessage, PolicyGate
from activities.interface import Delivery
from activities.suppressions import Notify, notify_nobody
from runtime.derived_keys import AddressHashes
from runtime.store import Store
from scenario.policies.order import Defer, Ruling, Skip
from scenario.policies.policies import Policies
from scenario.policies.suppression import AddressVerdict, Suppression
from tests.factories import publish

HASHES = AddressHashes([b"k" * 32])
SCENARIO = """
scenario: news
trigger: segment
{head}
steps:
  - {{sms: hi, text: hi{more}}}
  - {{email: mail, subject: a, text: a}}
  - {{webhook: hook, url: "https://a.example.com/x"}}
"""


class Gates:
    def __init__(self, store: Store, policies: dict[str, Any], tell: Notify = notify_nobody) -> None:
        self.policies = Policies.model_validate(policies)
        self.gate = PolicyGate(Content(store), store, lambda: self.policies, HASHES, tell)

    def leaving(
        self,
        number: int = 1,
        channel: Channel = SMS,
        address: str = "+33612345678",
        waited: timedelta = timedelta(0),
        **given: Any,
    ) -> OutgoingMessage:
        step = {"sms": "hi", "email": "mail", "webhook": "hook"}[channel.name]
        at = datetime.now(UTC)
        began = (at - waited).isoformat()
        delivery = Delivery(
            id=f"msg_{number}", scenario="news@1", step=step, contact="7", now=at.isoformat(), began=began, **given
        )
        return OutgoingMessage(delivery, channel, "a.example.com" if channel is WEBHOOK else "twilio", at, address)

    async def ask(self, number: int = 1, channel: Channel = SMS, **given: Any) -> Ruling:
        return await self.gate.check(self.leaving(number, channel, **given))


Make = Callable[..., Awaitable[Gates]]


@pytest.fixture
def made(store: Store) -> Make:
    async def make(policies: dict[str, Any], head: str = "", more: str = "", tell: Notify = notify_nobody) -> Gates:
        await publish(store, SCENARIO.format(head=head, more=more))
        return Gates(store, policies, tell)

    return make


TWO = {"caps": [{"name": "few", "channels": ["sms", "webhook"], "at_most": 2, "per": "24h"}]}


async def test_a_suppressed_address_is_not_written_to(made: Make, store: Store) -> None:
    gates = await made({})
    assert await gates.ask() is None
    (address, *_) = HASHES.of("sms", "+33612345678")
    await store.suppress(Suppression("sms", address, "stop", datetime(2026, 2, 3, tzinfo=UTC)))
    assert await gates.ask() == Skip("the address has answered STOP (stop, 2026-02-03)", "suppressed")
    assert await gates.ask(address="+33699999999") is None
    # The log names its recipient, in a way that no other row does.
    assert gates.gate.recipient(gates.leaving()) == HASHES.of_recipient("msg_1", "sms", "0033 6 12 34 56 78")[0]
    assert gates.gate.recipient(gates.leaving(2)) != gates.gate.recipient(gates.leaving())
    assert gates.gate.recipient(gates.leaving(channel=WEBHOOK, address="")) is None
    assert await gates.ask(channel=EMAIL, address="zoe@example.com") is None


async def test_the_hours_are_the_contacts(made: Make) -> None:
    """Whatever the time is now: noon somewhere is midnight elsewhere."""
    gates = await made({"quiet_hours": {"from": "20:00", "to": "10:00"}})
    hour = datetime.now(UTC).hour
    noon, night = f"UTC{12 - hour:+03d}:00", f"UTC{(23 - hour + 12) % 24 - 12:+03d}:00"
    assert await gates.ask(zone=noon) is None
    found = await gates.ask(zone=night)
    assert isinstance(found, Defer)
    assert (found.reason, found.code) == ("quiet hours", "quiet")
    assert timedelta(hours=10) < found.until - datetime.now(UTC) < timedelta(hours=12)
    assert await gates.ask(zone=night, at_once=True) is None


async def test_a_place_is_taken_once_and_given_back_or_kept(made: Make, store: Store) -> None:
    gates = await made(TWO)
    assert [await gates.ask(1), await gates.ask(1), await gates.ask(2, WEBHOOK, address="")] == [None, None, None]
    assert await gates.ask(9, EMAIL, address="zoe@example.com") is None, "which no cap counts"
    third = await gates.ask(3)
    assert isinstance(third, Skip)
    assert third.code == "capped"
    assert third.reason.startswith("capped by few: 2 in 1d, next ")
    await gates.gate.not_delivered(gates.leaving(1), uncertain=False)
    assert await gates.ask(3) is None, "the first one's place"
    await gates.gate.not_delivered(gates.leaving(3), uncertain=True)
    await gates.gate.not_delivered(gates.leaving(3), uncertain=False)  # an operator's retry fails for good
    assert isinstance(await gates.ask(4), Skip), "something may have arrived"
    assert await gates.ask(5, at_once=True) is None
    since = datetime.now(UTC) - timedelta(days=1)
    assert [claim.delivery_id for claim in await store.claims_of("7", since)] == ["msg_2", "msg_3", "msg_5"]


async def test_a_place_is_given_back_by_who_does_not_know_the_destination_yet(made: Make) -> None:
    gates = await made({"caps": [{"name": "few", "channels": ["shop"], "at_most": 1, "per": "24h"}]})
    first, second = (replace(gates.leaving(number, WEBHOOK, ""), destination="shop") for number in (1, 2))
    assert await gates.gate.check(first) is None
    assert isinstance(await gates.gate.check(second), Skip)
    await gates.gate.not_delivered(replace(first, destination="webhook"), uncertain=False)
    assert await gates.gate.check(second) is None


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"waited": timedelta(minutes=59), "data": {"contact": {"lists": [{"id": 52, "name": "SMS"}]}}}, ""),
        ({"data": {"contact": {"lists": []}}}, "no_consent"),
        ({"waited": timedelta(hours=1), "data": {"contact": {"lists": [{"id": 52}]}}}, "expired"),
    ],
)
async def test_consent_and_the_time_since_the_step_began_are_those_of_the_attempt(made: Make, given: Any, word: str):
    gates = await made({}, "subscription: {sms: 52}", more=", expires: 1h")
    assert getattr(await gates.ask(**given), "code", "") == word


async def test_a_place_counts_from_the_attempt_that_takes_it(made: Make, store: Store) -> None:
    gates = await made(TWO, more=", capped: {wait: 2d}")
    first = gates.leaving(1, waited=timedelta(hours=23))
    assert await gates.gate.check(first) is None
    [claim] = await store.claims_of("7", first.now - timedelta(days=2))
    assert claim.claimed_at == first.now
    await gates.ask(2)
    # The next place is free in a day, and a message waits for it for two days from the beginning of its step.
    found = await gates.ask(3, waited=timedelta(hours=23))
    assert isinstance(found, Defer)
    assert (found.reason, found.code) == ("capped by few", "capped")
    assert timedelta(hours=23, minutes=59) < found.until - datetime.now(UTC) < timedelta(hours=24, minutes=1)
    assert isinstance(await gates.ask(4, waited=timedelta(hours=25)), Skip)


async def test_transactional_messages_are_neither_kept_back_nor_counted(made: Make, store: Store) -> None:
    gates = await made({**TWO, "quiet_hours": {"from": "00:00", "to": "23:59"}}, "purpose: transactional")
    assert [await gates.ask(number) for number in range(1, 5)] == [None] * 4
    assert await store.claims_of("7", datetime(2026, 1, 1, tzinfo=UTC)) == []


async def test_the_store_is_not_asked_where_nothing_can_apply(made: Make, store: Store) -> None:
    gates = await made({})
    content = Content(store)
    await content.open("news", 1)
    away: Any = None  # any question to it would fail
    gate = PolicyGate(content, away, Policies, HASHES)
    assert await gate.check(gates.leaving(1, WEBHOOK, address="")) is None
    assert await PolicyGate(content, away, Policies, None).check(gates.leaving(1, EMAIL, "zoe@example.com")) is None
    await gate.not_delivered(gates.leaving(1), uncertain=False)


BOUNCE, SOFT = AddressVerdict("bounce", "550 5.1.1"), AddressVerdict("soft", "552 5.2.2")


async def test_a_bounce_suppresses_at_once_and_says_what_the_next_attempt_would(made: Make, store: Store) -> None:
    told: list[tuple[str, str, str]] = []

    async def tell(suppression: Suppression, address: str) -> None:
        told.append((suppression.source, suppression.evidence, address))
        raise RPCError("away", RPCStatusCode.UNAVAILABLE, b"")  # which makes no difference

    gates = await made({}, tell=tell)
    never = await gates.gate.rejected(gates.leaving(1, EMAIL, "Zoe@example.com"), BOUNCE)
    assert isinstance(never, Skip)
    assert never == await gates.ask(2, EMAIL, address="zoe@example.com")
    assert told == [("bounce", "550 5.1.1", "Zoe@example.com")]
    [row] = await store.suppressions()
    assert (row.channel, row.source, row.evidence) == ("email", "bounce", "550 5.1.1")
    assert "zoe" not in str(row)
    without_a_key = PolicyGate(Content(store), store, lambda: Policies(), None)
    assert await without_a_key.rejected(gates.leaving(3, EMAIL, "eve@example.com"), BOUNCE) is None
    assert await store.suppressions() == [row]


async def test_the_third_passing_trouble_within_a_week_suppresses(made: Make) -> None:
    gates = await made({})
    # One delivery counts once, however often an operator tries it again.
    came = [await gates.gate.rejected(gates.leaving(number, EMAIL, "zoe@example.com"), SOFT) for number in (1, 2, 2, 3)]
    assert came[:3] == [None, None, None]
    assert came[3] is not None
    assert came[3].reason.startswith("the address has bounced again and again (soft, ")
    assert await gates.ask(4, EMAIL, address="zoe@example.com") == came[3]
