"""Commands for the keys of the HTTP API and the pages: keys create, list, revoke."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from gateway.cli import session
from gateway.cli.options import Format, FormatOption, a_second, login, one_of, record
from gateway.cli.output import Table
from gateway.terminal import dump, local, note, say, styled
from runtime.api_keys import SCOPES
from scenario.errors import DurationError
from scenario.time import parse_duration

if TYPE_CHECKING:
    from gateway.service.caller import KeyView
    from runtime.store import Store

_SCENARIO: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def _name(text: str) -> str:
    if not _SCENARIO.fullmatch(text):
        raise typer.BadParameter("name a scenario without its version, such as post-purchase")
    return text


def _expiry(text: str) -> datetime:
    """Parse a duration from now (``90d``), or an ISO 8601 date with or without a time, in this machine's time zone."""
    now = datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text.strip()).astimezone(UTC)
    except (ValueError, OverflowError):
        try:
            moment = now + parse_duration(text)
        except (DurationError, OverflowError):
            raise typer.BadParameter(f"'{text}' is neither a date nor a duration: write 2027-03-31 or 90d") from None
    if moment <= now:
        raise typer.BadParameter(f"'{text}' is in the past: give a later time")
    return moment


def create(
    scopes: Annotated[
        list[Any],
        typer.Option("--scope", metavar="SCOPE", parser=one_of(SCOPES), help="a scope, see above; again for more"),
    ],
    scenario: Annotated[
        list[str] | None, typer.Option(metavar="NAME", parser=_name, help="only for this scenario; again for more")
    ] = None,
    expires: Annotated[
        datetime | None, typer.Option(metavar="DURATION|DATE", parser=_expiry, help="when it ends: 90d, or 2027-03-31")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(metavar="N/s", parser=a_second, help="requests a second: 500/s; by default 200/s")
    ] = None,
    note_: Annotated[
        str | None, typer.Option("--note", metavar="TEXT", parser=record, help="a note, such as its purpose")
    ] = None,
) -> None:
    """Create a key and print it. It is shown only once: the store keeps only its hash.

    Scopes: enter admits contacts, events reports events and changes, read reads, content shows what was sent, operate
    operates journeys, publish publishes scenarios, erase erases contacts, decode decrypts data in Temporal's UI. The
    pages need read, and operate for changes.
    """
    from gateway.service.caller import KeyService

    async def make(store: Store) -> tuple[str, KeyView]:
        keys = KeyService(store)
        return await keys.create(scopes, scenario, by=login(), rate=rate, note=note_ or "", expires_at=expires)

    token, key = session.ask_store(make, writes=True)
    say(token)
    note(f"key {key.id} is shown this once: keep it where secrets are kept")


def listing(form: FormatOption = Format.TEXT) -> None:
    """List keys, newest first, with their scopes and state.

    JSON is a list of objects with id, state (good, expired or revoked), scopes, scenarios, rate, note, created_at,
    created_by, expires_at and revoked_at.
    """
    from gateway.service.caller import KeyService

    found = session.ask_store(lambda store: KeyService(store).all())
    if form is Format.JSON:
        dump(found)
        return
    if not found:
        note("there are no keys: 'scenario keys create' makes one")
        return
    columns = ("id", "state", "scopes", "scenarios", "rate", "made (local)", "by", "ends (local)", "note")
    rows = Table(*columns, right=("rate",), prose=("scopes", "scenarios", "note"))
    for key in found:
        rate = "" if key.rate is None else f"{key.rate:g}/s"
        what = " ".join(key.scopes), " ".join(key.scenarios) if key.scenarios is not None else "all"
        state, ends = styled(_STYLED[key.state], key.state), local(key.revoked_at or key.expires_at)
        rows.add(key.id, state, *what, rate, local(key.created_at), key.created_by, ends, key.note)
    rows.show()


def revoke(
    identifier: Annotated[str, typer.Argument(metavar="ID", help="the key's id, as 'scenario keys list' shows it")],
) -> None:
    """Revoke a key. It stops working within seconds. This cannot be undone: create another key instead."""
    from gateway.service.caller import KeyService

    name, done = session.ask_store(lambda store: KeyService(store).revoke(identifier), writes=True)
    say(f"key {name} {'is revoked' if done else 'was revoked already'}")


_STYLED: Final = {"good": "running", "expired": "skipped", "revoked": "skipped"}
