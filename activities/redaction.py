"""Makes what a receiver sent fit to be kept: no secrets, no addresses, no phone numbers, no control codes.

Receivers echo what they were sent. What is kept of their answers is seen in Temporal's UI, in logs and on terminals.
A text is read through its spellings (`activities.spellings`), and what is found in any of the readings is masked where
it stands in the text: all else stays as it came.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from activities.spellings import Reading, TooManyReadings, readings

MASK: Final = "[…]"
"""What stands in a masked place."""
SHORT: Final = 8
"""A secret of fewer characters may stand in a word by chance: it is masked only where it is a word of its own."""

_LIMIT: Final = 2048
_SLACK: Final = 2048
"""Characters beyond an excerpt that are read, so that what stands across its end is known."""
_TELLING: Final = 4
"""A secret of fewer characters is not masked in a kept response: conditions look at values such as ``1`` and ``fr``."""
_HALF: Final = 6
"""Characters of a secret's beginning that give it away at the end of a text."""
_WORD: Final = 8
"""Characters of a word of a header's value that may be a credential: schemes such as ``Bearer`` are shorter."""
_PREFIXED: Final = ("whsec_", "whsk_")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{8,}={0,2}")
_ALPHABETS: Final = str.maketrans("+/", "-_"), str.maketrans("-_", "+/")
_SEPARATOR: Final = "\ud800"
"""Between texts that are masked together: it stands in none that can be written as UTF-8."""

# The part of an address before its @ is looked for from there on, backwards.
_LOCAL: Final = re.compile(r"[\w.!#$'*+^~-]{1,64}")
_DOMAIN: Final = re.compile(r"[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
# Nine to fifteen digits (E.164), seven where a plus says that it is a number; not inside a word or a UUID, no ISO date.
# Separators are those of people, forms (+ for a blank) and typographers (no-break blanks and hyphens).
_GAP: Final = r"[\s().\-/+\u00a0\u00b7\u00ad\u2000-\u200b\u2010-\u2015\u202f\u2060\u2212\ufeff]{0,2}"
_DIGIT: Final = rf"(?:[0-9]{_GAP})"
_AFTER_PLUS: Final = rf"(?<=[+]){_GAP}{_DIGIT}{{6,14}}"
_AFTER_DIGIT: Final = rf"(?<=[0-9]){_GAP}{_DIGIT}{{7,13}}"
# What follows the first character: patterns begin with a set of characters, so that a search ignores others fast.
_DIGITS: Final = rf"(?:{_AFTER_PLUS}|{_AFTER_DIGIT}|(?<=[(]){_DIGIT}{{8,14}})[0-9]"
_PHONE: Final = re.compile(
    rf"[+(0-9](?<![\w.-].)(?!(?<=[12])[0-9]{{3}}-[0-9]{{2}}-[0-9]{{2}}){_DIGITS}(?![\w-])", re.ASCII
)
_ANY_DIGITS: Final = re.compile(rf"[+(0-9]{_DIGITS}(?![0-9])", re.ASCII)
"""The same where what was decoded has no sure beginning and end."""
# A callback URL lets its holder act (see runtime.callback).
_CALLBACK: Final = re.compile(r"(?<![\w-])c1\.[A-Za-z0-9_-]{72,1024}", re.ASCII)
# An address for unsubscribing, too (see runtime.unsubscribing).
_UNSUBSCRIBE: Final = re.compile(r"(?<![\w-])u1[A-Za-z0-9_-]{32,8192}", re.ASCII)
# C0 but tab and line feed, DEL, C1, and what reorders text on a screen: a terminal obeys them.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
# An escape that was cut off, perhaps in the middle of another one.
_TORN: Final = re.compile(r"(?:\\[ux]?[0-9a-f]{0,3}|%[0-9a-f]?|&[#\w]{0,8})+\Z", re.ASCII | re.IGNORECASE)
_TAIL: Final = 24

_Spans = list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class KnownSecrets:
    """Values to be looked for, in the form in which they are: from `known`.

    Attributes:
        long: Of `SHORT` characters and more.
        short: The others.
    """

    long: tuple[str, ...] = field(default=(), repr=False)
    short: tuple[str, ...] = field(default=(), repr=False)

    @property
    def of_many_letters(self) -> KnownSecrets:
        """Only the long ones."""
        return KnownSecrets(self.long)


@lru_cache(maxsize=256)
def known(values: tuple[str, ...]) -> KnownSecrets:
    """Makes values ready to be looked for, in any spelling; a signing key also without its prefix.

    Args:
        values: Secrets, or what was made of them; mostly the same for all deliveries to one destination.
    """
    return _known(values)


def _known(values: Iterable[str]) -> KnownSecrets:
    forms = {form for value in values for form in _forms(value)}
    return KnownSecrets(
        tuple(form for form in forms if len(form) >= SHORT), tuple(form for form in forms if len(form) < SHORT)
    )


@lru_cache(maxsize=1024)
def _forms(value: str) -> frozenset[str]:
    forms: set[str] = set()
    values = {value, *(value.removeprefix(prefix) for prefix in _PREFIXED)}
    # Base64 is written with either alphabet, and with or without its end.
    bare = {one.rstrip("=") for one in values if _BASE64.fullmatch(one)}
    for one in {*values, *bare, *(one.translate(way) for one in bare for way in _ALPHABETS)}:
        # A value may itself look like an escape, and is unescaped where the text around it is.
        with suppress(TooManyReadings):  # nor is a text then that holds it
            forms.update(_folded(form.text) for form in readings(one) if form.text.strip() and not form.inner)
    return frozenset(form for form in forms if _SEPARATOR not in form)


def _folded(text: str) -> str:
    """A text of the same length in which case makes no difference, nor how a blank is written."""
    if not text.isascii():
        text = text.replace("\u00a0", " ").replace("\u0130", "i")  # the one letter that grows in lower case
    return text.lower().replace("+", " ")


def short(secrets: Mapping[str, str]) -> list[str]:
    """The names of secrets that are too short to be told from other words, sorted."""
    return sorted(name for name, value in secrets.items() if 0 < len(value) < SHORT)


def credentials(templates: Mapping[str, str], headers: Mapping[str, str]) -> Iterator[str]:
    """What headers hold of secrets as they were sent, encoded perhaps: ``Basic {{ … | base64_encode }}``.

    Args:
        templates: Of the headers that scenario and destination set.
        headers: The same, rendered.
    """
    for name, template in templates.items():
        if "secrets" in template or name.lower() == "authorization":
            value = headers.get(name, "")
            yield value
            written = template.split() if "{" in template else ()  # the author's own words are not secret
            yield from (word for word in value.split() if len(word) >= _WORD and word not in written)


def readable(body: bytes, secrets: Iterable[str] = (), *, limit: int = _LIMIT) -> str:
    """The beginning of a response's body, for people.

    Args:
        body: Raw bytes; what is not UTF-8 is shown as replacement characters.
        secrets: The values that the request was made with.
        limit: Characters to keep.
    """
    return excerpt(body, _known(secrets), limit=limit)  # mostly others each time: a contact's address


def excerpt(body: bytes, hidden: KnownSecrets, *, limit: int = _LIMIT) -> str:
    """`readable`, for who has the secrets as `known` already.

    Masking comes before cutting, so that no half of a secret is left at the end. Numbers of nine digits and more are
    masked whatever they mean. Nothing is shown of a text that cannot be read through all its spellings.
    """
    text = body[: 4 * (limit + _SLACK)].decode("utf-8", errors="replace")
    text = _CONTROL.sub("", text[: limit + _SLACK])
    try:
        spans = [span for reading in readings(text) for span in _revealing(reading, text, hidden)]
    except TooManyReadings:
        return MASK
    return _masked(text, spans, limit)[:limit]


def _revealing(reading: Reading, text: str, hidden: KnownSecrets) -> Iterator[tuple[int, int]]:
    """The places of a text that nobody may see, as far as one of its readings tells."""
    folded = _folded(reading.text)
    yield from _within(reading, _places(folded, hidden, whole=False))
    yield from _cut_off(reading, folded, hidden, len(text))
    if reading.last or reading.text is text:
        yield from _within(reading, _callbacks(reading.text))
        yield from _within(reading, (found.span() for found in _UNSUBSCRIBE.finditer(reading.text)))
        yield from _within(reading, _addresses(reading.text))
        numbers = _ANY_DIGITS if reading.inner else _PHONE
        yield from _within(reading, (found.span() for found in numbers.finditer(reading.text)))


def masked(texts: Sequence[str], given: KnownSecrets) -> list[str]:
    """Texts that are kept for what they say: masked is only what lets its holder act, and stands there by no chance.

    That is secrets that are words of their own, and callback addresses.

    Args:
        texts: None with half a character in it.
        given: What the receiver was given, and so may have sent back.

    Raises:
        TooManyReadings: They cannot be read through all their spellings.
    """
    text = _SEPARATOR.join(texts)
    telling = KnownSecrets(given.long, tuple(value for value in given.short if len(value) >= _TELLING))
    spans: _Spans = []
    for reading in readings(text):
        spans += _within(reading, _places(_folded(reading.text), telling, whole=not reading.inner))
        if reading.last:
            spans += _within(reading, _callbacks(reading.text))
    return _masked(text, spans, len(text)).split(_SEPARATOR) if spans else list(texts)


def _within(reading: Reading, places: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    return (reading.origin(start, end) for start, end in places)


def _masked(text: str, spans: _Spans, limit: int) -> str:
    """The text up to a limit, with a mask in place of each span that begins before it."""
    parts: list[str] = []
    done = 0
    for start, end in sorted(spans):
        if start >= limit:
            break
        if start >= done:
            parts += (text[done:start], MASK)
        done = max(done, end)
    return "".join([*parts, text[done:limit]])


def _places(folded: str, hidden: KnownSecrets, *, whole: bool) -> Iterator[tuple[int, int]]:
    """Where secrets stand in a text.

    Args:
        folded: The text.
        hidden: The secrets.
        whole: Whether the long ones, too, have to be words of their own.
    """
    for value in hidden.long:
        yield from (span for span in _all(folded, value) if not whole or _apart(folded, span, ""))
    for value in hidden.short:
        yield from (span for span in _all(folded, value) if _apart(folded, span, "_-"))


def _all(folded: str, value: str) -> Iterator[tuple[int, int]]:
    start = folded.find(value)
    while start >= 0:
        yield start, start + len(value)
        start = folded.find(value, start + 1)


def _apart(text: str, span: tuple[int, int], glue: str) -> bool:
    """Whether what stands there is no part of a word."""
    around = text[max(0, span[0] - 1) : span[0]], text[span[1] : span[1] + 1]
    return not any(character and (character.isalnum() or character in glue) for character in around)


def _cut_off(reading: Reading, folded: str, hidden: KnownSecrets, length: int) -> Iterator[tuple[int, int]]:
    """Where a secret begins that was cut off at the end of a text, by the receiver or by us."""
    if not folded or not hidden.long or reading.origin(len(folded) - 1, len(folded))[1] < length - _TAIL:
        return
    ends = {len(folded), len(folded) - 1}  # the last character may be made of half a byte or half an escape
    ends |= {
        torn.start() - more
        for end in ends
        for more in (0, 1)
        if (torn := _TORN.search(folded, max(0, end - _TAIL), end))
    }
    for value in hidden.long:
        for end in ends:
            start = max(0, end - len(value)) - 1
            while (start := folded.find(value[:_HALF], start + 1, end)) >= 0:
                if value.startswith(folded[start:end]) and not folded.startswith(value, start):
                    yield reading.origin(start, len(folded))[0], length
                    break


def _addresses(text: str) -> Iterator[tuple[int, int]]:
    """Where e-mail addresses stand."""
    at = text.find("@")
    while at >= 0:
        local = _LOCAL.match(text[max(0, at - 64) : at][::-1])
        domain = _DOMAIN.match(text, at + 1)
        if local and domain:
            yield at - local.end(), domain.end()
        at = text.find("@", at + 1)


def _callbacks(text: str) -> Iterator[tuple[int, int]]:
    """Where what looks like the token of a callback address stands."""
    return (found.span() for found in _CALLBACK.finditer(text)) if "c1." in text else iter(())
