"""Callback addresses are known again for a while, by whoever has the key, and by nobody else."""

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from runtime.derived_keys import ExpiredToken, ForgedToken, MalformedToken, TokenError
from runtime.errors import SettingsError
from runtime.public_links import CallbackClaim, Callbacks
from runtime.settings import Settings
from tests.factories import present

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
BASE = "https://hooks.example.com/scenario"
NOW = datetime.fromisoformat("2026-03-02T09:30:00+01:00")
JOURNEY = "post-purchase/3028687/CGX0094"
ROOT = "0199a1b2-0000-7000-8000-0123456789ab"
DELIVERY = "msg_00112233445566778899aabbccddeeff"
CLAIM = CallbackClaim(JOURNEY, ROOT, DELIVERY, datetime(2026, 4, 1, 8, 30, tzinfo=UTC))
LATER = NOW + timedelta(days=29)


def token(*keys: bytes, workflow_id: str = JOURNEY, root: str = ROOT) -> str:
    return Callbacks(BASE, keys or [KEY]).url(workflow_id, root, DELIVERY, NOW).rpartition("/")[2]


def test_an_address_is_short_safe_in_a_url_and_the_same_for_every_attempt():
    url = Callbacks(BASE + "/", [KEY]).url(JOURNEY, ROOT, DELIVERY, NOW)
    assert url == (
        "https://hooks.example.com/scenario/callbacks/c1.c5hZrOitF-IZnylI5bFamNOukKgdKipoAMzZYP6MGNyRQoHk-1uGtYqrSIC6"
        "zxakJNWswSHfv10SL2LZLJXPYM-jZwJnS6tA0k8npRdfKgMnyQ"
    )


def test_a_token_says_whose_it_is_and_until_when():
    assert Callbacks(BASE, [KEY]).verify(token(), LATER) == CLAIM


@pytest.mark.parametrize("workflow_id", ["a/b", "é/日本/🎉", "x" * 250])
def test_any_journey_can_be_named(workflow_id: str):
    claim = Callbacks(BASE, [KEY]).verify(token(workflow_id=workflow_id), NOW)
    assert claim == replace(CLAIM, workflow_id=workflow_id)


def test_it_works_for_thirty_days_from_the_deliverys_time():
    callbacks = Callbacks(BASE, [KEY])
    assert callbacks.verify(token(), CLAIM.expires - timedelta(seconds=1)) == CLAIM
    with pytest.raises(ExpiredToken):
        callbacks.verify(token(), CLAIM.expires)


def test_a_previous_key_still_opens_and_no_longer_signs():
    rotating = Callbacks(BASE, [OTHER, KEY])
    assert rotating.verify(token(KEY), NOW) == CLAIM
    assert rotating.url(JOURNEY, ROOT, DELIVERY, NOW).endswith(token(OTHER))
    with pytest.raises(ForgedToken):
        Callbacks(BASE, [OTHER]).verify(token(KEY), NOW)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A" * 71,
        "A" * 200_000,
        token() + "=",
        token()[:40] + "\n" + token()[41:],
        token()[:40] + "é" + token()[41:],
        token().swapcase() + "A",
        "c2." + token()[3:],
    ],
)
def test_what_was_never_given_out_is_malformed(text: str):
    with pytest.raises(TokenError) as caught:
        Callbacks(BASE, [KEY]).verify(text, NOW)
    assert isinstance(caught.value, MalformedToken | ForgedToken)
    assert len(str(caught.value)) < 60


def test_a_second_spelling_of_the_same_bytes_is_no_token():
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    good = token()
    assert len(good[3:]) % 4 == 2  # the last character has four unused bits
    last = alphabet.index(good[-1])
    for other in (last + 1, last + 2, last + 3):
        with pytest.raises(MalformedToken):
            Callbacks(BASE, [KEY]).verify(good[:-1] + alphabet[other], NOW)


@pytest.mark.parametrize(
    ("workflow_id", "root", "delivery", "now"),
    [
        ("", ROOT, DELIVERY, NOW),
        (JOURNEY, "run-1", DELIVERY, NOW),
        (JOURNEY, ROOT, "msg_1", NOW),
        (JOURNEY, ROOT, DELIVERY, NOW.replace(tzinfo=None)),
    ],
)
def test_what_is_no_id_gets_no_address(workflow_id: str, root: str, delivery: str, now: datetime):
    with pytest.raises(ValueError):
        Callbacks(BASE, [KEY]).url(workflow_id, root, delivery, now)


@pytest.mark.parametrize("keys", [[], [b"x" * 31], [KEY, b""]])
def test_a_key_has_32_bytes_or_more(keys: list[bytes]):
    with pytest.raises(ValueError, match="at least 32 bytes"):
        Callbacks(BASE, keys)


class TestConfigured:
    TEXT, PREVIOUS = base64.b64encode(KEY).decode(), base64.b64encode(OTHER).decode()

    @pytest.fixture(autouse=True)
    def nothing_set(self, monkeypatch: pytest.MonkeyPatch):
        for name in Settings.model_fields:
            monkeypatch.delenv(f"SCENARIO_{name.upper()}", raising=False)

    def test_nothing_is_nothing(self):
        assert Callbacks.configured(Settings()) is None

    def test_address_and_keys_come_from_the_settings(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("SCENARIO_CALLBACK_URL", BASE + "/")
        monkeypatch.setenv("SCENARIO_CALLBACK_KEY", self.TEXT)
        monkeypatch.setenv("SCENARIO_CALLBACK_KEY_PREVIOUS", self.PREVIOUS)
        callbacks = present(Callbacks.configured(Settings()))
        assert callbacks.url(JOURNEY, ROOT, DELIVERY, NOW) == Callbacks(BASE, [KEY]).url(JOURNEY, ROOT, DELIVERY, NOW)
        assert callbacks.verify(token(OTHER), NOW) == CLAIM

    @pytest.mark.parametrize(
        ("name", "value", "missing"),
        [("CALLBACK_URL", BASE, "CALLBACK_KEY"), ("CALLBACK_KEY", TEXT, "CALLBACK_URL")],
    )
    def test_one_without_the_other_is_refused(
        self, name: str, value: str, missing: str, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setenv(f"SCENARIO_{name}", value)
        with pytest.raises(SettingsError, match=rf"^SCENARIO_{missing} is missing"):
            Callbacks.configured(Settings())
