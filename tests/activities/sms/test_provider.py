"""The setting SCENARIO_SMS, the local inbox, and numbers."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from activities.sms.configured import LocalSms, provider_from, status_url
from activities.sms.provider import ProviderBusy, TextMessage
from activities.sms.twilio import Twilio
from runtime.errors import SettingsError
from runtime.settings import Settings
from scenario.recipients import BadNumber, international


def made(url: str, tmp_path: Path) -> dict[str, Any]:
    twilio = provider_from(url, tmp_path)
    assert isinstance(twilio, Twilio)
    return twilio.__dict__


@pytest.mark.parametrize(
    ("url", "sid", "sender"),
    [
        ("twilio://AC1:tok@?from=+33700000000", "AC1", {"From": "+33700000000"}),
        ("twilio://AC1:tok@?from=%2B33700000000", "AC1", {"From": "+33700000000"}),
        ("twilio://AC%2F1:t%40k@?from=My%20Shop", "AC%2F1", {"From": "My Shop"}),
        ("twilio://AC1:tok@?from=MG1", "AC1", {"MessagingServiceSid": "MG1"}),
    ],
)
async def test_twilio_is_read_from_its_url(tmp_path: Path, url: str, sid: str, sender: dict[str, str]):
    twilio = made(url, tmp_path)
    assert twilio["_url"] == f"https://api.twilio.com/2010-04-01/Accounts/{sid}/Messages.json"
    assert twilio["_from"] == sender


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({"callback_url": "https://hooks.example.com/x"}, "https://hooks.example.com/x/inbound/events/twilio"),
        ({"callback_url": "http://127.0.0.1:8080"}, None),
        ({"callback_url": None}, None),
        ({"callback_url": "https://hooks.example.com", "suppression_key": None}, None),
    ],
)
def test_statuses_are_asked_for_where_a_gateway_can_receive_them(given: dict[str, Any], url: str | None):
    """Twilio would refuse messages with a URL that is not public."""
    assert status_url(Settings(**{"suppression_key": SecretStr("A" * 44), **given})) == url


def test_the_local_inbox_is_a_provider_too(tmp_path: Path):
    assert isinstance(provider_from("local:", tmp_path), LocalSms)
    assert [provider_from(url, tmp_path) for url in (None, "")] == [None, None]


@pytest.mark.parametrize(
    "url",
    ["twilio:", "twilio://", "twilio://AC1:secret@", "twilio://AC1:secret@?from=", "twilio://AC1@?from=+33",
     "twilio://AC1:secret@?from=+33&x=1", "twilio://AC1:secret@?from=+33&from=+34", "other://AC1:secret@?from=+33",
     "twilio://[secret", "local", "twilio://AC1:secret@?from=+33", "twilio://AC1:secret@?from=TwelveLetters",
     "twilio://AC1:secret@api.example?from=+33700000000", "twilio://AC1:secret@/x?from=+33700000000",
     "twilio://AC1:secret@?from=+33700000000#x"],
)  # fmt: skip
def test_a_setting_that_cannot_be_read_is_refused_without_being_quoted(tmp_path: Path, url: str):
    with pytest.raises(SettingsError, match=r"^SCENARIO_SMS must look like") as caught:
        provider_from(url, tmp_path)
    assert "secret" not in str(caught.value)


async def test_the_local_inbox_keeps_messages_whole_and_in_order(tmp_path: Path):
    local = LocalSms(tmp_path / "new" / "inbox")
    for body in ("Merci Zoé", "again"):
        await local.send(TextMessage(id="msg_1", to="+33612345678", body=body))
    await local.close(1)
    files = sorted((tmp_path / "new" / "inbox").iterdir())
    assert [file.suffix for file in files] == [".json", ".json"]
    contents = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    assert [(each["id"], each["to"], each["text"]) for each in contents] == [
        ("msg_1", "+33612345678", "Merci Zoé"),
        ("msg_1", "+33612345678", "again"),
    ]


async def test_an_inbox_that_cannot_be_written_may_be_mended(tmp_path: Path):
    (tmp_path / "inbox").write_text("a file")
    with pytest.raises(ProviderBusy, match="local inbox cannot be written") as caught:
        await LocalSms(tmp_path / "inbox").send(TextMessage(id="msg_1", to="+33612345678", body="Hi"))
    assert caught.value.sent is False
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("+33612345678", "+33612345678"),
        (" +33 6 12 34 56 78 ", "+33612345678"),
        ("+33 (0)6.12-34/56 78", "+33612345678"),
        ("0033612345678", "+33612345678"),
        ("00 33 6 12 34 56 78", "+33612345678"),
        ("tel:+33-6-12-34-56-78", "+33612345678"),
        ("+1 (415) 555-2671", "+14155552671"),
        ("+٣٣٦١٢٣٤٥٦٧٨", "+33612345678"),
        ("+390612345678", "+390612345678"),
    ],
)
def test_an_international_number_is_read_in_any_usual_spelling(written: str, number: str):
    assert international(written) == number


@pytest.mark.parametrize(
    "written",
    ["", "0612345678", "33612345678", "+", "+1", "+3361234567", "+336123456789012345", "+999123456789", "hello",
     "+33abc", "+33612345678 ext 5", "+33612345678, +33612345679", "1e10"],
)  # fmt: skip
def test_any_other_is_refused_without_being_quoted(written: str):
    with pytest.raises(BadNumber, match=r"^the contact's number is (not international|malformed)$"):
        international(written)
