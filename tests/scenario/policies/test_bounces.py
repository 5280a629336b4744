"""What servers' replies say about addresses; their words are those that servers use."""

import pytest

from scenario.policies.bounces import AddressVerdict, against


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
