"""Reads `destinations.yaml`, reports its mistakes, and watches it while a process runs.

No finding quotes a value below `headers`, `auth`, `signing`, `secrets` or `public_secrets`, because it may be a secret
by mistake.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from activities.webhook.circuit_breaker import BreakerLimits
from activities.webhook.destinations.destinations import DEFAULT_RATE, Destination, Destinations, OAuth2, Signer
from activities.webhook.destinations.form import BreakerForm, DestinationForm, DestinationsForm, LimitsForm, OAuth2Form
from activities.webhook.destinations.rules import Issue, rulings, secrets_in
from activities.webhook.limiter import Limits
from runtime.watched_file import WatchedFile, read_bytes, require_usable
from scenario.model.mistakes import explained
from scenario.source.findings import Finding, tidy
from scenario.source.source import Source
from scenario.source.yaml import MAX_NODES

VARIABLE: Final = "SCENARIO_DESTINATIONS"
"""The setting that names the file."""
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
    return Destination(
        name=name,
        url=entry.url.rstrip("/"),
        headers=dict(entry.headers),
        header_secrets=tuple(sorted({secret for value in entry.headers.values() for secret in secrets_in(value)})),
        signing=tuple(Signer(key.key, key.until) for key in entry.signing),
        oauth2=entry.auth and _oauth2(entry.auth.oauth2, entry, folder),
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


def _oauth2(form: OAuth2Form, entry: DestinationForm, folder: Path) -> OAuth2:
    files = entry.tls if form.tls is None else form.tls
    return OAuth2(**form.model_dump(exclude={"tls"}), access=entry.access, tls=files.read_from(folder))


def _limits(given: LimitsForm, default: Limits) -> Limits:
    breaker = default.breaker
    if "breaker" in given.model_fields_set:
        breaker = _breaker(given.breaker) if given.breaker else None
    return Limits(concurrency=given.concurrency or default.concurrency, breaker=breaker)


def _breaker(given: BreakerForm) -> BreakerLimits:
    return BreakerLimits(
        failures=given.failures,
        minimum=given.minimum,
        window=given.window.total_seconds(),
        pause=given.pause.total_seconds(),
    )


class DestinationsFile(WatchedFile[Destinations]):
    """The current destinations; none without a path. UnusableFile is raised only if it cannot be used at the start."""

    def __init__(
        self,
        path: Path | None = None,
        *,
        every: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(
            path,
            read=read,
            empty=Destinations(),
            size=lambda book: f"{len(book.destinations)} destinations",
            every=every,
            clock=clock,
            wall=wall,
        )

    @property
    def book(self) -> Destinations:
        """The destinations; the same object until the file changes."""
        return self.content

    @property
    def names(self) -> tuple[str, ...]:
        return self.book.names
