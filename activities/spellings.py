"""Reads a text through the spellings in which programs write what they were sent: escapes, Base64, hex.

Each reading knows where in the text its characters stand, so that what is found in it can be masked there. A text may
come from anybody: the time is linear in its length, and how often spellings may be within each other has a bound.
"""

from __future__ import annotations

import html
import re
from binascii import a2b_base64, a2b_hex
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from heapq import heappop, heappush
from itertools import accumulate, count
from typing import Final

DEPTH: Final = 3
"""How often Base64 and hex are looked into: Base64 within hex takes two."""
_BREADTH, _LEAST = 24, 32 * 1024
"""So many times its own length, or so many characters, all readings of a text may have together. HTML with addresses
and paths in it has 10 times its length, and 22 times where it is JSON within JSON within JSON."""


class TooManyReadings(ValueError):
    """Spellings are within each other more often than a text may be read for. Nobody knows what it says."""


def _bytes(mark: str) -> str:
    """A pattern of a byte's hex digits, or those of all bytes of a character of UTF-8 with the mark between them."""
    more = rf"{mark}[89ab][0-9a-f]"
    return rf"(?:[cd][0-9a-f]{more}|e[0-9a-f](?:{more}){{2}}|f[0-7](?:{more}){{3}}|[0-9a-f]{{2}})"


# Each begins with a character of its own, by which a search ignores all others fast. Upper case counts, too, as in
# a text that was shouted.
_HEXED: Final = r"\\x"
_ESCAPES: Final = {
    # JSON, JavaScript
    "\\": r"\\(?:ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}|u[0-9a-f]{4}|u\{[0-9a-f]{1,6}\}|[bfnrt]|[^\w\s]"
    rf"|[0-3][0-7]{{2}}|x{_bytes(_HEXED)})",
    # URLs, a character at a time
    "%": rf"%(?:{_bytes('%')}|u[0-9a-f]{{4}})",
    # HTML
    "&": r"&(?:#0{0,99}[0-9]{1,7}|#x0{0,99}[0-9a-f]{1,6}|[a-z][a-z0-9]{1,30});?",
}
_ONE: Final = {mark: re.compile(pattern, re.IGNORECASE) for mark, pattern in _ESCAPES.items()}
_ANY: Final = re.compile("|".join(_ESCAPES.values()), re.IGNORECASE)
_PART: Final = re.compile(r"[\\%&;#\w]", re.ASCII)
_CONTROLS: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_MARKS: Final = str.maketrans("\\%uU{}", "      ")
_HEX: Final = re.compile(r"[0-9a-f]{2}", re.IGNORECASE)
# Base64 as MIME breaks it: the line before is full.
_FOLD: Final = re.compile(r"(?<=[A-Za-z0-9+/]{60})\r?\n(?=[A-Za-z0-9+/])")
# PostgreSQL's spelling of bytes, which begins like an escape.
_BYTEA: Final = re.compile(r"\\[xX](?:[0-9A-Fa-f]{2}){6}")
_LISTED: Final = re.compile(
    r"[0-9](?<![\w.].)(?:[0-9]{0,2}(?:\s?[,;]\s{0,20}[0-9]{1,3}){5,}"
    r"|(?<=0)[xX][0-9A-Fa-f]{1,2}(?:\s?[,;]?\s{0,20}0[xX][0-9A-Fa-f]{1,2}){5,}"
    r"|(?<=[2-7])[0-9A-Fa-f](?:[ :-][0-9A-Fa-f]{2}){5,})(?![\w.])"
)
_QUOTED: Final = re.compile(r"=(?:[0-9A-F]{2}(?:=[0-9A-F]{2})*|\r?\n)")
_UNSEEN: Final = re.compile("[\0\u00ad\u034f\u180e\u200b-\u200f\u2060-\u2064\ufeff]+")
# Readable bytes: ASCII, and UTF-8 but for the few sequences that are not allowed.
_READABLE: Final = re.compile(
    rb"(?:[\t\n\r -~]|[\xc2-\xdf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xf0[\x90-\xbf][\x80-\xbf]{2}){6,}"
)


@dataclass(frozen=True, slots=True)
class Reading:
    """A text, or what it says when it is read through a spelling.

    Attributes:
        text: What it says.
        origin: From two positions in it (where something begins, and where it is over) to those in the text itself.
        inner: Whether it stands in Base64 or hex, where nothing looks like a secret by chance.
        last: Whether there is nothing in it to be unescaped any more.
        fresh: What stands in the place of escapes.
    """

    text: str
    origin: Callable[[int, int], tuple[int, int]]
    inner: bool = False
    last: bool = False
    fresh: str = ""


@dataclass(frozen=True, slots=True)
class _Code:
    """A spelling of bytes.

    Attributes:
        likely: Finds a place that may well be readable text: what is not is ignored, since most texts hold none.
        alphabet: Its characters.
        group: So many characters are a whole number of bytes.
        bits: What one character stands for.
        zero: The character for no bits at all.
        decode: From characters to bytes.
    """

    likely: re.Pattern[str]
    alphabet: frozenset[str]
    group: int
    bits: int
    zero: str
    decode: Callable[[str], bytes]

    def runs(self, text: str) -> Iterator[tuple[int, str]]:
        """Where text may be spelled so, whole runs of the alphabet."""
        end = 0
        while found := self.likely.search(text, end):
            begin = found.start()
            while begin > end and text[begin - 1] in self.alphabet:
                begin -= 1
            end = found.end()
            while end < len(text) and text[end] in self.alphabet:
                end += 1
            yield begin, text[begin:end]


_URLSAFE: Final = str.maketrans("-_", "+/")
_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_HEXADECIMAL: Final = _Code(re.compile("[2-7][0-9A-Fa-f]" * 6), frozenset("0123456789abcdefABCDEF"), 2, 4, "0", a2b_hex)
_APART: Final = "\ud801"
"""Between texts that are decoded together: it stands in none of them."""
_CODES: Final = (
    # Three characters of ASCII that are not control codes, twice: two bits of each byte are known. Written out, since a
    # search for what is said to be repeated takes three times as long.
    _Code(
        re.compile(r"[I-Za-f][C-HS-Xi-ny-z0-3][ABEFIJMNQRUVYZcdghklopstwx014589][A-Za-z0-9+/_-]" * 2),
        frozenset(_LETTERS + "+/-_"), 4, 6, "A", lambda text: a2b_base64(text.translate(_URLSAFE)),
    ),
    _HEXADECIMAL,
)  # fmt: skip


def readings(text: str) -> Iterator[Reading]:
    """The text itself, what it says unescaped again and again, and what is within its Base64 and hex.

    Of spellings within each other any may be the outer one, and what is undone first makes a difference: each is.

    Raises:
        TooManyReadings: What stands in none of the readings so far may stand in it all the same.
    """
    left = max(_BREADTH * len(text), _LEAST)
    # The same text from elsewhere is another reading: whoever spells a secret twice has both places masked.
    seen = {(text, (0, len(text)))}
    number = count()
    # What says more in fewer characters comes first.
    waiting = [(len(text), next(number), Reading(text, lambda start, end: (start, end)), 0)]
    while waiting:
        _, _, reading, depth = heappop(waiting)
        plain = _unescaped(reading)
        yield reading if plain else Reading(reading.text, reading.origin, reading.inner, last=True)
        inner: list[Reading] = []
        if depth < DEPTH and not plain:
            inner = _decoded(reading)
        elif depth < DEPTH and _BYTEA.search(reading.text):
            inner = [*_inside(reading, _HEXADECIMAL)]
        for deeper, made in (*((0, one) for one in plain), *((1, one) for one in inner)):
            key = made.text, made.origin(0, len(made.text)) if made.text else (0, 0)
            if key not in seen:
                seen.add(key)
                left -= len(made.text)
                heappush(waiting, (len(made.text), next(number), made, depth + deeper))
        if left < 0:
            raise TooManyReadings


def _unescaped(reading: Reading) -> list[Reading]:
    """What it says without its escapes: all, where they are beside each other, and those of one writer.

    The latter make a difference only where what was escaped may itself be a part of an escape.
    """
    patterns = [pattern for mark, pattern in _ONE.items() if mark in reading.text]
    every = [_substituted(reading, _ANY, _plain)] if len(patterns) > 1 else []
    if every and not (every[0] and _PART.search(every[0].fresh)):
        patterns = []
    made = (*every, *(_substituted(reading, pattern, _plain) for pattern in patterns))
    return [one for one in made if one]


def _decoded(reading: Reading) -> list[Reading]:
    """What is within a reading in which nothing is escaped. What may be a spelling by chance is looked at both ways."""
    text = reading.text
    joined = (_substituted(reading, _FOLD, lambda _: "") if "\n" in text else None) or reading
    others = (
        _substituted(reading, _LISTED, _listed),
        _substituted(reading, _QUOTED, _quoted) if "=" in text else None,
        _substituted(reading, _UNSEEN, lambda _: "") if "\0" in text or not text.isascii() else None,
    )
    return [*(inner for code in _CODES for inner in _inside(joined, code)), *(other for other in others if other)]


def _listed(found: re.Match[str]) -> str | None:
    """What a list of bytes says, ``[112, 108]``, ``70:6c`` or ``0x70; 0x6c``; None where that is not text."""
    digits = found[0].lower().replace("0x", "")
    base = 10 if len(digits) == len(found[0]) and re.search("[,;]", digits) else 16
    numbers = [int(one, base) for one in re.findall("[0-9a-f]+", digits)]
    data = bytes(number if number < 256 else 0 for number in numbers)
    return data.decode(errors="replace") if _READABLE.search(data) else None


def _quoted(found: re.Match[str]) -> str:
    """What an escape of quoted-printable stands for (RFC 2045 §6.7): characters, or nothing at a line's soft end."""
    return _text(bytes(int(pair, 16) for pair in _HEX.findall(found[0])))


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


@lru_cache(maxsize=1024)
def _entity(escape: str) -> str | None:
    """What an entity of HTML stands for; None where there is none of that name."""
    plain = html.unescape(escape)
    if plain == escape:
        escape = escape.lower()
        plain = html.unescape(escape)
    return None if plain == escape else plain


def _plain(found: re.Match[str]) -> str | None:
    """What an escape stands for; None where it is none."""
    escape = found[0]
    if escape[0] == "&":
        return _entity(escape)
    if escape[1] in "uU":
        units = [int(unit, 16) for unit in escape.translate(_MARKS).split()]
        if len(units) == 2:  # a surrogate pair
            return chr(0x10000 + ((units[0] - 0xD800) << 10) + units[1] - 0xDC00)
        return chr(units[0]) if units[0] <= 0x10FFFF else None
    if escape[0] == "\\" and escape[1].isdecimal():
        return chr(int(escape[1:], 8))
    if escape[0] == "\\" and escape[1] not in "xX":
        return _CONTROLS.get(escape[1].lower(), escape[1])
    return _text(bytes(int(pair, 16) for pair in _HEX.findall(escape)))


def _substituted(
    reading: Reading, pattern: re.Pattern[str], plain: Callable[[re.Match[str]], str | None]
) -> Reading | None:
    """The reading with each place replaced; None where there is none."""
    text = reading.text
    parts: list[str] = []
    # Of each part: where it stands in what is made, where it stood, and where that was over; -1 for what stays.
    at: list[int] = []
    begins: list[int] = []
    ends: list[int] = []
    length = done = 0
    for found in pattern.finditer(text):
        made = plain(found)
        if made is None:
            continue
        begin, end = found.span()
        if begin > done:
            parts.append(text[done:begin])
            at.append(length)
            begins.append(done)
            ends.append(-1)
            length += begin - done
        parts.append(made)
        at.append(length)
        begins.append(begin)
        ends.append(end)
        length += len(made)
        done = end
    if not parts:
        return None
    parts.append(text[done:])
    at.append(length)
    begins.append(done)
    ends.append(-1)

    def origin(start: int, end: int) -> tuple[int, int]:
        first, last = bisect_right(at, start) - 1, bisect_right(at, end - 1) - 1
        begin = begins[first] + (start - at[first] if ends[first] < 0 else 0)
        return reading.origin(begin, begins[last] + end - at[last] if ends[last] < 0 else ends[last])

    fresh = "".join(part for part, end in zip(parts, ends, strict=True) if end >= 0)
    return Reading("".join(parts), origin, reading.inner, fresh=fresh)


def _inside(reading: Reading, code: _Code) -> Iterator[Reading]:
    """What is spelled so in a reading: one for each place in a group at which a spelling may have begun."""
    runs = list(code.runs(reading.text))
    at: list[int] = []
    parts: list[str] = []
    length = 0
    for _, run in runs:
        part = run + code.zero * (code.group + -len(run) % code.group)  # nothing readable reaches into the next run
        parts.append(part)
        at.append(length)
        length += len(part)
    joined = "".join(parts)
    for shift in range(code.group if runs else 0):
        data = code.decode(joined[shift:] + code.zero * shift)
        if pieces := [(found.start(), found[0].decode()) for found in _READABLE.finditer(data)]:
            yield _readable(reading, code, runs, at, shift, pieces)


def _readable(
    outer: Reading, code: _Code, runs: list[tuple[int, str]], at: list[int], shift: int, pieces: list[tuple[int, str]]
) -> Reading:
    """The readable pieces of what was decoded, each with its first byte's place in it, as one reading."""
    starts = list(accumulate((len(piece) + 1 for _, piece in pieces), initial=0))

    def byte(position: int) -> int:
        """The place of a character's first byte."""
        index = bisect_right(starts, position) - 1
        begin, piece = pieces[index]
        return begin + len(piece[: position - starts[index]].encode())

    def place(character: int) -> int:
        """Where a character of what was decoded stands in the outer reading."""
        index = bisect_right(at, character) - 1
        begin, run = runs[index]
        return begin + min(character - at[index], len(run) - 1)

    def origin(start: int, end: int) -> tuple[int, int]:
        first = shift + byte(start) * 8 // code.bits
        last = shift + (byte(end) * 8 - 1) // code.bits
        return outer.origin(place(first), place(last) + 1)

    return Reading(_APART.join(piece for _, piece in pieces), origin, inner=True)
