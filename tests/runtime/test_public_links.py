"""Keys, and links that give strangers one right each: callbacks, unsubscribing, return paths of e-mails."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from runtime.derived_keys import AddressHashes, ExpiredToken, TokenError, key_names
from runtime.errors import SettingsError
from runtime.process.health import measuring_keys
from runtime.public_links import CallbackClaim, Callbacks, ReturnPaths, Subscriber, Unsubscribing
from runtime.settings import Settings
from runtime.telemetry import metrics
from scenario.errors import BadRecipient
from tests.factories import present
from tests.measured import now

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
KEY_TEXT, OTHER_TEXT = (SecretStr(base64.b64encode(key).decode()) for key in (KEY, OTHER))
BASE = "https://hooks.example.com/scenario"
NOW = datetime.fromisoformat("2026-03-02T09:30:00+01:00")
JOURNEY = "post-purchase/3028687/CGX0094"
ROOT = "0199a1b2-0000-7000-8000-0123456789ab"
DELIVERY = "msg_00112233445566778899aabbccddeeff"
CLAIM = CallbackClaim(JOURNEY, ROOT, DELIVERY, datetime(2026, 4, 1, 8, 30, tzinfo=UTC))


def token(*keys: bytes, workflow_id: str = JOURNEY, root: str = ROOT) -> str:
    return Callbacks(BASE, keys or [KEY]).url(workflow_id, root, DELIVERY, NOW).rpartition("/")[2]


def test_an_address_is_short_safe_in_a_url_and_the_same_for_every_attempt():
    url = Callbacks(BASE + "/", [KEY]).url(JOURNEY, ROOT, DELIVERY, NOW)
    assert url == (
        "https://hooks.example.com/scenario/callbacks/c1.c5hZrOitF-IZnylI5bFamNOukKgdKipoAMzZYP6MGNyRQoHk-1uGtYqrSIC6"
        "zxakJNWswSHfv10SL2LZLJXPYM-jZwJnS6tA0k8npRdfKgMnyQ"
    )


@pytest.mark.parametrize("workflow_id", ["a/b", "é/日本/🎉", "x" * 250])
def test_any_journey_can_be_named(workflow_id: str):
    claim = Callbacks(BASE, [KEY]).verify(token(workflow_id=workflow_id), NOW)
    assert claim == replace(CLAIM, workflow_id=workflow_id)


def test_it_works_for_thirty_days_and_by_a_previous_key():
    callbacks = Callbacks(BASE, [KEY])
    assert callbacks.verify(token(), CLAIM.expires - timedelta(seconds=1)) == CLAIM
    with pytest.raises(ExpiredToken):
        callbacks.verify(token(), CLAIM.expires)
    rotating = Callbacks(BASE, [OTHER, KEY])
    assert rotating.verify(token(KEY), NOW) == CLAIM, "a previous key still opens"
    assert rotating.url(JOURNEY, ROOT, DELIVERY, NOW).endswith(token(OTHER)), "and signs no more"
    with pytest.raises(TokenError, match="was not made with any of the keys"):
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
    assert not isinstance(caught.value, ExpiredToken)
    assert len(str(caught.value)) < 60


def test_a_second_spelling_of_the_same_bytes_is_no_token():
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    good = token()
    assert len(good[3:]) % 4 == 2  # the last character has four unused bits
    last = alphabet.index(good[-1])
    for other in (last + 1, last + 2, last + 3):
        with pytest.raises(TokenError, match="this is not a token"):
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


def test_callbacks_are_configured_by_an_address_and_keys():
    assert Callbacks.configured(Settings()) is None
    settings = Settings(callback_url=BASE + "/", callback_key=KEY_TEXT, callback_key_previous=OTHER_TEXT)
    callbacks = present(Callbacks.configured(settings))
    assert callbacks.url(JOURNEY, ROOT, DELIVERY, NOW) == Callbacks(BASE, [KEY]).url(JOURNEY, ROOT, DELIVERY, NOW)
    assert callbacks.verify(token(OTHER), NOW) == CLAIM
    with pytest.raises(SettingsError, match=r"^SCENARIO_CALLBACK_KEY is missing"):
        Callbacks.configured(Settings(callback_url=BASE))
    with pytest.raises(SettingsError, match=r"^SCENARIO_CALLBACK_URL is missing"):
        Callbacks.configured(Settings(callback_key=KEY_TEXT))


ADA = Subscriber("email", "newsletter", "3028687", "ada@example.com")
NUMBER = Subscriber("sms", "sms", "3028687", "+33612345678")


def end_of(subscriber: Subscriber = ADA) -> str:
    return Unsubscribing(BASE, [KEY]).url(subscriber).rpartition("/")[2]


def test_an_address_is_the_same_for_every_attempt_and_short_enough_for_a_text_message() -> None:
    # Another value here would break the links of all mails that were ever sent.
    assert (
        Unsubscribing(BASE + "/", [KEY]).url(NUMBER)
        == "https://hooks.example.com/scenario/u/u1Bv2gxms2_EtbB0E0wnB-juay98lWLkmsbPNMAEljCmvdhBuskDr880y-JaLdVBlXZPidk15D"
    )
    assert len(end_of(NUMBER)) < 100
    raw = base64.urlsafe_b64decode(end_of()[2:] + "==")
    assert not any(word in raw for word in (b"ada", b"example", b"newsletter", b"3028687")), "nobody reads it"
    assert "ada@" not in repr(ADA)


@settings(max_examples=25)
@given(st.builds(Subscriber, *[st.text(st.characters(codec="utf-8"), max_size=60)] * 4))
def test_any_subscriber_comes_back(subscriber: Subscriber) -> None:
    assert Unsubscribing(BASE, [KEY]).opened(end_of(subscriber)) == subscriber


def test_no_character_of_a_token_can_be_changed() -> None:
    good, unsubscribing = end_of(), Unsubscribing(BASE, [KEY])
    for place, character in enumerate(good):
        other = good[:place] + ("A" if character != "A" else "B") + good[place + 1 :]
        assert unsubscribing.opened(other) is None
    forged = Unsubscribing(BASE, [OTHER]).url(ADA).rpartition("/")[2]
    for text in ("", "u1" + "A" * 33, "A" * 5000, "é" * 90, good[:-1], forged):
        assert unsubscribing.opened(text) is None


def test_unsubscribing_and_return_paths_need_an_address_and_a_key() -> None:
    found = present(Unsubscribing.configured(Settings(callback_url=BASE, suppression_key=KEY_TEXT)))
    assert found.url(ADA) == Unsubscribing(BASE, [KEY]).url(ADA)
    assert Unsubscribing.configured(Settings(callback_url=BASE, suppression_key=None)) is None
    assert Unsubscribing.configured(Settings(callback_url=None, suppression_key=KEY_TEXT)) is None
    assert ReturnPaths.configured(Settings(suppression_key=KEY_TEXT)) is None
    with pytest.raises(SettingsError, match="needs SCENARIO_SUPPRESSION_KEY"):
        ReturnPaths.configured(Settings(bounce_address="bounces@mail.example.com"))


PATHS = ReturnPaths("bounces@mail.example.com", [KEY])
PATH = PATHS.of(DELIVERY, "zoe@example.com")


def read(path: str, paths: ReturnPaths = PATHS) -> str:
    [found] = paths.tokens(path.encode())
    return found


def test_a_return_path_shows_nothing_and_fits_into_an_address():
    local, _, domain = PATH.partition("@")
    assert (len(local), domain) == (50, "mail.example.com")
    assert local.startswith("bounces+")
    assert "zoe" not in PATH
    assert PATHS.of(DELIVERY, "zoe@example.com") == PATH, "the same in every attempt"
    assert len(ReturnPaths(f"{'b' * 21}@a.b", [KEY]).of(DELIVERY, "zoe@example.com").partition("@")[0]) == 64


@pytest.mark.parametrize(
    ("path", "address", "delivery"),
    [
        (PATH, "zoe@example.com", DELIVERY),
        (PATH.upper(), "ZOE@Example.COM", DELIVERY),
        (f"<{PATH}>", "zoe@example.com", DELIVERY),
        (PATH, "eve@example.com", None),
        (PATHS.of(DELIVERY, "eve@example.com"), "zoe@example.com", None),
        (PATH.replace("bounces+a", "bounces+b"), "zoe@example.com", None),
        (ReturnPaths("bounces@mail.example.com", [OTHER]).of(DELIVERY, "zoe@example.com"), "zoe@example.com", None),
    ],
)
def test_a_return_path_proves_that_a_delivery_went_to_an_address(path: str, address: str, delivery: str | None):
    assert PATHS.proven(read(path), address) == delivery
    rotated = ReturnPaths("bounces@mail.example.com", [KEY[::-1], KEY])
    assert rotated.proven(read(path), address) == delivery, "a key that was in use is still known"


@pytest.mark.parametrize(
    "text",
    ["bounces@mail.example.com", PATH.replace("mail.", "post."), PATH.replace("+", "+a"), f"x{PATH}", "bounces+@mail"],
)
def test_other_addresses_are_none(text: str):
    assert list(PATHS.tokens(text.encode())) == []


@pytest.mark.parametrize("address", ["bounces", "a+b@c.d", f"{'b' * 22}@a.b", "é@a.b", "a@b c", "<a@b.c>", ".a@b.c"])
def test_a_bad_address_is_said(address: str):
    with pytest.raises(SettingsError, match="SCENARIO_BOUNCE_ADDRESS must be an address such as"):
        Settings(bounce_address=address)


THREE = [base64.b64encode(bytes([number]) * 32).decode() for number in range(3)]


def test_each_key_has_a_name_that_stays_when_it_becomes_the_previous_one() -> None:
    before = Settings(callback_key=SecretStr(THREE[0]), suppression_key=SecretStr(THREE[0]))
    after = Settings(callback_key=SecretStr(THREE[1]), callback_key_previous=SecretStr(THREE[0]))
    (callback, name), suppression = key_names(before)
    assert (callback, suppression) == ("SCENARIO_CALLBACK_KEY", ("SCENARIO_SUPPRESSION_KEY", name))
    assert len(name) == 8
    assert (callback, name) in key_names(after)
    assert len(set(key_names(after))) == 2
    assert key_names(Settings()) == []


def test_they_are_measured() -> None:
    settings = Settings(
        suppression_key=SecretStr(THREE[0]), suppression_key_previous=SecretStr(f"{THREE[1]},{THREE[2]}")
    )
    with measuring_keys(settings):
        assert {setting for setting, _ in now(metrics.KEY)} == {"SCENARIO_SUPPRESSION_KEY"}
        assert len(now(metrics.KEY)) == 3
    assert now(metrics.KEY) == {}


OLD, OLDER = OTHER, bytes(range(2, 34))
ADDRESS = "ada@example.com"


def base64_of(*keys: bytes) -> str:
    return ",".join(base64.b64encode(key).decode() for key in keys)


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"SCENARIO_{name.upper()}", raising=False)


def test_an_address_has_one_hash_whatever_its_spelling() -> None:
    hashes = AddressHashes([KEY])
    # Another value here would make every suppression on record unfindable.
    assert hashes.of("email", ADDRESS) == ("8bf9098904d3493a8179b5461c06ac4a8a6a838589c9a8c9e3f38e58a7230645",)
    assert hashes.of("email", " ADA@Example.COM ") == hashes.of("email", ADDRESS)
    assert hashes.of("sms", "+33 6 12 34 56 78") == hashes.of("sms", "0033612345678")
    assert hashes.of("email", "ada@example.org") != hashes.of("email", ADDRESS)
    assert AddressHashes([OLD]).of("email", ADDRESS) != hashes.of("email", ADDRESS)
    with pytest.raises(BadRecipient, match=r"^the e-mail address is malformed$"):
        hashes.of("email", "ada")


def test_keys_come_from_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert AddressHashes.configured(Settings()) is None
    monkeypatch.setenv("SCENARIO_SUPPRESSION_KEY_PREVIOUS", base64_of(OLD, OLDER))
    assert AddressHashes.configured(Settings()) is None, "nothing is written under a key that was"
    monkeypatch.setenv("SCENARIO_SUPPRESSION_KEY", base64_of(KEY))
    hashes = present(AddressHashes.configured(Settings()))
    each = [AddressHashes([key]).of("email", ADDRESS) for key in (KEY, OLD, OLDER)]
    assert hashes.of("email", ADDRESS) == sum(each, ()), "keys that were in use still find it"
    assert repr(hashes) == "AddressHashes(3 keys)"
