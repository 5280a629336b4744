"""The alphabet and the number of parts of text messages."""

import pytest

from scenario.sms_parts import find_typographic, measure_sms


@pytest.mark.parametrize(
    ("text", "alphabet", "parts"),
    [
        ("", "GSM-7", 1),
        ("a" * 160, "GSM-7", 1),
        ("a" * 161, "GSM-7", 2),
        ("a" * 306, "GSM-7", 2),
        ("a" * 307, "GSM-7", 3),
        ("@£$¥èéùìòÇ\nØøÅåΔ_ΦÆæßÉ¤ÄÖÑÜ§¿äöñüà¡", "GSM-7", 1),
        ("€" * 80, "GSM-7", 1),
        ("€" * 80 + "a", "GSM-7", 2),
        ("€" * 152, "GSM-7", 2),  # 304 places would fit 306, but a part holds 76 of them
        ("€" * 153, "GSM-7", 3),
        ("ê" * 70, "UCS-2", 1),
        ("ê" * 71, "UCS-2", 2),
        ("ê" * 134, "UCS-2", 2),
        ("ê" * 135, "UCS-2", 3),
        ("a" * 69 + "’", "UCS-2", 1),
        ("🎉" * 35, "UCS-2", 1),
        ("🎉" * 36, "UCS-2", 2),
        ("🎉" * 66, "UCS-2", 2),
        ("🎉" * 67, "UCS-2", 3),
        ("[" * 70 + "ê", "UCS-2", 2),
    ],
)
def test_a_text_has_an_alphabet_and_parts(text: str, alphabet: str, parts: int):
    found = measure_sms(text)
    assert (found.characters, found.alphabet, found.parts) == (len(text), alphabet, parts)


def test_a_length_is_a_line():
    assert str(measure_sms("a")) == "1 characters, GSM-7, 1 part"
    assert str(measure_sms("Hello Zoë 🎉," + "a" * 1_000)) == "1,012 characters, UCS-2, 16 parts"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("plain é", None),
        ("it’s", (2, "’", "'")),
        ("“a” …", (0, "“", '"')),
        ("a\u00a0b", (1, "\u00a0", " ")),
        ("it’s a fête", None),  # it would be UCS-2 without ’
        ("it’s 🎉", None),
    ],
)
def test_a_typographic_character_is_found_if_it_alone_costs_parts(text: str, found: object):
    assert find_typographic(text) == found
