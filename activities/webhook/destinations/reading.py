"""Reads `destinations.yaml`, reports its mistakes, and watches it while a process runs.

No finding quotes a value below `headers`, `auth`, `signing`, `secrets` or `public_secrets`, because it may be a secret
by mistake.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from activities.webhook.circuit_breaker import BreakerLimits
from activities.webhook.destinations.destinations import AUTHORIZATION, DEFAULT_RATE, IN_URL, Destination, Destinations
from activities.webhook.destinations.form import (
    BreakerForm,
    DestinationForm,
    DestinationsForm,
    Grant,
    LimitsForm,
    OAuth2Form,
    TlsFiles,
)
from activities.webhook.http.exchange import flaw, tls_problem
from activities.webhook.limiter import Limits
from runtime.watched_file import WatchedFile, read_bytes, require_usable
from scenario import liquid
from scenario.http import urls
from scenario.http.destinations import denied_header
from scenario.liquid.lint import lint
from scenario.liquid.shapes import Object, Roots
from scenario.model.mistakes import explained
from scenario.source.findings import Finding, Severity, clip, tidy
from scenario.source.source import Path as Place
from scenario.source.source import Source
from scenario.source.yaml import MAX_NODES

VARIABLE: Final = "SCENARIO_DESTINATIONS"  # the setting that names the file
_SILENT: Final[Mapping[str, str]] = {
    "headers": "'headers' are names with values, and each value is text in quotes",
    "auth": "'auth' is {oauth2: {grant: …, token_url: …, client_id: …}}, with secrets by their names, such as "
    "{client_secret: ADS_SECRET}",
    "signing": "'signing' is a list of keys by the names of their secrets, such as [{key: WAX_SIGNING_KEY}]",
    "secrets": "'secrets' is a list of secrets by their names, such as [WAX_TOKEN]",
    "public_secrets": "'public_secrets' is a list of secrets by their names, such as [WAX_TOKEN]",
}
"""Messages about values that may be secrets."""
_WORDS: Final[Mapping[str, str]] = {
    "empty": "the file is empty: begin with 'destinations:'",
    "values": f"more than {MAX_NODES:,} values: remove unused destinations",
    "single document": "the file continues after '---': put all destinations under the one 'destinations:'",
}
"""Messages about unreadable files, in place of those about scenarios."""
_UNQUOTED: Final[Mapping[str, str]] = {
    "tag": "a tag means nothing here: put text that begins with '!' in quotes",
    "number": "this is not a number that JSON can hold",
}
"""Messages about misplaced YAML syntax."""

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


class ReadDestinations(NamedTuple):
    """The result of reading a file."""

    findings: tuple[Finding, ...]  # all findings, in the order of the file
    book: Destinations | None  # the destinations, or None if a finding is an error


def read(path: Path) -> Destinations:
    """Read `destinations.yaml`. Raise UnusableFile if it has errors."""
    findings, book = examine(path)
    return require_usable(book, findings, f"scenario destinations {path}")


def examine(path: Path, *, now: datetime | None = None) -> ReadDestinations:
    """Read and check `destinations.yaml`.

    Paths in it are relative to its folder. Raise UnusableFile if it is unreadable.
    """
    source = Source(read_bytes(path, VARIABLE), str(path), _WORDS)
    if source.data is None:
        return ReadDestinations(tuple(source.findings), None)
    data: Any = source.data
    form = None
    try:
        form = DestinationsForm.model_validate(data)
        issues = [*rulings(form, path.parent, now or datetime.now(UTC))]
    except ValidationError as error:
        issues = [_worded(detail, data) for detail in error.errors(include_url=False)]
    findings = tidy([*map(_silenced, source.findings), *(_placed(one, source) for one in issues)], source.file)
    if form is None or any(finding.severity == "error" for finding in findings):
        return ReadDestinations(findings, None)
    return ReadDestinations(findings, _book(form, path.parent))


def _silenced(finding: Finding) -> Finding:
    """Return a finding about malformed YAML without the file's text."""
    message = _UNQUOTED.get(finding.code, finding.message)
    return Finding(finding.file, finding.line, finding.column, finding.severity, finding.code, message)


def _placed(issue: Issue, source: Source) -> Finding:
    if issue.offset is not None:
        mark = source.inside(issue.path, issue.offset)
    else:
        mark = source.key(issue.path) if issue.key else source.at(issue.path)
    return Finding(source.file, mark.line, mark.column, issue.severity, issue.code, issue.message)


def _worded(detail: ErrorDetails, data: Any) -> Issue:
    path, code, message, key = explained(detail, data, DestinationsForm, "the file")
    deep = 2 if path[:1] == ("destinations",) else 1
    silent = next((word for word in _SILENT if word in path[deep : deep + 1]), None)
    if silent is None or detail["type"] in ("missing", "value_error"):
        return Issue(path, code, message, key=key)
    if detail["type"] == "extra_forbidden":  # without the key, too
        return Issue(path, code, f"there is an unknown key: {message.partition(': ')[2]}", key=True)
    return Issue(path, "type", _SILENT[silent])


def _book(form: DestinationsForm, folder: Path) -> Destinations:
    limits = _limits(form.default, Limits())
    rate = form.default.rate or DEFAULT_RATE
    made = {name: _destination(name, entry, rate, limits, folder) for name, entry in form.destinations.items()}
    return Destinations(destinations=made, rate=rate, limits=limits, public_secrets=tuple(form.default.public_secrets))


def _destination(name: str, entry: DestinationForm, rate: float, limits: Limits, folder: Path) -> Destination:
    oauth2 = entry.auth and entry.auth.oauth2
    return Destination(
        name=name,
        url=entry.url.rstrip("/"),
        headers=dict(entry.headers),
        header_secrets=tuple(sorted({secret for value in entry.headers.values() for secret in secrets_in(value)})),
        signing=tuple(entry.signing),
        oauth2=oauth2,
        token_tls=(entry.tls if oauth2 is None or oauth2.tls is None else oauth2.tls).read_from(folder),
        secrets=tuple(entry.secrets),
        owners=None if entry.owners is None else frozenset(entry.owners),
        timeout=entry.timeout.total_seconds() if entry.timeout else None,
        retry=entry.retry.own,
        rate=entry.rate or rate,
        limits=_limits(entry, limits),
        access=entry.access,
        tls=entry.tls.read_from(folder),
        suppressions=entry.suppressions,
        audiences=entry.audiences,
    )


def _limits(given: LimitsForm, default: Limits) -> Limits:
    breaker = default.breaker
    if "breaker" in given.model_fields_set:
        breaker = _breaker(given.breaker) if given.breaker else None
    return Limits(concurrency=given.concurrency or default.concurrency, breaker=breaker)


def _breaker(given: BreakerForm) -> BreakerLimits:
    return BreakerLimits(given.failures, given.minimum, given.window.total_seconds(), given.pause.total_seconds())


class DestinationsFile(WatchedFile[Destinations]):
    """The current destinations; none without a path. UnusableFile is raised only if it cannot be used at the start."""

    def __init__(self, path: Path | None = None, **timing: Any) -> None:
        super().__init__(
            path, read=read, empty=Destinations(), size=lambda book: f"{len(book.destinations)} destinations", **timing
        )

    @property
    def book(self) -> Destinations:
        """The destinations; the same object until the file changes."""
        return self.content


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
            yield from _oauth2_issues(entry.auth.oauth2, entry, place, folder)
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


def _oauth2_issues(form: OAuth2Form, entry: DestinationForm, place: Place, folder: Path) -> Iterator[Issue]:
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
        if denied_header(name):
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
            and not denied_header(name)
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
    elif problem := tls_problem(files.read_from(folder)):
        yield Issue(place, "tls", problem, key=True)
