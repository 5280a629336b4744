"""Makes a response's beginning fit for people to read: no secrets, no addresses, no phone numbers, no control codes.

Receivers echo what they were sent. What is kept of their answers is seen in Temporal's UI, in logs and on terminals.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final
from urllib.parse import quote

MASK: Final = "[…]"
"""What stands in a masked place."""

_EMAIL: Final = re.compile(r"[\w.!#$'*+^~-]{1,64}(?:@|%40)[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
# Nine to fifteen digits (E.164), seven where a plus says that it is a number; not inside a word or a UUID, no ISO date.
# An escape of a URL before it is no word.
_SEPARATOR: Final = r"[\s().\-/]{0,2}"
_PHONE: Final = re.compile(
    rf"(?:(?<![\w.-])|(?<=%[0-9a-f]{{2}}))(?![12][0-9]{{3}}-[0-9]{{2}}-[0-9]{{2}})"
    rf"(?:(?:\+|%2B){_SEPARATOR}(?:[0-9]{_SEPARATOR}){{6,14}}[0-9]|\(?(?:[0-9]{_SEPARATOR}){{8,14}}[0-9])(?![\w-])",
    re.ASCII | re.IGNORECASE,
)
# A callback address lets its holder act (see runtime.callback): its version byte and the expiry's first begin all. It
# follows a slash, which a URL or JSON may write as %2F or \u002f.
_CALLBACK: Final = re.compile(r"(?:(?<![\w-])|(?<=2F)|(?<=2f))AQ[A-D][A-Za-z0-9_-]{69,1024}", re.ASCII)
# C0 but tab and line feed, DEL, C1, and what reorders text on a screen: a terminal obeys them.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_SLACK: Final = 4096
_HALF: Final = 6
"""Characters of a secret's beginning that give it away at the end of a text."""
_WORD: Final = 8
"""Characters of a word of a header's value that may be a credential: schemes such as ``Bearer`` are shorter."""
_ESCAPE: Final = re.compile(r"%[0-9A-F]{2}")
_UNESCAPED: Final = ("", "/", "!'()*")
"""What is left alone in a URL: by RFC 3986's letter, by most servers, by JavaScript's `encodeURIComponent`."""
_KEPT: Final = 256
"""Sets of spellings that are kept; scenarios that put a contact's data beside a secret have one for each delivery."""
_PREFIXED: Final = ("whsec_", "whsk_")


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Masks secrets, callback tokens, e-mail addresses and what looks like a telephone number.

    Args:
        text: Anything a receiver may have sent.
        secrets: The values that the request was made with. Masked too as they look in a URL and in JSON.

    Returns:
        The text with `MASK` in those places. Numbers of nine digits and more are masked whatever they mean.
    """
    return _impersonal(masked(text, spellings(secrets)))


def masked(text: str, spelt: Sequence[str]) -> str:
    """Masks only what lets its holder act, secrets and callback tokens: where a text is kept for what it says.

    Args:
        text: Anything a receiver may have sent.
        spelt: From `spellings`.
    """
    for secret in spelt:
        text = text.replace(secret, MASK)
    return _CALLBACK.sub(MASK, text)


def spellings(secrets: Iterable[str]) -> tuple[str, ...]:
    """Secrets as they may be sent back: as they are, in a URL, in JSON, in HTML, in Base64, a key without its prefix.

    Returns:
        The longest first, so that a secret within another leaves nothing of either.
    """
    found = {spelling for secret in secrets for spelling in _spelt(secret)}
    return tuple(sorted(found, key=len, reverse=True))


class Spelt:
    """The spellings of a process's secrets, worked out once for as long as they are the same object."""

    def __init__(self) -> None:
        self._secrets: Mapping[str, str] = {}
        self._made: dict[tuple[str, ...], tuple[str, ...]] = {}

    def of(self, secrets: Mapping[str, str], sent: tuple[str, ...] = ()) -> tuple[str, ...]:
        """The `spellings` of all secrets and of what was sent of them.

        Args:
            secrets: By name.
            sent: From `credentials`; mostly the same for all deliveries to one destination.
        """
        if self._secrets is not secrets or len(self._made) >= _KEPT:
            self._secrets, self._made = secrets, {}
        made = self._made.get(sent)
        if made is None:
            made = self._made[sent] = spellings((*secrets.values(), *sent))
        return made


@lru_cache(maxsize=256)
def _spelt(secret: str) -> frozenset[str]:
    raw = secret.encode(errors="replace")
    found = {secret, *_escaped(secret)}
    found |= {encode(raw).rstrip(b"=").decode() for encode in (base64.b64encode, base64.urlsafe_b64encode)}
    found |= {secret.removeprefix(prefix) for prefix in _PREFIXED}
    return frozenset(found - {""}) if secret else frozenset()


def _escaped(secret: str) -> Iterator[str]:
    """A secret as URLs, JSON and HTML write it, each in the ways that libraries have."""
    if secret.isascii() and secret.isalnum():
        return
    for safe in _UNESCAPED:
        url = quote(secret, safe=safe, errors="replace")
        yield from (url, url.replace("%20", "+"), _ESCAPE.sub(lambda one: one[0].lower(), url))
    quoted = json.dumps(secret)[1:-1]
    yield from (quoted, quoted.replace("/", "\\/"), json.dumps(secret, ensure_ascii=False)[1:-1])
    yield from (html.escape(secret, quote=False), html.escape(secret), html.escape(secret).replace("&#x27;", "&#39;"))


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
            yield from (word for word in value.split() if len(word) >= _WORD)


def readable(body: bytes, secrets: Iterable[str] = (), *, limit: int = 2048) -> str:
    """The beginning of a response's body, for people.

    Args:
        body: Raw bytes; what is not UTF-8 is shown as replacement characters.
        secrets: See `redact`.
        limit: Characters to keep.
    """
    return excerpt(body, spellings(secrets), limit=limit)


def excerpt(body: bytes, spelt: Sequence[str], *, limit: int = 2048) -> str:
    """`readable`, for who has the secrets' `spellings` already.

    Masking comes before cutting, so that no half of a secret is left at the end.
    """
    if not body:
        return ""
    text = body[: limit * 4 + _SLACK].decode("utf-8", errors="replace")
    return _impersonal(_whole(masked(_CONTROL.sub("", text), spelt), spelt))[:limit]


def _impersonal(text: str) -> str:
    return _PHONE.sub(MASK, _EMAIL.sub(MASK, text))


def _whole(text: str, spelt: Sequence[str]) -> str:
    """The text without the beginning of a secret at its end, where it was cut, by us or by the receiver."""
    for secret in spelt:
        if len(secret) < _HALF:
            break
        start = max(0, len(text) - len(secret)) - 1
        while (start := text.find(secret[:_HALF], start + 1)) >= 0:
            if secret.startswith(text[start:]):
                return text[:start] + MASK
    return text
