"""Telephone numbers in E.164 (ITU-T): a plus and at most fifteen digits."""

from __future__ import annotations

from phonenumbers import NumberParseException, PhoneNumberFormat, format_number, is_possible_number, parse

from scenario.errors import BadRecipient


class BadNumber(BadRecipient):
    """A malformed telephone number. The message does not quote it."""

    word = "bad_number"


def international(text: str) -> str:
    """Return a contact's number in E.164, from a number with ``+`` or ``00`` and its country's code.

    A number without a country's code is rejected, because a guess could reach a stranger.

    Raises:
        BadNumber: It is malformed, or too short or long for its country.
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
