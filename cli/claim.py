"""The command `scenario store claim`, which brings a restored store up to date and moves a namespace to it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

from authoring.errors import BadInput
from cli import session
from cli.options import OperatorOption, flag, login, option, record
from cli.terminal import local, say

if TYPE_CHECKING:
    from activities.journal.replay import Replay

_ForceOption = Annotated[bool, flag("--force", "move the namespace to this store")]
_SkipOption = Annotated[bool, flag("--skip-journal", "with --force: claim without the journal, if it is lost")]
_ReasonOption = Annotated[str | None, option("TEXT", "with --force: reason to record", parser=record)]


def claim(
    force: _ForceOption = False,
    reason: _ReasonOption = None,
    operator: OperatorOption = None,
    skip_journal: _SkipOption = False,
) -> None:
    """Check that the Temporal namespace belongs to the store SCENARIO_STORE, or move it there by --force.

    A namespace belongs to the first store that a worker used with it. Workers, gateways and commands with any other
    store, such as a copy or a restored backup, refuse to work. After a deliberate restore, or a move to another
    database, stop all workers and gateways, then run this with --force and --reason. After a restore, workers start
    last: see 'After a loss' in docs/run/store.md.

    Before the namespace is moved, the entries of the journal that the store lacks are added to it: erasures,
    suppressions, unsubscriptions, their removals, and closings of scenarios. It may be interrupted and repeated.
    """
    if force and not reason:
        raise BadInput("--force needs --reason: it is kept with the claim")
    say(asyncio.run(_claim(force, operator or login(), reason or "", skip_journal)))


async def _claim(force: bool, operator: str, reason: str, skip_journal: bool) -> str:
    from activities.journal.journal import Journal
    from activities.journal.replay import replay
    from runtime.connection import connect
    from runtime.identity import StoreIdentity
    from runtime.settings import Settings

    session.quieten()
    temporal = await connect(role="scenario", patience=session.PATIENCE)
    async with session.stored() as store:
        identity, space = StoreIdentity(temporal, store), temporal.namespace
        if force:
            journal = Journal.configured(Settings(), temporal, store)
            if skip_journal:
                await journal.skip()
            else:
                _tell_replayed(await replay(journal), journal.place.name)
            await identity.claim(by=operator, reason=reason)
            return (
                f"the namespace {space} belongs to the store {store.name} now: start the workers or, if one of the two "
                "was restored, first follow 'After a loss' in docs/run/store.md, otherwise messages may be sent again"
            )
        await identity.verify()
        found = await store.namespace_claim(space)
        if found is None:
            return f"the namespace {space} belongs to no store yet: the first worker claims it"
        why = f", {found.reason}" if found.reason else ""
        by = f"claimed at {found.claimed_at[:16]} by {found.claimed_by}"
        return f"the namespace {space} belongs to the store {store.name}, {by}{why}"


def _tell_replayed(done: Replay, place: str) -> None:
    counts = {
        "erased contacts": done.erased,
        "suppressions": done.suppressed,
        "removed suppressions": done.unsuppressed,
        "closed or opened scenarios": done.scenarios,
    }
    what = ", ".join(f"{number:,} {words}" for words, number in counts.items() if number) or "no change"
    say(f"added {done.entries:,} entries of the journal {place} to the store: {what}")
    if done.again:
        say(f"{done.again:,} of the erased contacts are in the store: workers erase them again")
    if done.last_at is not None:
        say(
            f"the last entry is of {local(done.last_at)}: suppressions of the minute before the store was lost may be "
            "missing, so import what your platform has"
        )
    for file in done.imports:
        say(f"import again: {file}")
    for first, last in done.gaps:
        say(f"the journal lacks the entries {first:,} to {last:,}: what they held is unknown")
    if done.unmatched:
        say(f"{done.unmatched:,} erasures cannot be repeated: their key is neither in the store nor in the journal")
    if done.store_only:
        say(f"the journal has lost its last {done.store_only:,} entries, which only the store has: back it up now")
