"""The command that compares the store with Temporal: scenario store reconcile."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli import session
from gateway.cli.options import Format, FormatOption, SinceOption, login, moment
from gateway.cli.progress import progress
from gateway.terminal import dump, local, note, say

if TYPE_CHECKING:
    from gateway.reconcile.finding import Finding, Reconciliation

RepairOption = Annotated[bool, typer.Option("--repair", help="repair what differs")]
VerboseOption = Annotated[
    bool, typer.Option("--verbose", help="list every difference, not only those that need somebody")
]
SentSinceOption = Annotated[
    datetime | None,
    typer.Option(
        "--sent-since",
        metavar="TIME|DURATION",
        parser=moment,
        help="also find journeys that would repeat deliveries made since then",
    ),
]
RateOption = Annotated[float, typer.Option("--rate", metavar="N", min=1, help="calls to Temporal a second at most")]


def reconcile(
    repair: RepairOption = False,
    since: SinceOption = None,
    sent_since: SentSinceOption = None,
    rate: RateOption = 200.0,
    verbose: VerboseOption = False,
    form: FormatOption = Format.TEXT,
) -> None:
    """Compare the store with Temporal after either was restored from a backup.

    Without --repair nothing is changed. With it, journeys that Temporal has lost end as 'lost', journeys that the store
    has lost are written back, ends are corrected, journeys that are over in the store are terminated, and erased
    contacts are erased again. Acknowledged entries that Temporal has lost are listed and forgotten: send them again.
    Nothing is sent. It may be interrupted, repeated, and run beside workers and gateways. Journeys that have ended are
    compared from --since on, by default for the last day.

    After a restore of Temporal, give --sent-since the time of its backup, before a worker starts: journeys that would
    send again what they have delivered since then are terminated.

    JSON is one object a line: a difference, with kind, id, run, store, temporal, repaired and trouble; at the end the
    sum, with namespace, repair, since, running_in_store, running_in_temporal, ended_in_temporal, counts, repaired,
    missing_versions and not_compared. The exit status is 1 if a difference is left.
    """
    from gateway.reconcile.finding import Kind
    from gateway.reconcile.reconcile import Reconciler

    def tell(found: Finding) -> None:
        if form is Format.JSON:
            dump(found.model_dump(mode="json"), indent=None)
        elif verbose or found.trouble or found.kind is Kind.UNADMITTED:
            stands = f"{found.store or 'none'} in the store, {found.temporal or 'none'} in Temporal"
            say(f"{found.kind.value}: {found.id}: {found.trouble or stands}")

    async def work() -> Reconciliation:
        async with session.connected() as client:
            with progress("comparing", None) as told:
                reconciler = Reconciler(
                    client,
                    repair=repair,
                    since=since,
                    sent_since=sent_since,
                    rate=rate,
                    operator=login(),
                    found=tell,
                    told=told,
                )
                return await reconciler.run()

    result = asyncio.run(work())
    if form is Format.JSON:
        dump(result.model_dump(mode="json"), indent=None)
    else:
        _sum_up(result)
    if not result.is_clean:
        raise typer.Exit(1)


def _sum_up(result: Reconciliation) -> None:
    from gateway.reconcile.finding import MEANINGS

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
    for missing in result.missing_versions:
        say(f"{missing.version} is not in the store, and {missing.journeys:,} journeys follow it: publish it again")
    if not result.counts and not result.missing_versions:
        say("nothing differs")
        return
    if left := sum(result.counts.values()) - sum(result.repaired.values()) if result.repair else 0:
        note(f"scenario: {left:,} were not repaired: each is listed with the reason")
    if not result.repair:
        note("scenario: nothing was changed: --repair repairs what differs")
    note("scenario: for what neither side knows, see 'After a loss' in docs/run/store.md")
