"""The command that checks `destinations.yaml` and lists its contents and missing secrets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from gateway.cli.layout import Table
from gateway.cli.options import Format, FormatOption
from gateway.terminal import console, dump, local, note, say, styled

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from activities.webhook.destinations.destinations import Destination, Destinations
    from scenario.http.destinations import Listing

DestinationsOption = Annotated[
    Path | None,
    typer.Option(
        "--destinations",
        metavar="FILE",
        envvar="SCENARIO_DESTINATIONS",
        help="destinations.yaml, to find what does not go with it",
    ),
]
_FileArgument = Annotated[
    Path | None, typer.Argument(metavar="[FILE]", help="destinations.yaml; by default SCENARIO_DESTINATIONS")
]
_NowOption = Annotated[
    bool, typer.Option("--now", help="which destinations are left alone at the moment, and how many deliveries wait")
]
_BAD: Final = {"missing", "malformed"}


def known_in(path: Path | None) -> Listing | None:
    """Return the names and headers of a file's destinations, or None without a file: they are then unknown.

    Raises:
        BadInput: The file cannot be read.
        UnusableFile: The file has errors.
    """
    return book_in(path).listing if path is not None and path != Path() else None  # an empty variable is one not set


def book_in(path: Path) -> Destinations:
    """Read the destinations of a file.

    Raises:
        BadInput: The file cannot be read.
        UnusableFile: The file has errors.
    """
    from activities.webhook.destinations.reading import read

    _require(path)
    return read(path)


def _require(path: Path) -> None:
    """Check that a file can be read. The worker's own message would name the environment variable."""
    from gateway.errors import unreadable

    try:
        path.open("rb").close()
    except OSError as error:
        advice = "name another destinations.yaml, here or with SCENARIO_DESTINATIONS"
        raise unreadable(path, error, advice) from None


def destinations(file: _FileArgument = None, now: _NowOption = False, form: FormatOption = Format.TEXT) -> None:
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
        _show_now(form)
        return
    from activities.webhook.destinations.reading import examine
    from gateway.errors import BadInput
    from runtime.secrets import Secrets
    from runtime.settings import Settings

    settings = Settings()
    path = file or settings.destinations
    if path is None:
        raise BadInput("there is no file to look at: name one, or set SCENARIO_DESTINATIONS")
    _require(path)
    findings, book = examine(path)
    secrets = Secrets(settings).all() if book else {}
    anywhere = _set(book.public_secrets, secrets) if book else {}
    listed = {name: _described(found, secrets) for name, found in book.destinations.items()} if book else {}
    if form is Format.JSON:
        dump(
            {
                "findings": [finding.as_json() for finding in findings],
                "default": {**_gentle(book.rate, book), "granted": anywhere} if book else None,
                "destinations": [{"name": name, **told} for name, told in listed.items()],
            }
        )
    else:
        for finding in findings:
            say(str(finding))
        if book:
            _show(book, listed, anywhere)
            _note_short(book, secrets)
    if book is None:
        raise typer.Exit(1)


def _show_now(form: Format) -> None:
    from gateway.cli import session

    found = session.ask(lambda client: client.destinations_now())
    if form is Format.JSON:
        dump(found)
        return
    rows = Table("destination", "now", "waiting", "next try (local)", "why", right=("waiting",), prose=("why",))
    for item in found:
        state = styled("held", "left alone") if item.left_alone else styled("retry", "tried again")
        rows.add(item.destination, state, item.waiting, local(item.next_try_at), item.why)
    if rows:
        rows.show(console())
    else:
        note("no delivery is to be tried again: no destination is left alone, as far as is known")


def _described(found: Destination, secrets: Mapping[str, str]) -> dict[str, Any]:
    from scenario.http.urls import parse

    return {
        "host": parse(found.rendered_url(dict.fromkeys(found.url_secrets, "x")), found.access).origin,
        **_gentle(found.rate, found),
        "timeout": found.timeout,
        "retry": dict(found.retry),
        "private": found.access.allow_private or bool(found.access.allow_cidr),
        "secrets": _set((*found.url_secrets, *found.header_secrets), secrets),
        "granted": _set(found.secrets, secrets),
        "owners": None if found.owners is None else sorted(found.owners),
        "signing": _keys(found, secrets),
    }


def _set(names: Iterable[str], secrets: Mapping[str, str]) -> dict[str, str]:
    return {name: "set" if secrets.get(name) else "missing" for name in names}


def _keys(found: Destination, secrets: Mapping[str, str]) -> dict[str, str]:
    """Return the state of every signing key, by the name of its secret."""
    from datetime import UTC, datetime

    from activities.webhook.signing import Key, SigningKeyError

    states: dict[str, str] = {}
    for signer in found.signing:
        value = secrets.get(signer.secret)
        if signer.until is not None and signer.until <= datetime.now(UTC):
            states[signer.secret] = "expired"
        elif not value:
            states[signer.secret] = "missing"
        else:
            try:
                Key.parse(value)
            except SigningKeyError:
                states[signer.secret] = "malformed"
            else:
                states[signer.secret] = f"live until {signer.until.isoformat()}" if signer.until else "live"
    return states


def _gentle(rate: float, place: Destinations | Destination) -> dict[str, Any]:
    from dataclasses import asdict

    breaker = place.limits.breaker
    return {"rate": rate, "concurrency": place.limits.concurrency, "breaker": asdict(breaker) if breaker else None}


def _show(book: Destinations, listed: Mapping[str, Mapping[str, Any]], anywhere: Mapping[str, str]) -> None:
    headings = ("destination", "host", "rate", "at once", "breaker", "secrets", "granted", "signing")
    made = Table(*headings, right=("rate", "at once"), prose=("secrets", "granted", "signing"))
    rows: list[tuple[str, str, Mapping[str, Any]]] = [(name, told["host"], told) for name, told in listed.items()]
    rows.append(("(any other)", "", {**_gentle(book.rate, book), "secrets": {}, "granted": anywhere, "signing": {}}))
    for name, host, told in rows:
        states = [_states(told[column]) for column in ("secrets", "granted", "signing")]
        cells = [styled("failed" if bad else "", shown) for shown, bad in states]
        breaker = f"trips at {told['breaker']['failures']:.0%}" if told["breaker"] else "off"
        made.add(name, host, f"{told['rate']:g}/s", told["concurrency"], breaker, *cells)
    made.show(console())
    lacking = sorted(name for name, told in listed.items() if _is_lacking(told))
    if lacking:
        note(f"deliveries to {', '.join(lacking)} are held where the worker's secrets are as here")


def _note_short(book: Destinations, secrets: Mapping[str, str]) -> None:
    """Print which secrets are too short to be masked reliably in responses."""
    from activities.redaction import SHORT, short

    used = {
        name
        for found in book.destinations.values()
        for name in (*found.url_secrets, *found.header_secrets, *found.secrets)
    }
    if names := short({name: value for name, value in secrets.items() if name in used}):
        note(
            f"{', '.join(names)}: shorter than {SHORT} characters, and masked in responses only as a separate word; "
            "use a longer secret"
        )


def _is_lacking(told: Mapping[str, Any]) -> bool:
    """Return whether the next delivery needs a missing secret, or all its signing keys have expired."""
    keys = set(told["signing"].values())
    return bool(_BAD & {*told["secrets"].values(), *keys}) or keys == {"expired"}


def _states(states: Mapping[str, str]) -> tuple[str, bool]:
    shown = ", ".join(name if state in ("set", "live") else f"{name} ({state})" for name, state in states.items())
    return shown, bool(_BAD & set(states.values()))
