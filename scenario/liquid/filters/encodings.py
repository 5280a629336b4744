"""Filters for JSON, HTML, URLs, base64, hashes and signatures, and for members of audiences at platforms."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import html
import json
import re
import urllib.parse
from collections.abc import Callable
from typing import Final

from liquid import Environment
from liquid.filter import with_environment
from markupsafe import escape as escape_markup

from scenario.liquid.engine.instrument import FilterValueError, by_name
from scenario.liquid.engine.values import InString, PercentEncoded, RawJson, json_text, replace_surrogates, to_text
from scenario.liquid.filters.texts import phone_e164


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
    *(audience_email, audience_phone, base64_decode, base64_encode, base64_url_safe_decode),
    *(base64_url_safe_encode, escape, escape_once, json_, json_escape, url_encode, url_escape, url_param_escape),
) | {
    **{name: _make_digest(name) for name in ("md5", "sha1", "sha256")},
    **{f"hmac_{name}": _make_signature(name) for name in ("sha1", "sha256")},
}
