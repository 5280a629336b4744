"""The command about the keys of encryption: scenario encryption rotate."""

from __future__ import annotations

import asyncio

from gateway.cli import session
from gateway.terminal import say


def rotate() -> None:
    """Wrap all contacts' keys anew by the newest of SCENARIO_ENCRYPTION_KEYS, so that older ones can be taken away.

    What is encrypted stays as it is. Repeatable; workers go on meanwhile. First add the new key in front of the
    others everywhere, and restart workers and gateways: a running one that does not know the key is named, and
    nothing is done. Take the old key away when this command has said that none is left.
    """
    from runtime.encryption.opening import rotate as run
    from runtime.encryption.wrapping import KeyWrapping
    from runtime.errors import SettingsError
    from runtime.settings import Settings

    wrapping = KeyWrapping.configured(Settings())
    if wrapping is None:
        raise SettingsError("nothing is encrypted: SCENARIO_ENCRYPTION_KEYS is not set")

    async def do() -> tuple[int, int]:
        async with session.stored(writes=True) as store:
            return await run(store, wrapping)

    done, before = asyncio.run(do())
    say(f"{done} keys of contacts wrapped anew, {before} were so before: none is left that needs an older key")
