"""Settings come from the environment when they are asked for, and complain without showing what is secret."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.providers.effects import STALE
from runtime.errors import SettingsError
from runtime.retention import NATURAL, RetentionError, format_ages, parse_ages
from runtime.settings import Settings
from runtime.store.api_access import KEPT
from scenario.policies.caps import LONGEST
from scenario.policies.suppression import SOFT_SPAN

PASSWORD = "hunter2hunter2"
KEY = "aHVudGVyMmh1bnRlcjJodW50ZXIyaHVudGVyMmh1bnRlcjI="


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch):
    for name in Settings.model_fields:
        monkeypatch.delenv(f"SCENARIO_{name.upper()}", raising=False)


def test_nothing_has_to_be_set(monkeypatch: pytest.MonkeyPatch):
    for name in ("SCENARIO_SMTP", "SCENARIO_PLATFORM_TIMEZONE"):
        monkeypatch.setenv(name, "")  # which is as if it were not set
    settings = Settings()
    assert settings.store.get_secret_value() == "sqlite+aiosqlite:///.scenario/store.db"
    assert settings.platform_timezone == "Europe/Paris"
    assert (settings.smtp, settings.mail_from, settings.sms, settings.secrets_dir, settings.destinations) == (None,) * 5


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STORE", "postgresql://user:secret@db/name"),
        ("SECRETS_DIR", "{folder}"),
        ("DESTINATIONS", "{file}"),
        ("PLATFORM_TIMEZONE", "UTC"),
        ("PLATFORM_DATES", "dmy"),
        ("CALLBACK_URL", "https://hooks.example.com:8443/scenario/"),
        ("TEMPORAL_UI", "http://temporal.internal:8233/ui/"),
        ("CALLBACK_URL", "http://localhost:8080"),
        ("CALLBACK_URL", "http://[::1]:8080"),
        ("API_ORIGINS", "https://shop.example.com, http://localhost:5173"),
        ("TRUSTED_EVENTS", "email.clicked, sms.replied,contact.unsubscribed"),
        ("CALLBACK_KEY", KEY),
        ("RETENTION", "entries=2y"),
        ("JOURNAL", "file:/srv/scenario journal"),
        ("SUPPRESSION_KEY_PREVIOUS", f"{KEY}, {KEY}"),
    ],
)
def test_a_good_value_is_taken(name: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "destinations.yaml"
    file.touch()
    monkeypatch.setenv(f"SCENARIO_{name}", value.format(folder=tmp_path, file=file))
    assert getattr(Settings(), name.lower()) is not None


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("STORE", f"no url {PASSWORD}", "must be an SQLAlchemy URL"),
        ("SECRETS_DIR", f"/nowhere/{PASSWORD}", "must name a folder that exists"),
        ("DESTINATIONS", f"/nowhere/{PASSWORD}", "must name a file that exists"),
        ("QUEUE_SHARDS", f"3{PASSWORD}", "must be a whole number from 1 to 32"),
        ("QUEUE_SHARDS", "33", "must be a whole number from 1 to 32"),
        ("PLATFORM_DATES", f"ymd{PASSWORD}", "must be dmy or mdy"),
        ("PLATFORM_TIMEZONE", f"Mars/{PASSWORD}", "must be a time zone's IANA name"),
        ("PLATFORM_TIMEZONE", f"../{PASSWORD}", "must be a time zone's IANA name"),
        ("PLATFORM_TIMEZONE", "Europe", "must be a time zone's IANA name"),
        ("CALLBACK_URL", f"http://hooks.example.com/{PASSWORD}", "must be an address such as https://"),
        ("TEMPORAL_UI", f"https://user:{PASSWORD}@temporal.example.com", "must be an address such as https://temporal"),
        ("TEMPORAL_UI", f"javascript://temporal.example.com/{PASSWORD}", "must be an address such as https://temporal"),
        ("CALLBACK_URL", f"https://user:{PASSWORD}@hooks.example.com", "must be an address such as https://"),
        ("CALLBACK_URL", f"https://hooks.example.com/?{PASSWORD}", "must be an address such as https://"),
        ("CALLBACK_URL", f"https://hooks.example.com/#{PASSWORD}", "must be an address such as https://"),
        ("CALLBACK_URL", f"https:///{PASSWORD}", "must be an address such as https://"),
        ("CALLBACK_URL", f"https://hooks.example.com/ {PASSWORD}", "must be an address such as https://"),
        ("CALLBACK_URL", f"https://hooks.example.com:x/{PASSWORD}", "must be an address such as https://"),
        ("API_ORIGINS", f"https://shop.example.com/{PASSWORD}", "must be origins such as https://"),
        ("API_ORIGINS", "*", "must be origins such as https://"),
        ("RETENTION", "claims=3d", "must be ages from 1d"),
        ("JOURNAL", f"/srv/{PASSWORD}", "must be file: and the absolute path of a folder"),
        ("JOURNAL", f"file:{PASSWORD}", "must be file: and the absolute path of a folder"),
        ("JOURNAL", f"ftp://{PASSWORD}/journal", "must be file: and the absolute path of a folder"),
        ("TRUSTED_EVENTS", "email.clicked order.delivered", "must be reserved names of events such as sms.replied"),
        ("TRUSTED_EVENTS", "order.delivered", "must be reserved names of events such as sms.replied"),
        ("TRUSTED_EVENTS", "email.clicked,contact.changed", "must be reserved names of events such as sms.replied"),
        ("PLAIN_ENTRIES", f"no{PASSWORD}", "must be admit or refuse"),
        ("CODEC_ORIGINS", f"https://temporal.example.com/{PASSWORD}", "must be origins such as https://"),
        ("CALLBACK_KEY", PASSWORD, "must be base64 of at least 32 random bytes"),
        ("CALLBACK_KEY", PASSWORD * 4 + "!", "must be base64 of at least 32 random bytes"),
        ("SUPPRESSION_KEY", f"{KEY},{KEY}", "must be base64 of at least 32 random bytes"),
        ("SUPPRESSION_KEY_PREVIOUS", f"{KEY},{PASSWORD}", "must be keys in base64, of at least 32 random bytes each"),
    ],
)
def test_a_bad_value_is_refused_by_its_name_and_not_shown(
    name: str, value: str, wanted: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(f"SCENARIO_{name}", value)
    with pytest.raises(SettingsError) as caught:
        Settings()
    assert str(caught.value).startswith(f"SCENARIO_{name} {wanted}")
    assert PASSWORD not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_every_setting_is_described():
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_every_bad_value_is_named_at_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SCENARIO_STORE", "nonsense")
    monkeypatch.setenv("SCENARIO_PLATFORM_TIMEZONE", "nonsense")
    with pytest.raises(SettingsError, match=r"SCENARIO_STORE must .*; SCENARIO_PLATFORM_TIMEZONE must "):
        Settings()


def test_printing_shows_no_secret(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SCENARIO_SMTP", f"smtp://user:{PASSWORD}@host:587")
    monkeypatch.setenv("SCENARIO_STORE", f"postgresql://user:{PASSWORD}@host/name")
    monkeypatch.setenv("SCENARIO_SMS", f"twilio://sid:{PASSWORD}@?from=+33600000000")
    monkeypatch.setenv("SCENARIO_CALLBACK_KEY", KEY)
    monkeypatch.setenv("SCENARIO_SUPPRESSION_KEY_PREVIOUS", KEY)
    assert PASSWORD not in f"{Settings()!r} {Settings()} {Settings().model_dump()}"
    assert KEY not in f"{Settings()!r} {Settings()} {Settings().model_dump()}"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("SCENARIO_STROE", "there is no setting SCENARIO_STROE, so it is ignored: did you mean SCENARIO_STORE?"),
        ("scenario_stor", "there is no setting scenario_stor, so it is ignored: did you mean SCENARIO_STORE?"),
        ("Scenario_Mail_From", None),
        ("scenario_smtp_file", "did you mean SCENARIO_SMTP_FILE?"),
        ("SCENARIO_CALLBACK_KEYS", "did you mean SCENARIO_CALLBACK_KEY?"),
        ("SCENARIO_ZZZ", "there is no setting SCENARIO_ZZZ, so it is ignored: docs/run/settings.md lists all settings"),
        ("SCENARIO_SMTP_FILE", None),
        ("SCENARIO_SECRET_TOKEN", None),
        ("SCENARIO_DEBUG", None),
        ("SCENARIO_GATEWAY_SERVICE_HOST", None),
        ("SCENARIO_GATEWAY_PORT_8080_TCP_ADDR", None),
        ("SCENARIO_GATEWAY_PORT", None),
        ("OTHER_STROE", None),
    ],
)
def test_a_misspelt_setting_is_reported_once(
    name: str, told: str | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr("runtime.settings._told", set(os.environ))
    monkeypatch.setenv(name, PASSWORD)
    for _ in range(2):
        Settings()
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == (told is not None)
    assert "".join(said).endswith(told or "")
    assert PASSWORD not in caplog.text


DAY = timedelta(days=1)


def test_ages_are_durations_and_years() -> None:
    ages = parse_ages("entries=2y, deliveries=180d,responses=26w,")
    assert ages == {"entries": 730 * DAY, "deliveries": 180 * DAY, "responses": 182 * DAY}
    assert format_ages(ages) == "deliveries=180d,responses=182d,entries=730d"
    assert parse_ages(format_ages(ages)) == ages


ROWS = "deliveries, responses, entries, claims, passages, operations, events, each once, with its age: entries=2y"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "give retention periods: deliveries=180d,responses=30d,entries=2y"),
        ("suppressions=1y", f"'suppressions=1y' is not one of {ROWS}"),
        ("entries=1y,entries=2y", f"'entries=2y' is not one of {ROWS}"),
        ("entries", "'' is not an age of entries: from 1d to 10y, such as 90d, 26w or 2y"),
        ("entries=-3d", "'-3d' is not an age of entries: from 1d to 10y, such as 90d, 26w or 2y"),
        ("entries=11y", "'11y' is not an age of entries: from 1d to 10y, such as 90d, 26w or 2y"),
        ("claims=31d", "'31d' is not an age of claims: from 32d to 10y, such as 90d, 26w or 2y"),
    ],
)
def test_what_is_wrong_is_said(text: str, sentence: str) -> None:
    with pytest.raises(RetentionError) as caught:
        parse_ages(text)
    assert str(caught.value) == sentence


def test_nothing_is_forgotten_while_it_counts() -> None:
    assert NATURAL["claims"] > LONGEST
    assert NATURAL["soft_bounces"] > 2 * SOFT_SPAN
    assert NATURAL["provider_events"] > STALE
    assert NATURAL["answers"] >= KEPT
