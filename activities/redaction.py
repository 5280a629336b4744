"""Masks secrets in saved responses, and in excerpts also addresses, phone numbers and control characters.

Receivers repeat requests, and excerpts of their responses are shown in Temporal's UI, in the list of attempts and on
terminals. A text is searched as written and with its JSON, URL and HTML escapes resolved. Secrets are also searched as
Base64 and hex. An excerpt shows no long run of Base64 or hex at all.
"""

from __future__ import annotations

import html
import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import quote, quote_plus

MASK: Final = "[…]"
SHORT: Final = 8
"""A secret with fewer characters may be part of a word by chance: it is masked only if it is a word."""
_LIMIT: Final = 2048
_SLACK: Final = 2048  # characters after an excerpt that are searched too: a secret may be across its end
_SHORTEST_SAVED: Final = 4  # shorter secrets stay in a saved response: conditions read values such as "1" and "fr"
_CREDENTIAL: Final = 8  # characters of a word in a header that may be one. Schemes such as "Bearer" are shorter
_SEPARATOR: Final = "\ud800"  # between texts that are searched together. UTF-8 cannot encode it

Span = tuple[int, int]

# ---- escapes


def _character(mark: str) -> str:
    """Return a pattern of one character in UTF-8, with each byte as hex after `mark`."""
    more = rf"{mark}[89ab][0-9a-f]"
    return rf"{mark}(?:[cd][0-9a-f]{more}|e[0-9a-f](?:{more}){{2}}|f[0-7](?:{more}){{3}}|[0-9a-f]{{2}})"


_LEVELS: Final = 5  # JSON within a URL within JSON takes three
_HEXED: Final = r"\\x"
_KINDS: Final = (
    rf"\\ud[89ab][0-9a-f]{{2}}\\ud[c-f][0-9a-f]{{2}}|\\u[0-9a-f]{{4}}|\\[\"'\\/bfnrt]|{_character(_HEXED)}",  # JSON
    rf"{_character('%')}|%u[0-9a-f]{{4}}",  # URLs
    r"&(?:#[0-9]{1,60}|#x[0-9a-f]{1,60}|[a-z][a-z0-9]{1,30});?",  # HTML
)
_ESCAPE, *_ESCAPES_BY_KIND = (re.compile(kind, re.IGNORECASE) for kind in ("|".join(_KINDS), *_KINDS))
_PART: Final = re.compile(r"[\\%&;#\w]", re.ASCII)
_CONTROLS: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


class NestedTooDeeply(ValueError):
    """Escapes are within each other more often than a text is searched."""


class _View(NamedTuple):
    """A text with its escapes resolved, and where each of its characters begins and ends in the original.

    Without `begins` and `ends` it is the original. `escaped` are the characters that were escaped.
    """

    text: str
    begins: Sequence[int] = ()
    ends: Sequence[int] = ()
    escaped: str = ""

    def origin(self, span: Span) -> Span:
        return (self.begins[span[0]], self.ends[span[1] - 1]) if self.begins else span


def _views(text: str) -> Iterator[tuple[_View, bool]]:
    """Yield a text as written, and with its escapes resolved repeatedly; and True if no escape is left in it.

    Escapes of one kind may be within those of another, which must be resolved first. So each kind is tried as the
    outermost one, if the escaped characters may be part of another escape. Raise NestedTooDeeply after `_LEVELS` times.
    """
    starts = [whole := _View(text)]
    if (first := _resolve(whole)) is not None and _PART.search(first.escaped):
        outermost = [view for kind in _ESCAPES_BY_KIND if (view := _resolve(whole, kind)) is not None]
        starts = [*outermost, whole] if len(outermost) > 1 else starts
    seen: set[str] = set()
    for start in starts:
        view: _View | None = start
        for _ in range(_LEVELS + 1):
            if view is None or view.text in seen:
                break
            seen.add(view.text)
            deeper = _resolve(view)
            yield view, deeper is None
            view = deeper
        else:
            if view is not None:
                raise NestedTooDeeply


@lru_cache(maxsize=1024)
def _resolved(escape: str) -> str:
    kind = escape[:2].lower()
    if kind[0] == "&":
        plain = html.unescape(escape)
        return html.unescape(escape.lower()) if plain == escape else plain
    if kind in ("\\u", "%u"):
        return bytes.fromhex(re.sub(r"[\\%][uU]", "", escape)).decode("utf-16-be", errors="replace")
    if kind[0] == "\\" and kind != "\\x":
        return _CONTROLS.get(escape[1].lower(), escape[1])
    try:
        return bytes.fromhex(re.sub(r"\\[xX]|%", "", escape)).decode()
    except UnicodeDecodeError:
        return escape  # the other bytes of the character may be escaped twice


def _resolve(view: _View, kind: re.Pattern[str] = _ESCAPE, resolved: Callable[[str], str] = _resolved) -> _View | None:
    """Return the view with its escapes resolved once, or None if it has none."""
    parts: list[str] = []
    begins: list[int] = []
    ends: list[int] = []
    done = 0
    old_begins, old_ends = view.begins or range(len(view.text)), view.ends or range(1, len(view.text) + 1)
    for found in kind.finditer(view.text):
        plain = resolved(found[0])
        if plain == found[0]:
            continue
        begin, end = found.span()
        parts += (view.text[done:begin], plain)
        begins += old_begins[done:begin]
        begins += [old_begins[begin]] * len(plain)
        ends += old_ends[done:begin]
        ends += [old_ends[end - 1]] * len(plain)
        done = end
    if not parts:
        return None
    begins += old_begins[done:]
    ends += old_ends[done:]
    return _View("".join([*parts, view.text[done:]]), begins, ends, "".join(parts[1::2]))


# ---- secrets

_SIGNING_PREFIXES: Final = ("whsec_", "whsk_")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{8,}={0,2}")
_ALPHABETS: Final = str.maketrans("+/", "-_"), str.maketrans("-_", "+/")


@dataclass(frozen=True, slots=True)
class KnownSecrets:
    """Secrets in the spellings that are searched for; `encoded` are the long ones as Base64 and hex."""

    long: tuple[str, ...] = field(default=(), repr=False)
    short: tuple[str, ...] = field(default=(), repr=False)
    encoded: tuple[str, ...] = field(default=(), repr=False)


@lru_cache(maxsize=256)
def known(values: tuple[str, ...]) -> KnownSecrets:
    """Prepare secrets for searching. A signing key is also known without its prefix."""
    plain = frozenset[str]().union(*map(_plain_forms, values))
    encoded = frozenset[str]().union(*map(_encoded_forms, values))
    long = {form for form in plain if len(form) >= SHORT}
    return KnownSecrets(tuple(long), tuple(plain - long), tuple(encoded))


def _stripped(value: str) -> set[str]:
    return {value, *(value.removeprefix(prefix) for prefix in _SIGNING_PREFIXES)}


@lru_cache(maxsize=1024)
def _plain_forms(value: str) -> frozenset[str]:
    bare = {one.rstrip("=") for one in _stripped(value) if _BASE64.fullmatch(one)}
    forms = {*_stripped(value), *bare, *(one.translate(alphabet) for one in bare for alphabet in _ALPHABETS)}
    views: set[str] = set()
    for form in forms:  # a secret that looks like an escape is resolved wherever the text around it is
        with suppress(NestedTooDeeply):
            views.update(_folded(view.text) for view, _ in _views(form))
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
    """Return the escaped spellings that `_encoded_forms` encodes. Escapes in plain text are resolved by `_KINDS`."""
    ascii_only = json.dumps(value)[1:-1]
    urls = {quote(value, safe="", errors="replace"), quote_plus(value, errors="replace")}
    texts = {json.dumps(value, ensure_ascii=False)[1:-1], ascii_only, ascii_only.replace("/", "\\/")}
    return {value, html.escape(value)} | texts | urls


def _folded(text: str) -> str:
    """Return a text of the same length without differences of case and of spaces."""
    if not text.isascii():
        text = text.replace("\u00a0", " ").replace("\u0130", "i")  # the one letter that gets longer in lower case
    return text.lower().replace("+", " ")


def short(secrets: Mapping[str, str]) -> list[str]:
    """Return the names of the secrets with fewer than `SHORT` characters, sorted."""
    return sorted(name for name, value in secrets.items() if 0 < len(value) < SHORT)


def credentials(templates: Mapping[str, str], headers: Mapping[str, str]) -> Iterator[str]:
    """Yield what rendered headers contain of secrets, as it was sent, such as ``Basic {{ … | base64_encode }}``."""
    for name, template in templates.items():
        if "secrets" in template or name.lower() == "authorization":
            value = headers.get(name, "")
            yield value
            written = template.split() if "{" in template else ()  # the author's own words are not secret
            yield from (word for word in value.split() if len(word) >= _CREDENTIAL and word not in written)


# ---- searching

_PREFIX: Final = 6  # characters of a secret's beginning that are masked at the end of a text
# An escape or a character that was cut off.
_TORN: Final = re.compile(
    r"(?:\\[ux]?[0-9a-f]{0,3}|%[0-9a-f]{0,2}|&[#\w]{0,8}|[\ufffd\x80-\xff])+\Z", re.ASCII | re.IGNORECASE
)
_TAIL: Final = 24
_RUN: Final = re.compile(r"(?:[A-Za-z0-9+/_-]{60,}\r?\n)*[A-Za-z0-9+/_-]{12,}={0,2}")
_FOLD: Final = re.compile(r"(?<=[A-Za-z0-9+/_-]{60})\r?\n(?=[A-Za-z0-9+/_-])")  # a line break within it
_LONG: Final = 16
_PATH: Final = re.compile(r"(?:[a-z]{0,15}/|v[0-9]{1,2}/)*")  # of a URL, before a run: Base64 has slashes, too
_UUID: Final = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_HEX: Final = re.compile(r"(?=[a-f]*[0-9])[0-9a-f]{17,}", re.IGNORECASE)
_MIXED: Final = re.compile(r"(?=[a-z0-9+]*[A-Z])(?=[A-Z0-9+]*[a-z])(?=[A-Za-z+]*[0-9])[A-Za-z0-9+]{6,}")
# Base64 of nine characters of ASCII. Written out, since a search for a repetition takes three times as long.
_BASE64_TEXT: Final = re.compile(r"[I-Za-f][C-HS-Xi-ny-z0-3][ABEFIJMNQRUVYZcdghklopstwx014589][A-Za-z0-9+/_-]" * 3)
# The local part of an address is searched backwards from its @.
_LOCAL: Final = re.compile(r"[\w.!#$'*+^~-]{1,64}")
_DOMAIN: Final = re.compile(r"[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
# Nine to fifteen digits (E.164), seven after a plus; not inside a word or a UUID, no ISO date. Separators are those of
# people, of forms (+ for a space) and of typographers (no-break spaces and hyphens).
_GAP: Final = r"[\s().\-/+\u00a0\u00b7\u00ad\u2000-\u200b\u2010-\u2015\u202f\u2060\u2212\ufeff]{0,2}"
_DIGIT: Final = rf"(?:[0-9]{_GAP})"
# It begins with a set of characters, so that a search skips all others fast.
_PHONE: Final = re.compile(
    rf"[+(0-9](?<![\w.-].)(?!(?<=[12])[0-9]{{3}}-[0-9]{{2}}-[0-9]{{2}})"
    rf"(?:(?<=[+]){_GAP}{_DIGIT}{{6,14}}|(?<=[0-9]){_GAP}{_DIGIT}{{7,13}}|(?<=[(]){_DIGIT}{{8,14}})[0-9](?![\w-])",
    re.ASCII,
)
# Tokens that let their holder act: see `runtime.public_links`.
_CALLBACK: Final = re.compile(r"(?<![\w-])c1\.[A-Za-z0-9_-]{72,1024}", re.ASCII)
_UNSUBSCRIBE: Final = re.compile(r"(?<![\w-])u1[A-Za-z0-9_-]{32,8192}", re.ASCII)
# C0 except tab and line feed, DEL, C1, and what reorders text on a screen: terminals obey them.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def readable(body: bytes, secrets: Iterable[str] = ()) -> str:
    """Return what `excerpt` does, for secrets that are not prepared yet."""
    return excerpt(body, known.__wrapped__(tuple(secrets)))  # not cached: the contact's address is another each time


def excerpt(body: bytes, hidden: KnownSecrets) -> str:
    """Return the beginning of a response's body for people.

    It masks before it cuts, so that no half of a secret is left at the end. All numbers of nine digits and more are
    masked. Nothing is shown of a text with escapes that are nested too deeply.
    """
    text = _CONTROL.sub("", body[: 4 * (_LIMIT + _SLACK)].decode("utf-8", errors="replace")[: _LIMIT + _SLACK])
    spans: list[Span] = []
    try:
        for view, is_last in _views(text):
            folded = _folded(view.text)
            found = [*_secrets_in(folded, hidden, whole=False)]
            if is_last or view.text == text:
                found += _addresses(view.text)
                for pattern in (_CALLBACK, _UNSUBSCRIBE, _PHONE):
                    found += (match.span() for match in pattern.finditer(view.text))
            if is_last:
                found += (*_encoded_runs(view.text), *_cut_off(folded, hidden))
                spans += _encoded_secrets(view, hidden)
            spans += map(view.origin, found)
    except NestedTooDeeply:
        return MASK
    return _masked(text, spans, _LIMIT)[:_LIMIT]


def masked(texts: Sequence[str], given: KnownSecrets) -> list[str]:
    """Mask secrets that are words, and callback addresses, in texts that a journey keeps, or raise NestedTooDeeply."""
    text = _SEPARATOR.join(texts)
    searched = KnownSecrets(given.long, tuple(one for one in given.short if len(one) >= _SHORTEST_SAVED), given.encoded)
    spans: list[Span] = []
    for view, is_last in _views(text):
        spans += map(view.origin, _secrets_in(_folded(view.text), searched, whole=True))
        if is_last or "\\x" in view.text:  # bytes of PostgreSQL, \x706c…, look like an escape
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


def _encoded_secrets(view: _View, hidden: KnownSecrets) -> Iterator[Span]:
    """Yield the places of secrets in Base64 and hex in the original, also across lines."""
    joined = (_resolve(view, _FOLD, lambda _: "") if "\n" in view.text else None) or view
    folded = _folded(joined.text)
    for value in hidden.encoded:
        for start, end in _all(folded, value):  # Base64 shares a character with the text before and after the secret
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
