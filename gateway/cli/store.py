"""The command about the store's tables: scenario store upgrade."""

from __future__ import annotations

import asyncio

from gateway.cli import session
from gateway.terminal import say


def upgrade() -> None:
    """Make the tables of the store SCENARIO_STORE, or bring them up to this release, and end.

    Workers do so by themselves when they start. Apart, it can be done with other rights, and before any of them is
    replaced. Repeatable, by several at once; there is no way back.
    """

    async def do() -> str:
        async with session.stored(migrate=True) as store:
            return store.name

    say(f"the store {asyncio.run(do())} has the tables of this release")
