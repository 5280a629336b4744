"""Encodings and digests: JSON, HTML, URLs, base64, hashes and signatures."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import html
import json
import urllib.parse
from collections.abc import Callable
from typing import Any, Final

from liquid import Environment
from liquid.filter import with_environment
from markupsafe import escape as escape_markup

from scenario.liquid.engine.filter_call import Unfit
from scenario.liquid.engine.values import InString, PercentEncoded, RawJson, clean, to_json, to_text


def to_json_text(value: object) -> RawJson:
    """The value as JSON. In a JSON body it is not encoded twice."""
    return RawJson(json.dumps(to_json(value), ensure_ascii=False, allow_nan=False, separators=(",", ":")))


def json_escape(value: object) -> InString:
    """The value's text, escaped for the inside of a JSON string."""
    return InString(json.dumps(to_text(value), ensure_ascii=False)[1:-1])


@with_environment
def escape(value: object, *, environment: Environment) -> str:
    """The text with HTML's special characters escaped; in HTML, where values are escaped anyway, only once."""
    text = str(to_text(value))
    return escape_markup(text) if environment.autoescape else _html(text)


@with_environment
def escape_once(value: object, *, environment: Environment) -> str:
    """As ``escape``, but for what is escaped already."""
    text = html.unescape(str(to_text(value)))
    return escape_markup(text) if environment.autoescape else _html(text)


def _html(text: str) -> str:
    # The apostrophe as Shopify's Liquid writes it: receivers compare.
    return html.escape(text).replace("&#x27;", "&#39;")


def url_encode(value: object) -> PercentEncoded:
    """The text as a value in a URL's query, blanks as ``+``."""
    return PercentEncoded(urllib.parse.quote_plus(clean(to_text(value))))


def url_param_escape(value: object) -> PercentEncoded:
    """The text as any part of a URL, everything but letters, digits and ``-._~`` percent-encoded."""
    return PercentEncoded(urllib.parse.quote(clean(to_text(value)), safe=""))


def url_escape(value: object) -> PercentEncoded:
    """A whole URL with what no URL may hold percent-encoded; its own ``/?#&=`` are kept."""
    return PercentEncoded(urllib.parse.quote(clean(to_text(value)), safe="/:?#[]@!$&'()*+,;=%"))


def _bytes(value: object) -> bytes:
    return clean(to_text(value)).encode()


def base64_encode(value: object) -> str:
    """The text's UTF-8 bytes in base64."""
    return base64.b64encode(_bytes(value)).decode()


def base64_url_safe_encode(value: object) -> str:
    """The text's UTF-8 bytes in URL-safe base64."""
    return base64.urlsafe_b64encode(_bytes(value)).decode()


def base64_decode(value: object) -> str:
    """The text that base64 holds, as RFC 4648 §4 writes it: nothing else in it, and padded.

    Raises:
        Unfit: It is not base64, or holds no UTF-8 text.
    """
    return _decoded("base64_decode", _bytes(value), b"+/")


def base64_url_safe_decode(value: object) -> str:
    """The text that URL-safe base64 holds (RFC 4648 §5), padded or not. Raises as ``base64_decode`` does."""
    encoded = _bytes(value)
    return _decoded("base64_url_safe_decode", encoded + b"=" * (-len(encoded) % 4), b"-_")


def _decoded(name: str, encoded: bytes, last_two: bytes) -> str:
    try:
        return base64.b64decode(encoded, altchars=last_two, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise Unfit(f"'{name}' needs base64 of a UTF-8 text") from error


def _digest(algorithm: str) -> Callable[[object], str]:
    def digest(value: object) -> str:
        # MD5 and SHA-1 are asked for as identifiers by other systems, not for security.
        return hashlib.new(algorithm, _bytes(value), usedforsecurity=False).hexdigest()

    return digest


def _signature(algorithm: str) -> Callable[[object, object], str]:
    def signature(value: object, key: object) -> str:
        secret = _bytes(key)
        if not secret:
            raise Unfit(f"'hmac_{algorithm}' needs a key that is not empty")
        return hmac.new(secret, _bytes(value), algorithm).hexdigest()

    return signature


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "base64_decode": base64_decode,
    "base64_encode": base64_encode,
    "base64_url_safe_decode": base64_url_safe_decode,
    "base64_url_safe_encode": base64_url_safe_encode,
    "escape": escape,
    "escape_once": escape_once,
    "hmac_sha1": _signature("sha1"),
    "hmac_sha256": _signature("sha256"),
    "json": to_json_text,
    "json_escape": json_escape,
    "md5": _digest("md5"),
    "sha1": _digest("sha1"),
    "sha256": _digest("sha256"),
    "url_encode": url_encode,
    "url_escape": url_escape,
    "url_param_escape": url_param_escape,
}
