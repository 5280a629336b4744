"""Commands for the store and its keys: store upgrade, claim and reconcile, prune, encryption rotate, and API keys."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import session
from cli.options import (
    FormatOption,
    SinceOption,
    a_second,
    argument,
    flag,
    grouped,
    login,
    moment,
    one_of,
    option,
    record,
)
from cli.output import Table, output, progress
from cli.terminal import dump, local, note, say, styled
from runtime.api_keys import SCOPES
from scenario.errors import DurationError
from scenario.time import parse_duration

if TYPE_CHECKING:
    from runtime.retention import Ages
    from runtime.store import Store
    from service.client import ScenarioClient
    from service.keys import KeyView
    from service.reconcile.reconcile import Discrepancy, Reconciliation


def upgrade() -> None:
    """Create the tables of the store SCENARIO_STORE, or bring them up to this release.

    Only this command creates a store, except that of `scenario dev`. Workers upgrade tables when they start. Run it
    separately to use other database rights, or before workers are replaced. It can be repeated, and run
    concurrently. An upgrade cannot be undone.
    """

    async def do() -> str:
        async with session.stored(migrate=True, make=True) as store:
            return store.name

    say(f"the store {asyncio.run(do())} has the tables of this release")


def reconcile(
    repair: Annotated[bool, flag("--repair", "repair what differs")] = False,
    since: SinceOption = None,
    sent_since: Annotated[
        datetime | None, option("TIME|DURATION", "also find journeys that would repeat later deliveries", parser=moment)
    ] = None,
    rate: Annotated[float, option("N", "calls to Temporal a second at most", min=1)] = 200.0,
    verbose: Annotated[bool, flag("--verbose", "list every difference, not only those that need attention")] = False,
    form: FormatOption = "text",
) -> None:
    """Compare the store with Temporal after either was restored from a backup.

    Without --repair nothing is changed. With it, journeys that Temporal has lost end as 'lost', journeys that the store
    has lost are written back, ends are corrected, journeys that have ended in the store are terminated, and erased
    contacts are erased again. Acknowledged entries that Temporal has lost are listed and forgotten: send them again.
    Nothing is sent. It may be interrupted, repeated, and run beside workers and gateways. Journeys that have ended are
    compared from --since on, by default for the last day.

    After a restore of Temporal, give --sent-since the time of its backup, before a worker starts: journeys that would
    repeat deliveries made since then are terminated.

    Erased contacts and suppressed addresses of the journal that the store lacks are counted, and added by --repair.

    JSON is one object a line: a difference, with kind, id, run, store, temporal, repaired and trouble; at the end the
    sum, with namespace, repair, since, running_in_store, running_in_temporal, ended_in_temporal, counts, repaired,
    missing_versions, forgotten and not_compared. The exit status is 1 if a difference is left.
    """
    from service.reconcile.reconcile import Kind, Reconciler

    def tell(found: Discrepancy) -> None:
        if form == "json":
            dump(found.model_dump(mode="json"), indent=None)
        elif verbose or found.trouble or found.kind is Kind.UNADMITTED:
            stands = f"{found.store or 'none'} in the store, {found.temporal or 'none'} in Temporal"
            say(f"{found.kind.value}: {found.id}: {found.trouble or stands}")

    async def compare(client: ScenarioClient) -> Reconciliation:
        with progress("comparing", None) as told:
            which: dict[str, Any] = {"repair": repair, "since": since, "sent_since": sent_since, "rate": rate}
            return await Reconciler(client, **which, operator=login(), found=tell, told=told).run()

    result = session.ask(compare)
    if form == "json":
        dump(result.model_dump(mode="json"), indent=None)
    else:
        _tell_reconciled(result)
    if not result.is_clean:
        raise typer.Exit(1)


def _tell_reconciled(result: Reconciliation) -> None:
    from service.reconcile.reconcile import MEANINGS

    say(
        f"compared {result.running_in_store:,} running journeys of the store, {result.running_in_temporal:,} of "
        f"Temporal's namespace {result.namespace}, and {result.ended_in_temporal:,} that have ended there since "
        f"{local(result.since)}"
    )
    for kind, meaning in MEANINGS.items():
        number, done = result.counts.get(kind, 0), result.repaired.get(kind, 0)
        if done:
            say(f"{number:,} {meaning.what}: {meaning.repair if done == number else f'{done:,} {meaning.repair}'}")
        elif number:
            say(f"{number:,} {meaning.what}")
    if result.forgotten and result.repair:
        say(f"{result.forgotten:,} erased contacts and suppressed addresses of the journal: added to the store")
    elif result.forgotten:
        say(f"{result.forgotten:,} erased contacts and suppressed addresses of the journal are not in the store")
    for missing in result.missing_versions:
        say(f"{missing.version} is not in the store, and {missing.journeys:,} journeys follow it: publish it again")
    if not (result.counts or result.missing_versions or result.forgotten):
        say("nothing differs")
        return
    left = sum(result.counts.values()) - sum(result.repaired.values())
    if result.repair and left:
        note(f"scenario: {left:,} were not repaired: each is listed with the reason")
    if not result.repair:
        note("scenario: nothing was changed: --repair repairs what differs")
    note("scenario: for what neither side knows, see 'After a loss' in docs/run/store.md")


def rotate() -> None:
    """Encrypt all contacts' keys with the newest of SCENARIO_ENCRYPTION_KEYS, so that older keys can be removed.

    Encrypted data stays unchanged. The command can be repeated, and workers keep running. First put the new key in
    front of the others everywhere, and restart workers and gateways. If a running process does not know the new key,
    the command names it and does nothing. Remove the old key when the command reports that no key needs it.
    """
    from runtime.encryption.codec import rotate as run
    from runtime.encryption.keyring import KeyWrapping
    from runtime.errors import SettingsError
    from runtime.settings import Settings

    wrapping = KeyWrapping.configured(Settings())
    if wrapping is None:
        raise SettingsError("nothing is encrypted: SCENARIO_ENCRYPTION_KEYS is not set")

    done, before = session.ask_store(lambda store: run(store, wrapping), writes=True)
    say(f"{done} keys of contacts wrapped again, {before} had been already: no key needs an older one")


@dataclass(frozen=True, kw_only=True)
class _RetentionOptions:
    """The minimum ages of the data to delete."""

    deliveries: Annotated[str | None, option("AGE", "attempts, by when they began")] = None
    responses: Annotated[str | None, option("AGE", "responses of receivers; the attempts stay")] = None
    entries: Annotated[str | None, option("AGE", "journeys, by when they ended")] = None
    claims: Annotated[str | None, option("AGE", "places under caps; 92d without it")] = None
    passages: Annotated[str | None, option("AGE", "people per step and hour")] = None
    operations: Annotated[str | None, option("AGE", "ended operations on many journeys")] = None


_LONG = 5.0  # seconds. A longer pause is reported
DryRunOption = Annotated[bool, flag("--dry-run", "report the numbers, and delete nothing")]


@grouped
def prune(*, given: _RetentionOptions, dry_run: DryRunOption = False, form: FormatOption = "text") -> None:
    """Delete old data from the store in small batches, while journeys run.

    An AGE is 30d, 26w or 2y. The defaults are those of SCENARIO_RETENTION. Some data has a fixed retention: counts for
    caps 92 days, soft bounces 30 days, answers to requests with an Idempotency-Key one day. Running journeys stay, and
    so do those that 'again:' of a published version needs. Ctrl-C stops between two batches; run it again to continue.
    """
    from runtime.store.retention import VACUUM, Pruner

    ages = _retention_ages(given)
    rows = Counter[str]()
    is_over = False

    async def work() -> tuple[str, ...]:
        async with session.stored(writes=True) as store:
            pruning, now = Pruner(store), datetime.now(UTC)
            if dry_run:
                agenda = await pruning.agenda(ages, now)
                for job in agenda.jobs:
                    rows[job.table] += await store.old(job)
                return agenda.kept
            with progress("deleting", None, lambda: f"{rows.total():,} rows"):
                return (await pruning.run(ages, now, told=told, paused=paused)).kept

    def told(table: str, deleted: int) -> None:
        rows[table] += deleted

    def paused(seconds: float) -> None:
        if seconds >= _LONG:
            note(f"scenario: the last batch took long: pausing for {seconds:.0f} s so that others can use the store")

    kept: tuple[str, ...] = ()
    try:
        kept = asyncio.run(work())
        is_over = True
    finally:
        if not (is_over or rows):
            pass  # it never began: the error says why
        elif form == "json":
            dump({"rows": rows, "dry_run": dry_run, "finished": is_over, "kept": kept, "vacuum": VACUUM})
        else:
            _tell_pruned(rows, kept, dry_run=dry_run, is_over=is_over)


def _tell_pruned(rows: Counter[str], kept: tuple[str, ...], *, dry_run: bool, is_over: bool) -> None:
    from runtime.store.retention import VACUUM

    what = ", ".join(f"{n:,} {table.replace('_', ' ')}" for table, n in rows.items() if n)
    if not what:
        say("nothing is old enough")
    else:
        say(f"{what}: nothing was deleted" if dry_run else f"deleted {what}")
    for sentence in kept:
        note(f"scenario: {sentence}")
    if not is_over:
        note("scenario: stopped: run it again to go on")
    elif what and not dry_run:
        note(f"scenario: {VACUUM}")


def _retention_ages(given: _RetentionOptions) -> Ages:
    from runtime.retention import RetentionError, parse_age, parse_ages
    from runtime.settings import Settings

    said = {field.name: text for field in fields(given) if (text := getattr(given, field.name)) is not None}
    if not said:
        configured = Settings().retention
        return parse_ages(configured) if configured else {}
    try:
        return {what: parse_age(what, text) for what, text in said.items()}
    except RetentionError as error:
        raise typer.BadParameter(str(error)) from None


def _scenario_name(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", text):
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


def create_key(
    scopes: Annotated[
        list[Any], option("SCOPE", "a scope, see above; again for more", "--scope", parser=one_of(SCOPES))
    ],
    scenario: Annotated[
        list[str] | None, option("NAME", "only for this scenario; again for more", parser=_scenario_name)
    ] = None,
    expires: Annotated[
        datetime | None, option("DURATION|DATE", "when it ends: 90d, or 2027-03-31", parser=_expiry)
    ] = None,
    rate: Annotated[float | None, option("N/s", "requests a second: 500/s; by default 200/s", parser=a_second)] = None,
    note_: Annotated[str | None, option("TEXT", "a note, such as its purpose", "--note", parser=record)] = None,
) -> None:
    """Create a key and print it. It is shown only once: the store keeps only its hash.

    Scopes: enter admits contacts, events reports events and changes, providers reports (with events) the names in
    SCENARIO_TRUSTED_EVENTS, read reads, content shows what was sent, operate operates journeys, publish publishes
    scenarios, erase erases contacts, decode decrypts data in Temporal's UI. The pages need read, and operate for
    changes.
    """
    from service.keys import KeyService

    async def make(store: Store) -> tuple[str, KeyView]:
        keys = KeyService(store)
        return await keys.create(scopes, scenario, by=login(), rate=rate, note=note_ or "", expires_at=expires)

    token, key = session.ask_store(make, writes=True)
    say(token)
    note(f"key {key.id} is shown this once: keep it where secrets are kept")


def list_keys(form: FormatOption = "text") -> None:
    """List keys, newest first, with their scopes and state.

    JSON is a list of objects with id, state (good, expired or revoked), scopes, scenarios, rate, note, created_at,
    created_by, expires_at and revoked_at.
    """
    from service.keys import KeyService

    def tell(found: list[KeyView]) -> None:
        columns = ("id", "state", "scopes", "scenarios", "rate", "made (local)", "by", "ends (local)", "note")
        rows = Table(*columns, right=("rate",), prose=("scopes", "scenarios", "note"))
        for key in found:
            rate = "" if key.rate is None else f"{key.rate:g}/s"
            what = " ".join(key.scopes), " ".join(key.scenarios) if key.scenarios is not None else "all"
            state = styled("running" if key.state == "good" else "skipped", key.state)
            made, ends = local(key.created_at), local(key.revoked_at or key.expires_at)
            rows.add(key.id, state, *what, rate, made, key.created_by, ends, key.note)
        rows.show("there are no keys: 'scenario keys create' makes one")

    output(session.ask_store(lambda store: KeyService(store).all()), form, tell)


def revoke_key(identifier: Annotated[str, argument("ID", "the key's id, as 'scenario keys list' shows it")]) -> None:
    """Revoke a key. It stops working within seconds. This cannot be undone: create another key instead."""
    from service.keys import KeyService

    name, done = session.ask_store(lambda store: KeyService(store).revoke(identifier), writes=True)
    say(f"key {name} {'is revoked' if done else 'was revoked already'}")
