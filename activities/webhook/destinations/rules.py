"""Rules about `destinations.yaml` beyond its keys and values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from activities.webhook.destinations.destinations import AUTHORIZATION, DEFAULT_RATE, IN_URL
from activities.webhook.destinations.form import DestinationForm, DestinationsForm, Grant, OAuth2Form, TlsFiles
from activities.webhook.http import tls
from activities.webhook.http.exchange import flaw
from scenario import liquid
from scenario.http import urls
from scenario.http.headers import denied
from scenario.liquid.lint import lint
from scenario.liquid.shapes import Object, Roots
from scenario.source.findings import Severity, clip
from scenario.source.source import Path as Place

NAMES: Final = re.compile(r"(?=.{1,64}\Z)[a-z0-9]+(?:-[a-z0-9]+)*", re.ASCII)
"""A destination's name. Temporal's fairness keys have at most 64 bytes."""
_WIDEST: Final = 1000.0  # maximum ratio of a rate and the default: the range of Temporal's fairness weights
_HINTS: Final[Mapping[urls.AddressKind, str]] = {
    urls.AddressKind.PUBLIC: "",
    urls.AddressKind.PRIVATE: ": set 'allow_private: true' if it is meant",
    urls.AddressKind.SPECIAL: ": name its network in 'allow_cidr' if it is meant",
    urls.AddressKind.NEVER: ", whatever is allowed",
}
_OF_ALL_GRANTS: Final = frozenset({"grant", "token_url", "client_id", "scope", "tls"})
_OF_GRANT: Final[Mapping[Grant, tuple[Set[str], Set[str]]]] = {
    "client_credentials": ({"client_secret"}, {"audience", "client_auth"}),
    "refresh_token": ({"refresh_token"}, {"client_secret", "client_auth"}),
    "jwt_bearer": ({"key"}, {"key_id", "subject", "audience"}),
}
"""The further keys that a grant needs, and those that it may have."""
_SECRETS: Final = Roots({"secrets": Object(open=True)})
_NO_VALUE: Final = "this header's value"
_QUOTED: Final = re.compile(r"'([^']*\w\w[^']*)'")


class Issue(NamedTuple):
    """A finding without line and column."""

    path: Place
    code: str
    message: str
    key: bool = False  # True to point at the key
    offset: int | None = None  # index of a character in the text at `path`, to point at that
    severity: Severity = "error"  # a warning does not prevent the use of the file


def secrets_in(template: str) -> tuple[str, ...]:
    """Return the secrets in a header's template."""
    named = (path for path in liquid.find_fields(template, kind="header") if path[0] == "secrets")
    return tuple(sorted({str(path[1]) for path in named if len(path) > 1}))


def rulings(form: DestinationsForm, folder: Path, now: datetime) -> Iterator[Issue]:
    """Yield all mistakes of a file with valid keys and values."""
    default = form.default.rate or DEFAULT_RATE
    signing = {key.key for entry in form.destinations.values() for key in entry.signing}
    signing |= {entry.auth.oauth2.key for entry in form.destinations.values() if entry.auth and entry.auth.oauth2.key}
    yield from _granted(form.default.public_secrets, ("default", "public_secrets"), signing)
    for name, entry in form.destinations.items():
        place: Place = ("destinations", name)
        if not NAMES.fullmatch(name):
            message = (
                f"'{clip(name)}' is not a destination's name: write lower-case words joined by '-', at most 64 letters"
            )
            yield Issue(place, "name", message, key=True)
        yield from _url(entry, place)
        yield from _headers(entry, place)
        yield from _signing(entry, place, now)
        yield from _granted(entry.secrets, (*place, "secrets"), signing)
        yield from _tls(entry.tls, (*place, "tls"), folder)
        if entry.auth:
            yield from _oauth2(entry.auth.oauth2, entry, place, folder)
        if entry.rate and not default / _WIDEST <= entry.rate <= default * _WIDEST:
            message = f"'rate' is more than {_WIDEST:g} times the default rate, or less than a {_WIDEST:g}th of it"
            yield Issue((*place, "rate"), "rate", message)


def _url(entry: DestinationForm, place: Place) -> Iterator[Issue]:
    reason = ""
    plain = IN_URL.sub("x", entry.url)
    if "{" in plain:
        reason = "it is plain text, with secrets such as {{ secrets.NAME }}: a scenario adds to it by its 'path'"
    elif plain != entry.url and "/" not in entry.url.partition("{")[0].partition("://")[2]:
        reason = "a secret stands behind its host, as a part of its path"
    elif "?" in entry.url:
        reason = "it has no query: a scenario adds to it by its 'path'"
    else:
        reason = _refusal(plain, entry.access)
    if reason:
        yield Issue((*place, "url"), "url", f"'url' cannot be used: {reason}")


def _refusal(url: str, access: urls.Access) -> str:
    """Return why a URL may not be called, or nothing."""
    try:
        urls.parse(url, access)
    except urls.UrlError as error:
        if error.is_address:
            return f"its address may not be called{_HINTS[urls.classify(urlsplit(url).hostname or '')]}"
        if error.port is not None:
            return f"port {error.port} is not among 'ports'"
        if error.scheme == "http":
            return "its scheme is not https: set 'allow_http: true' if it is meant"
        return error.reason
    return ""


def _oauth2(form: OAuth2Form, entry: DestinationForm, place: Place, folder: Path) -> Iterator[Issue]:
    inside: Place = (*place, "auth", "oauth2")
    needed, allowed = _OF_GRANT[form.grant]
    given = {name for name in form.model_fields_set - _OF_ALL_GRANTS if getattr(form, name) is not None}
    for name in sorted(needed - given):
        message = f"the grant {form.grant} needs '{name}', the name of a secret"
        yield Issue(inside, "oauth2", message, key=True)
    for name in sorted(given - needed - allowed):
        yield Issue((*inside, name), "oauth2", f"the grant {form.grant} does not use '{name}': remove it", key=True)
    if reason := _refusal(form.token_url, entry.access):
        yield Issue((*inside, "token_url"), "url", f"'token_url' cannot be used: {reason}")
    if form.tls:
        yield from _tls(form.tls, (*inside, "tls"), folder)
    for name in entry.headers:
        if name.lower() == AUTHORIZATION:
            message = "'auth' sets this header to an access token: remove one of them"
            yield Issue((*place, "headers", name), "header", message, key=True)


def _headers(entry: DestinationForm, place: Place) -> Iterator[Issue]:
    seen: dict[str, str] = {}
    for name, value in entry.headers.items():
        path: Place = (*place, "headers", name)
        if denied(name):
            yield Issue(path, "header", f"the header '{clip(name)}' is set by the sender itself: remove it", key=True)
        elif problem := flaw(name, ""):
            yield Issue(path, "header", problem, key=True)
        other = seen.setdefault(name.lower(), name)
        if other != name:
            message = f"'{clip(name)}' and '{clip(other)}' are the same header: keep one"
            yield Issue(path, "header", message, key=True)
        findings = lint(value, kind="header", schema=_SECRETS)
        for found in findings:
            message = _unquoted(found.message, value)
            yield Issue(path, found.code, message, offset=found.offset, severity=found.severity)
        plain = "{{" not in value and "{%" not in value
        errors = any(found.severity == "error" for found in findings)
        if not errors and any(len(named) == 1 for named in liquid.find_fields(value, kind="header")):
            yield Issue(path, "secret", "name the secret that is meant, such as {{ secrets.NAME }}")
        if not errors and (not value or (plain and flaw("x", value))):
            message = (
                f"{_NO_VALUE} is empty, or holds a line break, a leading or trailing space, or a non-ASCII character"
            )
            yield Issue(path, "header", message)
        elif (
            plain
            and not errors
            and not denied(name)
            and re.search(r"auth|token|secret|key|password", name, re.ASCII | re.IGNORECASE)
        ):
            message = (
                f"{_NO_VALUE} looks like a secret: keep it as one, and write its name, such as {{{{ secrets.NAME }}}}"
            )
            yield Issue(path, "plain-secret", message, severity="warning")


def _unquoted(message: str, value: str) -> str:
    """Return a template's message without quoted words, which may be a secret by mistake."""
    return _QUOTED.sub(lambda found: "'…'" if found[1] in value and found[1] != "secrets" else found[0], message)


def _signing(entry: DestinationForm, place: Place, now: datetime) -> Iterator[Issue]:
    seen: set[str] = set()
    for index, key in enumerate(entry.signing):
        path: Place = (*place, "signing", index)
        if key.key in seen:
            yield Issue(path, "signing", f"the key {key.key} is here twice")
        seen.add(key.key)
        if key.until is not None and key.until <= now:
            message = f"the key {key.key} expired at {key.until.isoformat()}: remove it"
            yield Issue(path, "expired", message, severity="warning")
    if entry.signing and all(key.until is not None for key in entry.signing):
        message = "every key has an end: after the last one nothing is sent; the newest needs no 'until'"
        yield Issue((*place, "signing"), "signing", message, key=True, severity="warning")


def _granted(secrets: Sequence[str], place: Place, signing: Set[str]) -> Iterator[Issue]:
    for index, name in enumerate(secrets):
        if name in signing:
            message = f"the secret {name} signs: whoever has it can sign in our name, so that no scenario may send it"
            yield Issue((*place, index), "secret", message)


def _tls(files: TlsFiles, place: Place, folder: Path) -> Iterator[Issue]:
    if files.key and not files.certificate:
        yield Issue((*place, "key"), "tls", "'key' goes with 'certificate', the certificate that it belongs to")
    elif problem := tls.problem(files.read_from(folder)):
        yield Issue(place, "tls", problem, key=True)
