"""What a suppression stops, and how two spellings of an address are one."""

from datetime import UTC, datetime, timedelta

import pytest

from scenario.errors import BadRecipient
from scenario.policies.suppression import AddressVerdict, Source, Suppression, against, lasting, stops
from scenario.steps.registry import canonical_address, suppressible_channels, suppression_sources
from scenario.words import Purpose

NOW = datetime(2026, 3, 31, 8, 0, tzinfo=UTC)


def said(source: Source, scope: str = "", days: int = 0) -> Suppression:
    return Suppression("email", "ab" * 32, source, NOW + timedelta(days=days), scope)


@pytest.mark.parametrize("source", ["bounce", "fbl", "stop", "custom", "soft"])
@pytest.mark.parametrize("purpose", ["marketing", "transactional"])
def test_all_but_unsubscribing_stops_everything(source: Source, purpose: Purpose) -> None:
    assert stops([said(source, "another list")], purpose, ["newsletter"]) == said(source, "another list")


@pytest.mark.parametrize(
    ("scope", "purpose", "scopes", "stopped"),
    [
        ("", "marketing", [], True), ("", "marketing", ["newsletter"], True),
        ("newsletter", "marketing", ["newsletter"], True), ("Newsletter", "marketing", ["51", "newsletter"], True),
        ("newsletter", "marketing", ["vip"], False), ("newsletter", "marketing", [], False),
        ("newsletter", "transactional", ["newsletter"], False), ("", "transactional", [], False),
    ],
)  # fmt: skip
def test_unsubscribing_stops_marketing_of_its_scope(scope: str, purpose: Purpose, scopes: list[str], stopped: bool):
    assert (stops([said("unsub", scope)], purpose, scopes) is not None) is stopped


def test_nothing_said_stops_nothing() -> None:
    assert stops([], "marketing", ["newsletter"]) is None


def test_of_several_the_one_that_stops_most_is_named() -> None:
    given = [said("unsub", "vip", -9), said("unsub", "", -8), said("bounce", "", -2), said("custom", "", -1)]
    assert stops(given, "marketing", ["vip"]) == said("bounce", "", -2)
    assert stops(given[:2], "marketing", ["vip"]) == said("unsub", "", -8)


@pytest.mark.parametrize(
    ("suppression", "words"),
    [
        (said("unsub", "newsletter"), "the address has unsubscribed from newsletter (unsub, 2026-03-31)"),
        (said("unsub"), "the address has unsubscribed (unsub, 2026-03-31)"),
        (said("fbl"), "the address has complained of spam (fbl, 2026-03-31)"),
    ],
)
def test_it_says_why_in_words(suppression: Suppression, words: str) -> None:
    assert suppression.words == words


def test_three_are_too_many() -> None:
    assert [lasting(count) for count in range(5)] == [False, False, False, True, True]


def test_channels_with_addresses_have_the_platforms_words() -> None:
    assert suppressible_channels() == ("email", "sms")
    assert suppression_sources("email") == ("custom", "unsub", "soft", "bounce", "fbl")
    assert suppression_sources("sms") == ("custom", "stop", "soft", "bounce", "unsub")
    assert suppression_sources("webhook") == suppression_sources("wait") == suppression_sources("pigeon") == ()


@pytest.mark.parametrize(
    ("channel", "one", "other"),
    [
        ("email", " Ada.Lovelace@Example.COM\n", "ada.lovelace@example.com"),
        ("email", "ada@bücher.example.com", "ADA@xn--bcher-kva.example.com"),
        ("email", "zoe\u0308@example.com", "ZO\u00cb@example.com"), ("sms", "+33 6 12 34 56 78", "0033612345678"),
        ("sms", "+33 (0)6 12.34.56.78", "+33612345678"),
    ],
)  # fmt: skip
def test_spellings_of_one_address_are_one(channel: str, one: str, other: str) -> None:
    assert canonical_address(channel, one) == canonical_address(channel, other)


@pytest.mark.parametrize(
    ("channel", "address"), [("email", "ada"), ("email", ""), ("email", "+33612345678"), ("sms", "0612345678")]
)
def test_what_is_no_address_is_refused_unquoted(channel: str, address: str) -> None:
    with pytest.raises(BadRecipient) as caught:
        canonical_address(channel, address)
    assert not address or address not in str(caught.value)


# ---- what servers' replies say about addresses; their words are those that servers use


@pytest.mark.parametrize(
    ("code", "words", "expected"),
    [
        # It does not exist.
        (550, "5.1.1 <zoe@example.com>: Recipient address rejected: User unknown in local recipient table", "bounce"),
        (550, "5.1.2 <zoe@gmial.example>: Recipient address rejected: Domain not found", "bounce"),
        (501, "5.1.3 Bad recipient address syntax", "bounce"),
        (550, "5.1.6 Mailbox has moved", "bounce"),
        (550, "5.2.1 The email account that you tried to reach is inactive.", "bounce"),
        (556, "5.1.10 recipient domain does not accept mail (null MX)", "bounce"),
        # It has trouble.
        (552, "5.2.2 The email account that you tried to reach is over quota", "soft"),
        (452, "4.2.2 The email account that you tried to reach is over quota", "soft"),
        (450, "4.1.1 <zoe@example.com>: Recipient address rejected: unverified address", "soft"),
        (450, "4.2.1 The user you are trying to contact is receiving mail too quickly", "soft"),
        (550, "5.4.1 Recipient address rejected: Access denied. [AM7EUR03FT046.eop-EUR03.prod]", "soft"),
        (None, "4.4.1 (delivery temporarily suspended: connect to mx.example[192.0.2.1]:25: timed out)", "soft"),
        # It is about us, or about this message.
        (550, "5.7.1 Service unavailable; client [192.0.2.1] blocked using zen.spamhaus.org", None),
        (550, "5.7.26 This mail has been blocked because the sender is unauthenticated.", None),
        (553, "5.1.8 <news@shop.example>: Sender address rejected: Domain not found", None),
        (552, "5.3.4 Message size exceeds fixed limit", None),
        (451, "4.3.0 Temporary system problem. Try again later", None),
        # Servers of old.
        (550, "User unknown", "bounce"),
        (550, "zoe@example.com: user does not exist", "bounce"),
        (550, "mailbox zoe not found", "bounce"),
        (553, "sorry, no mailbox here by that name", "bounce"),
        (550, "Requested action not taken: mailbox unavailable", None),
        (554, "No such user", None),  # which is not what 554 says
        (450, "User unknown", None),
        (550, "Access from 192.5.1.1 denied", None),
        (550, "", None),
        (None, "", None),
    ],
)  # fmt: skip
def test_only_what_is_about_the_address_counts(code: int | None, words: str, expected: str | None) -> None:
    found = against(code, words)
    assert (found and found.source) == expected


@pytest.mark.parametrize(
    ("code", "words", "evidence"),
    [
        (550, "5.1.1 <zoe@example.com>: User unknown", "550 5.1.1"),
        (550, "zoe@example.com: No such user", "550"),
        (None, "4.4.7 <zoe@example.com> expired", "4.4.7"),
    ],
)
def test_its_evidence_is_codes_and_never_the_servers_words(code: int | None, words: str, evidence: str) -> None:
    found = against(code, words)
    assert isinstance(found, AddressVerdict)
    assert found.evidence == evidence
