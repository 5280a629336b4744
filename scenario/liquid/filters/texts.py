"""Filters of texts, with bounded results: also JSON, HTML, URLs, base64, hashes, signatures, members of audiences."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import html
import json
import re
import urllib.parse
from collections.abc import Callable, Sequence
from typing import Any, Final

from liquid import Environment
from liquid.filter import with_environment
from liquid.undefined import is_undefined
from markupsafe import escape as escape_markup

from scenario.liquid.engine.instrument import FilterValueError, by_name
from scenario.liquid.engine.limits import MAX_TEXT, BoundReached
from scenario.liquid.engine.values import (
    InString,
    PercentEncoded,
    RawJson,
    describe_type,
    json_text,
    replace_surrogates,
    to_text,
)
from scenario.type_guards import is_sequence

_LETTERS: Final = r"(?:[^\W_]|[\u0300-\u036f])+"  # accents may be separate characters
_WORD: Final = re.compile(rf"{_LETTERS}(?:['’]{_LETTERS})*")
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,18}")


def replace(value: object, old: object, new: object = "") -> str:
    text, old, new = to_text(value), to_text(old), to_text(new)
    if len(text) + text.count(old) * (len(new) - len(old)) > MAX_TEXT:
        raise BoundReached(f"'replace' makes a text of more than {MAX_TEXT:,} characters")
    return text.replace(old, new)


def replace_last(value: object, old: object, new: object) -> str:
    """Replace the last occurrence of a text. The last occurrence of an empty text is at the end."""
    text, old, new = to_text(value), to_text(old), to_text(new)
    if not old:
        return text + new
    before, found, after = text.rpartition(old)
    return before + new + after if found else text


def remove_last(value: object, old: object) -> str:
    return replace_last(value, old, "")


def split(value: object, separator: object) -> list[str]:
    """Split a text at separators, without empty parts at its end. Without a separator, return its characters."""
    text, between = to_text(value), to_text(separator)
    if not between:
        return list(text)
    parts = text.split(None if between == " " else between)
    while parts and not parts[-1]:
        parts.pop()
    return parts


def truncate(value: object, length: object = 50, end: object = "...") -> str:
    """Shorten the text so that it has at most the given number of characters, including the end."""
    text, end, most = to_text(value), to_text(end), _to_integer("truncate", length)
    return text if len(text) <= most else f"{text[: max(most - len(end), 0)]}{end}"


def truncatewords(value: object, number: object = 15, end: object = "...") -> str:
    """Shorten the text to a number of words, at least one."""
    text, most = to_text(value), max(_to_integer("truncatewords", number), 1)
    words = text.split()
    return text if len(words) <= most else " ".join(words[:most]) + to_text(end)


def slice_(value: object, start: object, length: object = 1) -> str | list[Any]:
    """Return `length` elements of a text or a list from the index `start` on. A negative one counts from the end."""
    items: Sequence[Any] = value if is_sequence(value) or isinstance(value, range) else to_text(value)
    first = _to_integer("slice", start)
    count = 1 if length is None or is_undefined(length) else _to_integer("slice", length)
    if first < 0:
        first += len(items)
    part = items[first : first + count] if first >= 0 and count > 0 else items[:0]
    return part if isinstance(part, str) else list(part)


def _to_integer(name: str, value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        return int(value)
    raise FilterValueError(f"'{name}' needs a whole number, not {describe_type(value)}")


def titlecase(value: object) -> str:
    """Capitalize each word and lower the rest: ``MARIE-CLAIRE`` becomes ``Marie-Claire``."""
    return _WORD.sub(lambda word: word[0].capitalize(), to_text(value))


def string(value: object) -> str:
    """Return the value's text, which JSON writes in quotes even if it is JSON itself."""
    text = to_text(value)
    return str(text) if isinstance(text, RawJson | InString | PercentEncoded) else text


def phone_e164(value: object, region: object = None) -> str | None:
    """Return a phone number as ``+33612345678``, or nil if no such number is possible.

    A region such as ``FR`` is the country of national numbers.
    """
    if value is None or is_undefined(value) or value == "":
        return None
    import phonenumbers  # a slow import that few templates need

    country = to_text(region).upper() or None
    if country is not None and country not in phonenumbers.SUPPORTED_REGIONS:
        raise FilterValueError("'phone_e164' takes a country of two letters, such as 'FR'")
    try:
        number = phonenumbers.parse(to_text(value), country)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    if number.italian_leading_zero and not phonenumbers.is_valid_number(number):
        # A national prefix 0 that was parsed as a digit of an incomplete number, which would reach another person.
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


# ---- encodings


def json_(value: object) -> RawJson:
    """Return the value as JSON. A JSON body does not encode it again."""
    return RawJson(json_text(value))


def json_escape(value: object) -> InString:
    return InString(json.dumps(to_text(value), ensure_ascii=False)[1:-1])


@with_environment
def escape(value: object, *, environment: Environment) -> str:
    """Escape HTML's special characters. HTML templates, which escape all values, do not escape the result again."""
    text = str(to_text(value))
    return escape_markup(text) if environment.autoescape else _escape_html(text)


@with_environment
def escape_once(value: object, *, environment: Environment) -> str:
    """Escape HTML's special characters, except in entities."""
    text = html.unescape(str(to_text(value)))
    return escape_markup(text) if environment.autoescape else _escape_html(text)


def _escape_html(text: str) -> str:
    # The apostrophe as in Shopify's Liquid, since receivers compare texts.
    return html.escape(text).replace("&#x27;", "&#39;")


def url_encode(value: object) -> PercentEncoded:
    """Encode the text as a query value, with spaces as ``+``."""
    return PercentEncoded(urllib.parse.quote_plus(replace_surrogates(to_text(value))))


def url_param_escape(value: object) -> PercentEncoded:
    """Percent-encode everything except letters, digits and ``-._~``."""
    return PercentEncoded(urllib.parse.quote(replace_surrogates(to_text(value)), safe=""))


def url_escape(value: object) -> PercentEncoded:
    """Percent-encode the characters that no URL may contain, but not ``/?#&=`` and other delimiters."""
    return PercentEncoded(urllib.parse.quote(replace_surrogates(to_text(value)), safe="/:?#[]@!$&'()*+,;=%"))


def _encode_text(value: object) -> bytes:
    return replace_surrogates(to_text(value)).encode()


def base64_encode(value: object) -> str:
    return base64.b64encode(_encode_text(value)).decode()


def base64_url_safe_encode(value: object) -> str:
    return base64.urlsafe_b64encode(_encode_text(value)).decode()


def base64_decode(value: object) -> str:
    """Decode base64 as in RFC 4648 §4: padded, without other characters."""
    return _decode_base64("base64_decode", _encode_text(value), b"+/")


def base64_url_safe_decode(value: object) -> str:
    """Decode URL-safe base64 (RFC 4648 §5), padded or not. Raises as ``base64_decode`` does."""
    encoded = _encode_text(value)
    return _decode_base64("base64_url_safe_decode", encoded + b"=" * (-len(encoded) % 4), b"-_")


def _decode_base64(name: str, encoded: bytes, last_two: bytes) -> str:
    try:
        return base64.b64decode(encoded, altchars=last_two, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise FilterValueError(f"'{name}' needs base64 of a UTF-8 text") from error


def _make_digest(algorithm: str) -> Callable[[object], str]:
    def digest(value: object) -> str:
        # Other systems require MD5 and SHA-1 as identifiers, not for security.
        return hashlib.new(algorithm, _encode_text(value), usedforsecurity=False).hexdigest()

    return digest


def _make_signature(algorithm: str) -> Callable[[object, object], str]:
    def signature(value: object, key: object) -> str:
        secret = _encode_text(key)
        if not secret:
            raise FilterValueError(f"'hmac_{algorithm}' needs a key that is not empty")
        return hmac.new(secret, _encode_text(value), algorithm).hexdigest()

    return signature


_ADDRESS: Final = re.compile(r"([^\s@]+)@([^\s@]+\.[^\s@]+)")
_GMAIL: Final = ("gmail.com", "googlemail.com")


def audience_email(value: object, platform: object) -> str | None:
    """Return the SHA-256 of an e-mail address as a platform normalises it, in hex; nil if it is not an address.

    Google ignores dots and what follows a plus sign in addresses of its own mail service (its Data Manager API, "Format
    user data"). Meta does not.
    """
    google = _is_google("audience_email", platform)
    found = _ADDRESS.fullmatch(str(to_text(value)).strip().lower())
    if found is None:
        return None
    user, domain = found.groups()
    if google and domain in _GMAIL:
        user = user.partition("+")[0].replace(".", "")
    return _hash_member(f"{user}@{domain}") if user else None


def audience_phone(value: object, platform: object, region: object = None) -> str | None:
    """Return the SHA-256 of a phone number as a platform normalises it, in hex; nil if it is not a possible number.

    Google hashes E.164 with its plus sign, Meta the digits alone.

    Args:
        value: The number in any notation.
        platform: ``google`` or ``meta``.
        region: The two-letter country of national numbers, such as ``FR``.
    """
    google = _is_google("audience_phone", platform)
    number = phone_e164(value, region)
    return None if number is None else _hash_member(number if google else number.removeprefix("+"))


def _is_google(name: str, platform: object) -> bool:
    if (text := to_text(platform)) not in ("google", "meta"):
        raise FilterValueError(f"'{name}' takes a platform: 'google' or 'meta'")
    return text == "google"


def _hash_member(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()  # a lone surrogate is an error: no platform could match it


FILTERS: Final = by_name(
    *(audience_email, audience_phone, base64_decode, base64_encode, base64_url_safe_decode, base64_url_safe_encode),
    *(escape, escape_once, json_, json_escape, phone_e164, remove_last, replace, replace_last, slice_, split, string),
    *(titlecase, truncate, truncatewords, url_encode, url_escape, url_param_escape),
) | {
    **{name: _make_digest(name) for name in ("md5", "sha1", "sha256")},
    **{f"hmac_{name}": _make_signature(name) for name in ("sha1", "sha256")},
}
