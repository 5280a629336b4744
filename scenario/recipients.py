"""Senders and recipients: e-mail addresses, fit for headers and SMTP, and telephone numbers.

The libraries that read addresses and numbers take their time to load, so they are loaded on first use.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from scenario.errors import BadRecipient

_NAMED: Final = re.compile(r'(?:"(?P<quoted>(?:[^"\\]|\\.)*)"\s*|(?P<name>(?!")[^<>]*))<(?P<address>[^<>\s]+)>')
_LONGEST: Final = 254
"""Maximum characters of an address: a path has 256 with its brackets (RFC 5321 §4.5.3.1.3)."""
_LONGEST_SENDER: Final = 1000
"""Maximum characters of an address with its name."""
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]")
_MALFORMED: Final = "the e-mail address is malformed"


class BadAddress(BadRecipient):
    """A malformed e-mail address. The message does not quote it."""

    word = "bad_address"


@dataclass(frozen=True)
class Mailbox:
    """An e-mail address with an optional name."""

    address: str
    """The address, with its domain in ASCII (IDNA)."""
    name: str = ""

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]


def parse_address(text: str) -> Mailbox:
    """Read a contact's address without blanks around it (RFC 5321 §4.1.2, RFC 6531), or raise BadAddress."""
    from email_validator import EmailNotValidError, validate_email

    text = text.strip()
    # Checked before the library, which takes quadratic time for many combining marks.
    if len(text) > _LONGEST:
        raise BadAddress(_MALFORMED)
    try:
        valid = validate_email(text, check_deliverability=False)
    except EmailNotValidError:
        raise BadAddress(_MALFORMED) from None
    # With an ASCII form, any server takes it; without, the local part needs SMTPUTF8.
    return Mailbox(valid.ascii_email or f"{valid.local_part}@{valid.ascii_domain}")


def parse_sender(text: str) -> Mailbox:
    """Read a sender, ``Name <address>`` (RFC 5322 §3.2.4) or an address.

    Raise BadAddress if it is malformed, or its address is not ASCII, which too many servers reject.
    """
    text = text.strip().encode("utf-8", "replace").decode("utf-8")  # a header cannot hold half surrogate pairs
    if len(text) > _LONGEST_SENDER:
        raise BadAddress(f"the sender has more than {_LONGEST_SENDER:,} characters")
    if _CONTROL.search(text):
        raise BadAddress("the sender holds control characters")
    named = _NAMED.fullmatch(text)
    if named is None and "<" in text:
        if '"' not in text:
            raise BadAddress("there is more in it than one name and one address")
        raise BadAddress(r'a name in quotes ends with a quote, and has \ before each quote in it: "The \"Shop\"" <…>')
    mailbox = parse_address(named["address"] if named else text)
    if not mailbox.address.isascii():
        raise BadAddress("the sender's address must be in ASCII")
    if named is None:
        return mailbox
    quoted: str | None = named["quoted"]
    name = str(named["name"]) if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
    return Mailbox(mailbox.address, name.strip())


class BadNumber(BadRecipient):
    """A malformed telephone number. The message does not quote it."""

    word = "bad_number"


def international(text: str) -> str:
    """Return a contact's number in E.164, from a number with ``+`` or ``00`` and its country's code.

    A number without a country's code is rejected, because a guess could reach a stranger. Raise BadNumber if it is
    malformed, or too short or long for its country.
    """
    from phonenumbers import NumberParseException, PhoneNumberFormat, format_number, is_possible_number, parse

    written = text.strip()
    if written.startswith("00"):
        written = f"+{written[2:]}"
    try:
        # Only the length is judged: countries open ranges faster than a list in this program is brought up to date.
        number = parse(written, None)
    except NumberParseException:
        raise BadNumber("the contact's number is not international") from None
    if number.extension or not is_possible_number(number):
        raise BadNumber("the contact's number is malformed")
    return format_number(number, PhoneNumberFormat.E164)
