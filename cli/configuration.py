"""Commands and options about `destinations.yaml` and `policies.yaml`: destinations, policies."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeVar

import typer

from authoring.errors import BadInput, unreadable
from cli import session
from cli.options import Format, FormatOption, argument, flag, option
from cli.output import Table, output
from cli.terminal import dump, local, note, say, styled

if TYPE_CHECKING:
    from pydantic import BaseModel
    from rich.text import Text

    from activities.webhook.destinations.destinations import Destination, Destinations
    from scenario.http.destinations import KnownDestinations
    from scenario.policies.policies import Policies
    from scenario.source.findings import Finding
    from service.destinations import DestinationNow

DestinationsOption = Annotated[
    Path | None,
    option("FILE", "destinations.yaml, to check names and headers against it", envvar="SCENARIO_DESTINATIONS"),
]
PoliciesOption = Annotated[
    Path | None, option("FILE", "policies.yaml, the rules for all scenarios", envvar="SCENARIO_POLICIES")
]
_DestinationsArgument = Annotated[
    Path | None, argument("[FILE]", "destinations.yaml; by default SCENARIO_DESTINATIONS")
]
_PoliciesArgument = Annotated[Path | None, argument("[FILE]", "policies.yaml; by default SCENARIO_POLICIES")]
_NowOption = Annotated[bool, flag("--now", "show which destinations are left alone, and how many deliveries wait")]
_Content = TypeVar("_Content", bound="BaseModel")
_BAD: Final = {"missing", "malformed"}


def book_in(path: Path | None) -> Destinations | None:
    """Read the destinations of a file, or return None without a file. Secrets are not needed: they are shown by name.

    Raise BadInput if the file cannot be read, or UnusableFile if the file has errors.
    """
    from activities.webhook.destinations.reading import read

    if path is None or path == Path():  # an empty variable counts as not set
        return None
    _content(path, "destinations")
    return read(path)


def known_in(path: Path | None) -> KnownDestinations | None:
    """Return the names and headers of a file's destinations, or None without a file. Raises as `book_in`."""
    book = book_in(path)
    return book and book.listing


def policies_in(path: Path | None) -> Policies:
    """Read the policies of a file, or return empty policies without one.

    Raise BadInput if the file cannot be read, or UnusableFile if the file has errors.
    """
    from runtime.watched_file import read_policies
    from scenario.policies.policies import Policies

    if path is None or path == Path():
        return Policies()
    _content(path, "policies")
    return read_policies(path)


def _content(path: Path, kind: str) -> bytes:
    """Read a file's bytes. The worker's own message would name only the environment variable."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error, f"name another {kind}.yaml, here or with SCENARIO_{kind.upper()}") from None


def _chosen(file: Path | None, configured: Path | None, kind: str) -> Path:
    if (path := file or configured) is None:
        raise BadInput(f"name a file, or set SCENARIO_{kind.upper()}")
    return path


def destinations(file: _DestinationsArgument = None, now: _NowOption = False, form: FormatOption = "text") -> None:
    """Check destinations.yaml, and list its destinations with the state of their secrets.

    With --now, show instead which deliveries are being retried, and which destinations are paused because they failed
    too often.

    "Granted" secrets are those that scenarios may use in their own requests. Secrets are read from this process's
    environment and shown by name only. The exit status is 1 if the file has an error. JSON has the keys findings,
    default and destinations.
    """
    if now:
        if file is not None:
            raise typer.BadParameter("--now asks Temporal, and reads no file: leave FILE out")

        def tell(found: Sequence[DestinationNow]) -> None:
            rows = Table("destination", "now", "waiting", "next try (local)", "why", right=("waiting",), prose=("why",))
            for item in found:
                state = styled("held", "left alone") if item.left_alone else styled("retry", "retrying")
                rows.add(item.destination, state, item.waiting, local(item.next_try_at), item.why)
            rows.show("no delivery waits for a retry; no destination is known to be left alone")

        output(session.ask(lambda client: client.destinations_now()), form, tell)
        return
    from activities.redaction import SHORT, short
    from activities.webhook.destinations.reading import examine
    from runtime.secrets import Secrets
    from runtime.settings import Settings

    settings = Settings()
    path = _chosen(file, settings.destinations, "destinations")
    _content(path, "destinations")
    findings, book = examine(path)
    secrets: Mapping[str, str] = Secrets(settings).snapshot() if book else {}
    anywhere = _set(book.public_secrets, secrets) if book else {}
    listed = {name: _described(found, secrets) for name, found in book.destinations.items()} if book else {}
    if form == "json":
        dump(
            {
                "findings": findings,
                "default": {**_limits(book.rate, book), "granted": anywhere} if book else None,
                "destinations": [{"name": name, **described} for name, described in listed.items()],
            }
        )
    else:
        for finding in findings:
            say(str(finding))
        if book:
            _show(book, listed, anywhere)
            used = {name for found in book.destinations.values() for name in (*found.plain_secrets, *found.secrets)}
            if names := short({name: value for name, value in secrets.items() if name in used}):
                masked = f"shorter than {SHORT} characters, and masked in responses only as a separate word"
                note(f"{', '.join(names)}: {masked}; use a longer secret")
    if book is None:
        raise typer.Exit(1)


def _described(found: Destination, secrets: Mapping[str, str]) -> dict[str, Any]:
    from scenario.http.urls import parse

    return {
        "host": parse(found.rendered_url(dict.fromkeys(found.url_secrets, "x")), found.access).origin,
        **_limits(found.rate, found),
        "timeout": found.timeout,
        "retry": dict(found.retry),
        "private": found.access.allow_private or bool(found.access.allow_cidr),
        "secrets": _set(found.plain_secrets, secrets),
        "granted": _set(found.secrets, secrets),
        "owners": None if found.owners is None else sorted(found.owners),
        "signing": _keys(found, secrets),
    }


def _set(names: Iterable[str], secrets: Mapping[str, str]) -> dict[str, str]:
    return {name: "set" if secrets.get(name) else "missing" for name in names}


def _keys(found: Destination, secrets: Mapping[str, str]) -> dict[str, str]:
    from activities.webhook.signing import Key, SigningKeyError

    states: dict[str, str] = {}
    for signer in found.signing:
        value = secrets.get(signer.key)
        if signer.until is not None and signer.until <= datetime.now(UTC):
            states[signer.key] = "expired"
        elif not value:
            states[signer.key] = "missing"
        else:
            states[signer.key] = f"live until {signer.until.isoformat()}" if signer.until else "live"
            try:
                Key.parse(value)
            except SigningKeyError:
                states[signer.key] = "malformed"
    return states


def _limits(rate: float, place: Destinations | Destination) -> dict[str, Any]:
    breaker = place.limits.breaker
    return {"rate": rate, "concurrency": place.limits.concurrency, "breaker": asdict(breaker) if breaker else None}


def _show(book: Destinations, listed: Mapping[str, Mapping[str, Any]], anywhere: Mapping[str, str]) -> None:
    headings = ("destination", "host", "rate", "at once", "breaker", "secrets", "granted", "signing")
    made = Table(*headings, right=("rate", "at once"), prose=("secrets", "granted", "signing"))
    rows: list[tuple[str, str, Mapping[str, Any]]] = [(name, told["host"], told) for name, told in listed.items()]
    rows.append(("(any other)", "", {**_limits(book.rate, book), "secrets": {}, "granted": anywhere, "signing": {}}))
    for name, host, told in rows:
        cells = [_states(told[column]) for column in ("secrets", "granted", "signing")]
        breaker = f"trips at {told['breaker']['failures']:.0%}" if told["breaker"] else "off"
        made.add(name, host, f"{told['rate']:g}/s", told["concurrency"], breaker, *cells)
    made.show()
    lacking = sorted(name for name, told in listed.items() if _is_lacking(told))
    if lacking:
        note(f"deliveries to {', '.join(lacking)} are held if the worker's secrets are the same")


def _is_lacking(told: Mapping[str, Any]) -> bool:
    """Return whether the next delivery needs a missing secret, or all its signing keys have expired."""
    keys = set(told["signing"].values())
    return bool(_BAD & {*told["secrets"].values(), *keys}) or keys == {"expired"}


def _states(states: Mapping[str, str]) -> Text:
    shown = ", ".join(name if state in ("set", "live") else f"{name} ({state})" for name, state in states.items())
    return styled("failed" if _BAD & set(states.values()) else "", shown)


def policies(
    file: _PoliciesArgument = None, destinations: DestinationsOption = None, form: FormatOption = "text"
) -> None:
    """Check policies.yaml, and show its quiet hours, holdout and caps.

    With a destinations.yaml, also report names that are neither a channel nor a destination. The exit status is 1 if
    the file has an error. JSON has the keys findings and policies.
    """
    from scenario.policies.draw import percent
    from scenario.policies.policies import examine

    def tell(found: Policies) -> None:
        for hours in found.quiet_hours:
            say(f"quiet hours  {hours.words}")
        if found.holdout:
            share = percent(found.holdout.share)
            say(f"holdout      {share} % of all contacts get no marketing, drawn by {found.holdout.seed}")
        for cap in found.caps:
            say(f"cap          {cap.name}: {cap.words}, {', '.join(cap.channels) if cap.channels else 'all messages'}")

    found = check_file("policies", examine, file, destinations, form, tell)
    if not (found.quiet_hours or found.holdout or found.caps):
        note("nothing is set: no quiet hours, no holdout, no caps")


def check_file(
    kind: Literal["outgoing", "policies"],
    examine: Callable[[bytes, str, Collection[str] | None], tuple[Sequence[Finding], _Content | None]],
    file: Path | None,
    destinations: Path | None,
    form: Format,
    show: Callable[[_Content], object],
) -> _Content:
    """Print the findings about a file and, by `show`, its content. Exit with status 1 if it has an error."""
    from runtime.settings import Settings

    path = _chosen(file, getattr(Settings(), kind), kind)
    known = known_in(destinations)
    findings, found = examine(_content(path, kind), str(path), known and known.destinations)
    if form == "json":
        told = found and found.model_dump(mode="json", by_alias=True, exclude_none=True)
        dump({"findings": findings, kind: told})
    else:
        for finding in findings:
            say(str(finding))
        if found:
            show(found)
    if found is None:
        raise typer.Exit(1)
    return found
