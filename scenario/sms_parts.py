"""The alphabet and parts of an SMS, by which providers charge (3GPP TS 23.038 §6.2.1, TS 23.040 §9.2.3.24.1)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

Alphabet = Literal["GSM-7", "UCS-2"]

_BASIC: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED: Final = frozenset("\f^{}\\[~]|€")
"""Characters of GSM-7 that count twice."""
_GSM: Final = _BASIC | _EXTENDED
_SINGLE: Final[dict[Alphabet, int]] = {"GSM-7": 160, "UCS-2": 70}
_JOINED: Final[dict[Alphabet, int]] = {"GSM-7": 153, "UCS-2": 67}
"""Characters of each part if there are several, since a header takes the rest."""

_PLAIN: Final = {
    **dict.fromkeys("‘’‚‛′`´", "'"),
    **dict.fromkeys("“”„‟«»″", '"'),
    **dict.fromkeys("‐‑‒–—―−", "-"),
    **dict.fromkeys("\u00a0\u2002\u2003\u2009\u200a\u202f", " "),
    "…": "...",
    "•": "-",
}


@dataclass(frozen=True)
class SmsLength:
    """The length of a text message."""

    characters: int
    alphabet: Alphabet
    parts: int

    def __str__(self) -> str:
        parts = "1 part" if self.parts == 1 else f"{self.parts} parts"
        return f"{self.characters:,} characters, {self.alphabet}, {parts}"


def measure_sms(text: str) -> SmsLength:
    """Return the length of an SMS that a provider sends unchanged.

    A part does not end within a character, so one that counts twice may leave a place unused.
    """
    alphabet: Alphabet = "GSM-7" if _GSM.issuperset(text) else "UCS-2"
    is_double = _EXTENDED.__contains__ if alphabet == "GSM-7" else "\uffff".__lt__
    weights = [2 if is_double(character) else 1 for character in text]
    parts = 1 if sum(weights) <= _SINGLE[alphabet] else _count_parts(weights, _JOINED[alphabet])
    return SmsLength(len(text), alphabet, parts)


def _count_parts(weights: Iterable[int], most: int) -> int:
    parts, used = 1, 0
    for weight in weights:
        used += weight
        if used > most:
            parts, used = parts + 1, weight
    return parts


def find_typographic(text: str) -> tuple[int, str, str] | None:
    """Return the first typographic character that alone makes a text UCS-2: its index, itself and a plain one.

    Return None if there is none, or if the text would be UCS-2 without it.
    """
    foreign = [(index, character) for index, character in enumerate(text) if character not in _GSM]
    if not foreign or any(character not in _PLAIN for _, character in foreign):
        return None
    index, character = foreign[0]
    return index, character, _PLAIN[character]
