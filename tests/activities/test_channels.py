"""The settings of channels are judged in one place, before anything is sent, and without showing what is secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from activities.dependencies import Channels, channels_of
from activities.sms.configured import LocalSms
from runtime.errors import SettingsError
from runtime.settings import Settings

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


def test_local_sms_go_into_the_inbox(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    assert isinstance(found(monkeypatch, tmp_path, SMS="local:").connection("sms"), LocalSms)


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
