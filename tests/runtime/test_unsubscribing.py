"""A contact's address for unsubscribing says nothing to those who see it, and works for good."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from runtime.public_links import Subscriber, Unsubscribing
from runtime.settings import Settings
from tests.factories import present

KEY, OLD = bytes(range(32)), bytes(range(1, 33))
BASE = "https://hooks.example.com/scenario"
ADA = Subscriber("email", "newsletter", "3028687", "ada@example.com")
NUMBER = Subscriber("sms", "sms", "3028687", "+33612345678")


def token(subscriber: Subscriber = ADA, *keys: bytes) -> str:
    return Unsubscribing(BASE, keys or [KEY]).url(subscriber).rpartition("/")[2]


def test_an_address_is_the_same_for_every_attempt_and_short_enough_for_a_text_message() -> None:
    # Another value here would break the links of all mails that were ever sent.
    assert (
        Unsubscribing(BASE + "/", [KEY]).url(NUMBER)
        == "https://hooks.example.com/scenario/u/u1Bv2gxms2_EtbB0E0wnB-juay98lWLkmsbPNMAEljCmvdhBuskDr880y-JaLdVBlXZPidk15D"
    )
    assert len(token(NUMBER)) < 100


@given(st.builds(Subscriber, *[st.text(st.characters(codec="utf-8"), max_size=60)] * 4))
def test_any_subscriber_comes_back(subscriber: Subscriber) -> None:
    assert Unsubscribing(BASE, [KEY]).opened(token(subscriber)) == subscriber


def test_nobody_reads_it() -> None:
    raw = base64.urlsafe_b64decode(token()[2:] + "==")
    assert not any(word in raw for word in (b"ada", b"example", b"newsletter", b"3028687"))
    assert "ada@" not in repr(ADA)


def test_keys_that_were_in_use_still_open_and_no_longer_seal() -> None:
    rotated = Unsubscribing(BASE, [OLD, KEY])
    assert rotated.opened(token()) == ADA
    assert rotated.url(ADA).endswith(token(ADA, OLD))
    assert Unsubscribing(BASE, [OLD]).opened(token()) is None


def test_no_character_of_a_token_can_be_changed() -> None:
    good, unsubscribing = token(), Unsubscribing(BASE, [KEY])
    for place, character in enumerate(good):
        other = good[:place] + ("A" if character != "A" else "B") + good[place + 1 :]
        assert unsubscribing.opened(other) is None


@pytest.mark.parametrize(
    "text",
    ["", "u1", "u1" + "A" * 32, "u1" + "A" * 33, "A" * 5000, "é" * 90, token() + "=", token()[:-1], token() + "A"],
)
def test_what_was_never_given_out_opens_nothing(text: str) -> None:
    assert Unsubscribing(BASE, [KEY]).opened(text) is None


def test_it_needs_an_address_and_a_key() -> None:
    key = SecretStr(base64.b64encode(KEY).decode())
    found = present(Unsubscribing.configured(Settings(callback_url=BASE, suppression_key=key)))
    assert found.url(ADA) == Unsubscribing(BASE, [KEY]).url(ADA)
    assert Unsubscribing.configured(Settings(callback_url=BASE, suppression_key=None)) is None
    assert Unsubscribing.configured(Settings(callback_url=None, suppression_key=key)) is None
