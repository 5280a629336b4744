"""Commands for the store itself: scenario store upgrade and claim."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from gateway.cli import session
from gateway.cli.options import login, operator_name, record
from gateway.errors import BadInput
from gateway.terminal import say

_ForceOption = Annotated[bool, typer.Option("--force", help="move the namespace to this store")]
_ReasonOption = Annotated[
    str | None, typer.Option("--reason", metavar="TEXT", parser=record, help="with --force: why, for the record")
]
_OperatorOption = Annotated[
    str | None,
    typer.Option("--operator", metavar="NAME", parser=operator_name, help="with --force: who; by default your login"),
]


def upgrade() -> None:
    """Create the tables of the store SCENARIO_STORE, or bring them up to this release.

    Only this command creates a store, except that of `scenario dev`. Workers upgrade tables when they start. Run it
    separately to use other database rights, or before workers are replaced. It can be repeated, and run several times
    at once. An upgrade cannot be undone.
    """

    async def do() -> str:
        async with session.stored(migrate=True, make=True) as store:
            return store.name

    say(f"the store {asyncio.run(do())} has the tables of this release")


def claim(force: _ForceOption = False, reason: _ReasonOption = None, operator: _OperatorOption = None) -> None:
    """Check that the Temporal namespace belongs to the store SCENARIO_STORE, or move it there by --force.

    A namespace belongs to the store whose worker used it first. Workers, gateways and commands with any other store, a
    copy or a restored backup among them, refuse to work. After a deliberate restore, or a move to another database,
    stop all workers, then run this with --force and --reason. After a restore, workers start last: see 'After a loss'
    in docs/run/store.md.
    """
    if force and not reason:
        raise BadInput("--force needs --reason: it is kept with the claim")
    say(asyncio.run(_claim(force, operator or login(), reason or "")))


async def _claim(force: bool, operator: str, reason: str) -> str:
    from runtime.connection import connect
    from runtime.identity.identity import StoreIdentity

    session.quieten()
    temporal = await connect(role="scenario", patience=session.PATIENCE)
    async with session.stored() as store:
        identity, space = StoreIdentity(temporal, store), temporal.namespace
        if force:
            await identity.claim(by=operator, reason=reason)
            return (
                f"the namespace {space} belongs to the store {store.name} now: start the workers or, if one of the two "
                "was restored, first follow 'After a loss' in docs/run/store.md, else messages may be sent again"
            )
        await identity.verify()
        found = await store.namespace_claim(space)
        if found is None:
            return f"the namespace {space} belongs to no store yet: the first worker claims it"
        why = f", {found.reason}" if found.reason else ""
        by = f"claimed at {found.claimed_at[:16]} by {found.claimed_by}"
        return f"the namespace {space} belongs to the store {store.name}, {by}{why}"
