"""Channels: their settings, their queues, and the time left of certificates that they use."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from pydantic import SecretStr
from temporalio.client import Client
from temporalio.service import TLSConfig

from activities.channel_registry import CHANNELS, QUEUES, webhook_queue
from activities.dependencies import Channels, certificates_of, channels_of
from activities.interface import JOURNEYS, fairness_key
from activities.webhook.destinations.destinations import Destinations
from activities.webhook.destinations.reading import DestinationsFile
from runtime.errors import SettingsError
from runtime.process.health import measuring_certificates, temporal_certificates
from runtime.settings import Settings
from runtime.telemetry import metrics
from scenario.steps.registry import KINDS
from tests.fakes import RefusingService
from tests.measured import now

PASSWORD = "hunter2hunter2"
KEY = "aHVudGVyMmh1bnRlcjJodW50ZXIyaHVudGVyMmh1bnRlcjI="
MAIL = {"SMTP": f"smtp://user:{PASSWORD}@mail.example.com", "MAIL_FROM": "Shop <shop@example.com>"}
BACK = {"CALLBACK_URL": "https://hooks.example.com", "CALLBACK_KEY": KEY}


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch):
    for name in Settings.model_fields:
        monkeypatch.delenv(f"SCENARIO_{name.upper()}", raising=False)


def found(monkeypatch: pytest.MonkeyPatch, inbox: Path, **variables: str) -> Channels:
    for name, value in variables.items():
        monkeypatch.setenv(f"SCENARIO_{name}", value)
    return channels_of(Settings(), inbox)


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({}, "configured: webhooks; not configured: e-mail, SMS, callbacks, suppressions, bounces, unsubscribing"),
        (MAIL, "configured: webhooks, e-mail; not configured: SMS, callbacks, suppressions, bounces, unsubscribing"),
            ({"SUPPRESSION_KEY": KEY},
             "configured: webhooks, suppressions; not configured: e-mail, SMS, callbacks, bounces, unsubscribing"),
        ({"MAIL_FROM": "shop@example.com", "SMS": "local:"},
         "configured: webhooks, SMS (local); not configured: e-mail, callbacks, suppressions, bounces, unsubscribing"),
        ({**MAIL, **BACK, "SUPPRESSION_KEY": KEY, "BOUNCE_ADDRESS": "bounces@mail.example", "SMS": f"twilio://AC1:{PASSWORD}@?from=SHOP"},
         "configured: webhooks, e-mail, SMS (twilio), callbacks, suppressions, bounces, unsubscribing"),
    ],
)  # fmt: skip
async def test_what_is_configured_is_said_without_an_address_or_a_secret(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variables: dict[str, str], sentence: str
):
    channels = found(monkeypatch, tmp_path, **variables)
    await channels.close(1)
    assert channels.sentence == sentence


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({"SMTP": f"http://user:{PASSWORD}@host"}, "SCENARIO_SMTP must look like smtp://"),
        ({"SMTP": f"smtp://user:{PASSWORD}@host?ca=/{PASSWORD}"}, "SCENARIO_SMTP: ?ca= must name a file"),
        ({"SMTP": MAIL["SMTP"], "MAIL_FROM": ""}, "SCENARIO_MAIL_FROM is missing: set it with SCENARIO_SMTP"),
        ({"MAIL_FROM": PASSWORD}, "SCENARIO_MAIL_FROM must be one sender"),
        ({"MAIL_FROM": f"Shop\r\nBcc: {PASSWORD}@b.example <a@b.example>"}, "SCENARIO_MAIL_FROM must be one sender"),
        ({"SMS": f"twilio://AC1:{PASSWORD}@?from=SHOP&x=1"}, "SCENARIO_SMS must look like twilio://"),
        ({"CALLBACK_KEY": KEY}, "SCENARIO_CALLBACK_URL is missing"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_by_its_name_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variables: dict[str, str], wanted: str
):
    with pytest.raises(SettingsError) as caught:
        found(monkeypatch, tmp_path, **({"MAIL_FROM": "shop@example.com"} | variables))
    assert str(caught.value).startswith(wanted)
    assert PASSWORD not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_everything_that_is_wrong_is_said_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    with pytest.raises(SettingsError) as caught:
        found(monkeypatch, tmp_path, SMTP="nonsense", MAIL_FROM="nonsense", SMS="nonsense", CALLBACK_KEY=KEY)
    assert [sentence.partition(" ")[0] for sentence in str(caught.value).split("; ")] == [
        "SCENARIO_SMTP", "SCENARIO_MAIL_FROM", "SCENARIO_SMS", "SCENARIO_CALLBACK_URL",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("destination", "key"),
    [("wax", "wax"), ("a" * 70, "a" * 64), ("é" * 40, "é" * 32), ("a" + "é" * 40, "a" + "é" * 31)],
)
def test_a_long_destination_has_as_much_of_its_name_as_the_server_takes(destination: str, key: str):
    assert fairness_key(destination) == key


def test_every_kind_of_step_that_sends_has_a_channel_with_a_queue_of_its_own():
    assert {kind for kind, model in KINDS.items() if model.sends} == set(CHANNELS)
    assert list(QUEUES) == [JOURNEYS, "webhooks", "email", "sms"]
    assert {name: channel.send.name for name, channel in CHANNELS.items()} == {
        "webhook": "send_webhook",
        "email": "send_email",
        "sms": "send_sms",
        "audience": "change_audience",
    }


def test_a_destination_keeps_its_queue_and_few_move_when_there_are_more():
    names = ["wax", "push", "clienteling", "whatsapp"]
    assert [webhook_queue(name, 1) for name in names] == ["webhooks"] * 4
    assert [webhook_queue(name, 4) for name in names] == ["webhooks-1", "webhooks-1", "webhooks-3", "webhooks"]
    many = [str(number) for number in range(1_000)]
    moved = {webhook_queue(name, 5) for name in many if webhook_queue(name, 4) != webhook_queue(name, 5)}
    assert moved == {"webhooks-4"}


NOW = datetime.now(UTC)
DESTINATIONS = """
wax:
  url: https://wax.example.com
  tls: {ca: ca.pem, certificate: client.pem, key: client.key}
"""


def left() -> dict[tuple[object, ...], float]:
    return {labels: round(seconds / 86_400) for labels, (seconds, _) in now(metrics.CERTIFICATE_LEFT).items()}


@pytest.fixture
def book(tmp_path: Path) -> Destinations:
    authority = trustme.CA()
    certificate = authority.issue_cert("client.example.com", not_after=NOW + timedelta(days=20))
    certificate.private_key_pem.write_to_path(tmp_path / "client.key")
    for pem in certificate.cert_chain_pems:
        pem.write_to_path(tmp_path / "client.pem", append=True)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    (tmp_path / "destinations.yaml").write_text(f"destinations:{DESTINATIONS.replace(chr(10), chr(10) + '  ')}\n")
    return DestinationsFile(tmp_path / "destinations.yaml").book


def test_the_days_left_are_measured_by_use(tmp_path: Path, book: Destinations) -> None:
    authority, later = trustme.CA(), trustme.CA()
    short = authority.issue_cert("here", not_after=NOW + timedelta(days=2)).cert_chain_pems[0].bytes()
    long = later.issue_cert("here", not_after=NOW + timedelta(days=300)).cert_chain_pems[0].bytes()
    (tmp_path / "smtp.pem").write_bytes(short + long)  # of two authorities one is enough
    settings = Settings(smtp=SecretStr(f"smtps://mail.example.com?ca={tmp_path / 'smtp.pem'}"))
    service = RefusingService()
    service.config = replace(service.config, tls=TLSConfig(client_cert=long + short, client_private_key=b"key"))
    temporal = Client(service)
    with measuring_certificates(lambda: {**temporal_certificates(temporal), **certificates_of(settings, book)}):
        found = left()
        assert found.pop(("ca", "wax")) > 300
        assert found == {("client", "wax"): 20, ("smtp_ca", None): 300, ("temporal_client", None): 2}
    assert left() == {}
    without = {**temporal_certificates(Client(RefusingService())), **certificates_of(Settings(), Destinations())}
    assert without == {}


def test_a_file_that_cannot_be_read_is_told_once_and_hides_no_other(
    tmp_path: Path, book: Destinations, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    (tmp_path / "ca.pem").write_text("nothing")
    with measuring_certificates(lambda: certificates_of(Settings(), book)):
        for _ in range(2):
            assert left() == {("client", "wax"): 20}
    assert caplog.messages == ["the certificate ca of wax cannot be measured (ValueError)"]
