"""The command for encryption keys: scenario encryption rotate."""

from __future__ import annotations

import asyncio

from gateway.cli import session
from gateway.terminal import say


def rotate() -> None:
    """Encrypt all contacts' keys with the newest of SCENARIO_ENCRYPTION_KEYS, so that older keys can be removed.

    Encrypted data stays as it is. The command can be repeated, and workers keep running. First put the new key in
    front of the others everywhere, and restart workers and gateways. If a running process does not know the new key,
    the command names it and does nothing. Remove the old key when the command says that nothing uses it any more.
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
