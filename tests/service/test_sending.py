"""Test messages: to whom they may go, and what is on record of them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activities.webhook.destinations.reading import DestinationsFile
from activities.webhook.route import Direct
from authoring.errors import BadInput
from runtime.derived_keys import AddressHashes
from runtime.errors import SettingsError
from runtime.settings import Settings
from runtime.store import Attempt, Store
from scenario.policies.order import Rules
from scenario.policies.suppression import Suppression
from service.caller import TERMINAL
from service.sending import Outbox, Trials, is_allowed
from tests import factories
from tests.journey import attempt

NOW = datetime.now(UTC)
HASHES = AddressHashes([b"k" * 32])
TEXT = factories.attempt(
    "msg_test1",
    scenario="sale",
    version=2,
    step="text",
    workflow_id="",
    run_id="",
    contact_id="7",
    channel="sms",
    destination="twilio",
    test_by="key abcdefgh",
    started_at=NOW,
)
MESSAGE = TEXT, "+33612345678"
MAIL = replace(TEXT, channel="email", destination="mail.example.com"), "Zoe@Example.com"
HOOK = replace(TEXT, channel="webhook", destination="wax"), ""


@pytest.mark.parametrize(
    ("message", "recipients", "allowed"),
    [
        (MESSAGE, "ann@example.com, +33612345678", True),
        (MESSAGE, "+33612345679", False),
        (MESSAGE, "twilio", False),
        (MAIL, "zoe@EXAMPLE.com", True),
        (MAIL, "@EXAMPLE.com", True),
        (MAIL, "ann@example.com", False),
        (MAIL, "@example.org,@le.com", False),
        ((MAIL[0], "zoe@straße.example"), "@straße.example", True),
        ((MAIL[0], "zoe@strasse.example"), "@straße.example", False),
        (MAIL, "example.com,mail.example.com", False),
        (HOOK, "WAX", True),
        (HOOK, "hooks.example.com,@wax", False),
        ((replace(TEXT, channel="webhook", destination="hooks.example.com"), ""), "Hooks.Example.com", True),
        ((replace(TEXT, channel="webhook", destination=""), ""), "wax", False),
    ],
)
async def test_only_recipients_in_the_setting_are_allowed(message: tuple[Attempt, str], recipients: str, allowed: bool):
    assert is_allowed(*message, recipients) is allowed
    if not allowed:
        with pytest.raises(BadInput, match="recipients in SCENARIO_TEST_RECIPIENTS only, and this one is not among"):
            await Trials(recipients=recipients).check(*message, Rules())


def test_the_setting_names_recipients_of_all_kinds_and_nothing_else():
    for value in ("ann@example.com,@example.com,+33612345678,wax,hooks.example.com", " wax , b "):
        assert Settings(test_recipients=value).test_recipients == value
    for value in ("ann@", "a b", "wax,,b", "+33 6 12", "https://a.example"):
        with pytest.raises(SettingsError, match="SCENARIO_TEST_RECIPIENTS must be e-mail addresses, @ and a domain"):
            Settings(test_recipients=value)


@pytest.mark.parametrize(
    ("message", "source", "purpose", "refused"),
    [
        (MESSAGE, "stop", "transactional", True),
        (MESSAGE, "unsub", "marketing", True),
        (MESSAGE, "unsub", "transactional", False),
        (MAIL, "bounce", "transactional", True),
        ((TEXT, "+33612345679"), "stop", "marketing", False),
        (HOOK, "stop", "marketing", False),
    ],
)
async def test_suppressed_addresses_get_no_tests(
    store: Store, message: tuple[Attempt, str], source: Any, purpose: Any, refused: bool
):
    for channel, address in (("sms", MESSAGE[1]), ("email", MAIL[1])):
        await store.suppress(Suppression(channel, HASHES.of(channel, address)[0], source, NOW))
    checking = Trials(store=store, hashes=HASHES).check(*message, Rules(purpose=purpose))
    if not refused:
        await checking
        return
    with pytest.raises(BadInput, match=r"^nothing was sent: the address has"):
        await checking
    (kept,) = await store.deliveries()
    assert (kept.outcome, kept.error, kept.test_by) == ("skipped", "suppressed", "key abcdefgh")


async def test_tests_are_on_record_and_counted_nowhere(store: Store):
    await store.record([replace(attempt("hook", 1), scenario="sale", destination="twilio", started_at=NOW)])
    since = NOW - timedelta(hours=1)
    before = await store.attempt_counts("sale", since=since), await store.outcomes(since=since)
    await Trials(store=store).record(replace(TEXT, outcome="failed", error="http_400", status=400, response="no"))
    (kept,) = await store.deliveries(delivery_id="msg_test1")
    assert (kept.workflow_id, kept.scenario, kept.version, kept.step) == ("", "sale", 2, "text")
    assert (kept.outcome, kept.error, kept.status, kept.response) == ("failed", "http_400", 400, "no")
    assert (await store.attempt_counts("sale", since=since), await store.outcomes(since=since)) == before
    await store.erase("7", "0123")
    (kept,) = await store.deliveries(delivery_id="msg_test1")
    assert (kept.contact_id, kept.workflow_id, kept.response) == ("erased:0123", "", None)


REQUEST: dict[str, Any] = {"source": "scenario: hello\ntrigger: order\nsteps: [{mail: x}]\n", "entry": {}}


async def test_it_sends_as_the_settings_say_and_nothing_of_a_scenario_with_mistakes(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SCENARIO_SECRET_TOKEN", "s3cret-value")
    async with Outbox.configured(Settings(), DestinationsFile(), store) as outbox:
        assert (outbox.channels.connections, outbox.book) == ({}, None)
        assert isinstance(outbox.routes, Direct)
        assert outbox.secrets.snapshot()["TOKEN"] == "s3cret-value"
        assert "s3cret" not in repr(outbox)
        with pytest.raises(BadInput, match="the scenario has mistakes"):
            await outbox.send(TERMINAL, REQUEST, "mail")
