"""Removes secrets, addresses, phone numbers and control characters from what a receiver sent.

Receivers repeat what they were sent, and excerpts of their responses are shown in Temporal's UI, in logs and on
terminals. A text is searched as it is and with its JSON, URL and HTML escapes resolved. Secrets are also searched as
Base64 and hex. An excerpt shows no long run of Base64 or hex at all.
"""

from __future__ import annotations

import html
import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final
from urllib.parse import quote, quote_plus

from activities.escapes import NestedTooDeeply, Span, View, views_of, without

MASK: Final = "[…]"
SHORT: Final = 8
"""A secret with fewer characters may be part of a word by chance: it is masked only if it is a word."""

_LIMIT: Final = 2048
_SLACK: Final = 2048
"""Characters after an excerpt that are searched, too, so that a secret across its end is found."""
_SHORTEST_SAVED: Final = 4
"""Shorter secrets are not masked in a saved response: conditions read values such as ``1`` and ``fr``."""
_PREFIX: Final = 6
"""Characters of a secret's beginning that are masked at the end of a text."""
_CREDENTIAL: Final = 8
"""Characters of a word in a header that may be a credential. Schemes such as ``Bearer`` are shorter."""
_SEPARATOR: Final = "\ud800"
"""Between texts that are searched together. UTF-8 cannot encode it, so no text contains it."""


_TORN: Final = re.compile(
    r"(?:\\[ux]?[0-9a-f]{0,3}|%[0-9a-f]{0,2}|&[#\w]{0,8}|[\ufffd\x80-\xff])+\Z", re.ASCII | re.IGNORECASE
)
"""An escape or a character that was cut off."""
_TAIL: Final = 24
_RUN: Final = re.compile(r"(?:[A-Za-z0-9+/_-]{60,}\r?\n)*[A-Za-z0-9+/_-]{12,}={0,2}")
_FOLD: Final = re.compile(r"(?<=[A-Za-z0-9+/_-]{60})\r?\n(?=[A-Za-z0-9+/_-])")
"""A line break within Base64 or hex."""
_LONG: Final = 16
_PATH: Final = re.compile(r"(?:[a-z]{0,15}/|v[0-9]{1,2}/)*")
"""Segments of a URL's path before a run of Base64, which has slashes, too."""
_UUID: Final = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_HEX: Final = re.compile(r"(?=[a-f]*[0-9])[0-9a-f]{17,}", re.IGNORECASE)
_MIXED: Final = re.compile(r"(?=[a-z0-9+]*[A-Z])(?=[A-Z0-9+]*[a-z])(?=[A-Za-z+]*[0-9])[A-Za-z0-9+]{6,}")
"""Upper case, lower case and digits in one word."""
_BASE64_TEXT: Final = re.compile(r"[I-Za-f][C-HS-Xi-ny-z0-3][ABEFIJMNQRUVYZcdghklopstwx014589][A-Za-z0-9+/_-]" * 3)
"""Base64 of nine characters of ASCII. Written out, since a search for a repetition takes three times as long."""

# The local part of an address is searched backwards from its @.
_LOCAL: Final = re.compile(r"[\w.!#$'*+^~-]{1,64}")
_DOMAIN: Final = re.compile(r"[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
# Nine to fifteen digits (E.164), seven after a plus; not inside a word or a UUID, no ISO date. Separators are those of
# people, of forms (+ for a space) and of typographers (no-break spaces and hyphens).
_GAP: Final = r"[\s().\-/+\u00a0\u00b7\u00ad\u2000-\u200b\u2010-\u2015\u202f\u2060\u2212\ufeff]{0,2}"
_DIGIT: Final = rf"(?:[0-9]{_GAP})"
_AFTER_PLUS: Final = rf"(?<=[+]){_GAP}{_DIGIT}{{6,14}}"
_AFTER_DIGIT: Final = rf"(?<=[0-9]){_GAP}{_DIGIT}{{7,13}}"
# It begins with a set of characters, so that a search skips all others fast.
_PHONE: Final = re.compile(
    rf"[+(0-9](?<![\w.-].)(?!(?<=[12])[0-9]{{3}}-[0-9]{{2}}-[0-9]{{2}})"
    rf"(?:{_AFTER_PLUS}|{_AFTER_DIGIT}|(?<=[(]){_DIGIT}{{8,14}})[0-9](?![\w-])",
    re.ASCII,
)
# Tokens that let their holder act: see `runtime.callback` and `runtime.unsubscribing`.
_CALLBACK: Final = re.compile(r"(?<![\w-])c1\.[A-Za-z0-9_-]{72,1024}", re.ASCII)
_UNSUBSCRIBE: Final = re.compile(r"(?<![\w-])u1[A-Za-z0-9_-]{32,8192}", re.ASCII)
# C0 except tab and line feed, DEL, C1, and what reorders text on a screen: terminals obey them.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")

_SIGNING_PREFIXES: Final = ("whsec_", "whsk_")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{8,}={0,2}")
_ALPHABETS: Final = str.maketrans("+/", "-_"), str.maketrans("-_", "+/")


@dataclass(frozen=True, slots=True)
class KnownSecrets:
    """Secrets in the spellings that are searched for; see `known`.

    Attributes:
        long: Secrets of `SHORT` characters and more.
        short: Shorter secrets.
        encoded: The long ones as Base64 and hex.
    """

    long: tuple[str, ...] = field(default=(), repr=False)
    short: tuple[str, ...] = field(default=(), repr=False)
    encoded: tuple[str, ...] = field(default=(), repr=False)

    @property
    def without_short(self) -> KnownSecrets:
        """All but the short ones."""
        return KnownSecrets(self.long, encoded=self.encoded)


@lru_cache(maxsize=256)
def known(values: tuple[str, ...]) -> KnownSecrets:
    """Prepare secrets for searching. A signing key is also known without its prefix."""
    return _known(values)


def _known(values: Iterable[str]) -> KnownSecrets:
    plain: set[str] = set()
    encoded: set[str] = set()
    for value in values:
        plain |= _plain_forms(value)
        encoded |= _encoded_forms(value)
    short_ones = {form for form in plain if len(form) < SHORT}
    return KnownSecrets(tuple(plain - short_ones), tuple(short_ones), tuple(encoded))


def _stripped(value: str) -> set[str]:
    return {value, *(value.removeprefix(prefix) for prefix in _SIGNING_PREFIXES)}


@lru_cache(maxsize=1024)
def _plain_forms(value: str) -> frozenset[str]:
    bare = {one.rstrip("=") for one in _stripped(value) if _BASE64.fullmatch(one)}
    forms = {*_stripped(value), *bare, *(one.translate(alphabet) for one in bare for alphabet in _ALPHABETS)}
    views: set[str] = set()
    for form in forms:  # a secret that looks like an escape is resolved wherever the text around it is
        with suppress(NestedTooDeeply):
            views.update(_folded(view.text) for view in views_of(form))
    return frozenset(form for form in views if form.strip() and _SEPARATOR not in form)


@lru_cache(maxsize=1024)
def _encoded_forms(value: str) -> frozenset[str]:
    forms: set[str] = set()
    for one in (escaped for stripped in _stripped(value) for escaped in _escaped_forms(stripped)):
        data = one.encode(errors="replace")
        if len(data) < SHORT:
            continue
        forms.add(data.hex())
        for shift in range(3):  # Base64 differs with the number of bytes before the secret
            begin, end = -(-shift * 8 // 6), (shift + len(data)) * 8 // 6
            for encode in (b64encode, urlsafe_b64encode):
                forms.add(_folded(encode(bytes(shift) + data).decode()[begin:end]))
    return frozenset(forms)


def _escaped_forms(value: str) -> set[str]:
    """Return the spellings of a value in JSON, forms, URLs and HTML, of which a whole body may be encoded."""
    written = json.dumps(value, ensure_ascii=False)[1:-1]
    ascii_only = json.dumps(value)[1:-1]
    urls = {quote(value, safe="", errors="replace"), quote_plus(value, errors="replace")}
    return {value, written, ascii_only, ascii_only.replace("/", "\\/"), *urls, html.escape(value)}


def _folded(text: str) -> str:
    """Return a text of the same length without differences of case and of spaces."""
    if not text.isascii():
        text = text.replace("\u00a0", " ").replace("\u0130", "i")  # the one letter that gets longer in lower case
    return text.lower().replace("+", " ")


def short(secrets: Mapping[str, str]) -> list[str]:
    """Return the names of the secrets with fewer than `SHORT` characters, sorted."""
    return sorted(name for name, value in secrets.items() if 0 < len(value) < SHORT)


def credentials(templates: Mapping[str, str], headers: Mapping[str, str]) -> Iterator[str]:
    """Yield what headers contain of secrets as it was sent, such as ``Basic {{ … | base64_encode }}``.

    Args:
        templates: The headers that scenario and destination set.
        headers: The same headers, rendered.
    """
    for name, template in templates.items():
        if "secrets" in template or name.lower() == "authorization":
            value = headers.get(name, "")
            yield value
            written = template.split() if "{" in template else ()  # the author's own words are not secret
            yield from (word for word in value.split() if len(word) >= _CREDENTIAL and word not in written)


def readable(body: bytes, secrets: Iterable[str] = (), *, limit: int = _LIMIT) -> str:
    """Return the beginning of a response's body for people.

    Args:
        body: Raw bytes. Replacement characters stand for what is not UTF-8.
        secrets: The values that the request was made with.
        limit: Characters to keep.
    """
    return excerpt(body, _known(secrets), limit=limit)  # not cached: the contact's address is new each time


def excerpt(body: bytes, hidden: KnownSecrets, *, limit: int = _LIMIT) -> str:
    """Return what `readable` does, for secrets that are prepared already.

    It masks before it cuts, so that no half of a secret is left at the end. All numbers of nine digits and more are
    masked. Nothing is shown of a text whose escapes are nested too deeply.
    """
    with suppress(NestedTooDeeply):
        return _excerpt(body, hidden, limit)
    return MASK


def _excerpt(body: bytes, hidden: KnownSecrets, limit: int) -> str:
    text = body[: 4 * (limit + _SLACK)].decode("utf-8", errors="replace")
    text = _CONTROL.sub("", text[: limit + _SLACK])
    spans: list[Span] = []
    for view in views_of(text):
        folded = _folded(view.text)
        found = [*_secrets_in(folded, hidden, whole=False)]
        if view.resolved or view.text == text:
            found += _addresses(view.text)
            for pattern in (_CALLBACK, _UNSUBSCRIBE, _PHONE):
                found += (match.span() for match in pattern.finditer(view.text))
        if view.resolved:
            found += (*_encoded_runs(view.text), *_cut_off(folded, hidden))
            spans += _encoded_secrets(view, hidden)
        spans += (view.origin(span) for span in found)
    return _masked(text, spans, limit)[:limit]


def masked(texts: Sequence[str], given: KnownSecrets) -> list[str]:
    """Mask texts that a journey keeps, only where they contain a secret as a word or a callback address.

    Args:
        texts: Texts without lone surrogates.
        given: The secrets that the receiver was sent.

    Raises:
        NestedTooDeeply: The texts cannot be searched.
    """
    text = _SEPARATOR.join(texts)
    searched = replace(given, short=tuple(one for one in given.short if len(one) >= _SHORTEST_SAVED))
    spans: list[Span] = []
    for view in views_of(text):
        folded = _folded(view.text)
        spans += (view.origin(span) for span in _secrets_in(folded, searched, whole=True))
        if view.resolved or "\\x" in view.text:  # bytes of PostgreSQL, \x706c…, look like an escape
            spans += _encoded_secrets(view, searched)
        spans += (view.origin(match.span()) for match in _CALLBACK.finditer(view.text))
    return _masked(text, spans, len(text)).split(_SEPARATOR) if spans else list(texts)


def _masked(text: str, spans: list[Span], limit: int) -> str:
    """Return the text up to a limit with a mask for each span that begins before it."""
    parts: list[str] = []
    done = 0
    for start, end in sorted(spans):
        if start >= limit:
            break
        if start >= done:
            parts += (text[done:start], MASK)
        done = max(done, end)
    return "".join([*parts, text[done:limit]])


def _secrets_in(folded: str, hidden: KnownSecrets, *, whole: bool) -> Iterator[Span]:
    """Yield the places of secrets. If `whole`, the long ones must be words, too."""
    for value in hidden.long:
        yield from (span for span in _all(folded, value) if not whole or _is_word(folded, span, ""))
    for value in hidden.short:
        yield from (span for span in _all(folded, value) if _is_word(folded, span, "_-"))


def _encoded_secrets(view: View, hidden: KnownSecrets) -> Iterator[Span]:
    """Yield the places of secrets in Base64 and hex in the original, also across lines."""
    joined = without(view, _FOLD) if "\n" in view.text else view
    folded = _folded(joined.text)
    for value in hidden.encoded:
        for start, end in _all(folded, value):  # Base64 shares a character with what is before and after the secret
            before, after = folded[max(0, start - 1) : start].isalnum(), folded[end : end + 1].isalnum()
            yield joined.origin((start - before, end + after))


def _all(folded: str, value: str) -> Iterator[Span]:
    start = folded.find(value)
    while start >= 0:
        yield start, start + len(value)
        start = folded.find(value, start + 1)


def _is_word(text: str, span: Span, glue: str) -> bool:
    around = text[max(0, span[0] - 1) : span[0]], text[span[1] : span[1] + 1]
    return not any(character and (character.isalnum() or character in glue) for character in around)


def _cut_off(folded: str, hidden: KnownSecrets) -> Iterator[Span]:
    """Yield where a secret begins that is cut off at the end of a text, perhaps within an escape."""
    torn = _TORN.search(folded, max(0, len(folded) - _TAIL))
    ends = {len(folded), len(folded) - 1, torn.start() if torn else len(folded)}
    for value in (*hidden.long, *hidden.encoded):
        if folded.find(value[:_PREFIX], max(0, len(folded) - len(value) - _TAIL)) < 0:
            continue
        for end in ends:
            start = max(0, end - len(value)) - 1
            while (start := folded.find(value[:_PREFIX], start + 1, end)) >= 0:
                if value.startswith(folded[start:end]) and not folded.startswith(value, start):
                    yield start, len(folded)
                    break


def _addresses(text: str) -> Iterator[Span]:
    at = text.find("@")
    while at >= 0:
        local = _LOCAL.match(text[max(0, at - 64) : at][::-1])
        domain = _DOMAIN.match(text, at + 1)
        if local and domain:
            yield at - local.end(), domain.end()
        at = text.find("@", at + 1)


def _encoded_runs(text: str) -> Iterator[Span]:
    """Yield the runs of letters and digits that are Base64 or hex, not words, a path or a UUID."""
    for found in _RUN.finditer(text):
        run = found[0]
        start = _PATH.match(run).end()  # type: ignore[union-attr] it matches nothing, too
        run = run[start:]
        if _UUID.fullmatch(run):
            continue
        is_long = len(run) > _LONG and bool(run.endswith("=") or _HEX.search(run) or _MIXED.search(run))
        if is_long or _BASE64_TEXT.search(run):
            yield found.start() + start, found.end()
