"""Telephone numbers as providers want them: E.164 (ITU-T), a plus and at most fifteen digits."""

from __future__ import annotations

from phonenumbers import (
    NumberParseException,
    PhoneNumberFormat,
    format_number,
    is_possible_number,
    parse,
)

from scenario.errors import BadRecipient


class BadNumber(BadRecipient):
    """Not an international telephone number. The message does not quote it."""

    word = "bad_number"


def international(text: str) -> str:
    """Reads a contact's number, written with ``+`` or ``00`` and its country's code, in any usual spelling.

    A number without its country's code is refused rather than guessed at: the message would go to a stranger.

    Raises:
        BadNumber: It is none, or of a length that its country does not have.
    """
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
