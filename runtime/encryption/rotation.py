"""Wraps contacts' keys anew, by the settings' newest key.

Whoever then destroys the older one makes unreadable what was erased before, in copies of the store, too: the keys in
those are wrapped by it.
"""

from __future__ import annotations

from datetime import UTC, datetime

from runtime.encryption.wrapping import Wrapping, read_plain
from runtime.errors import SettingsError
from runtime.store import Store
from runtime.store.contact_keys import WrappedKey

_TOGETHER = 500


async def rotate(store: Store, wrapping: Wrapping) -> tuple[int, int]:
    """Wraps every key anew that another than the newest has wrapped.

    May be stopped and run again. A key that is made or destroyed meanwhile is in nobody's way.

    Returns:
        How many were wrapped anew, and how many needed it no more.

    Raises:
        SettingsError: A key that wrapped one is not among those of the settings, or a running process does not know
            the newest key: it could not decrypt any more.
    """
    newest = wrapping.names[0]
    if lacking := [
        holder.process for holder in await store.key_holders(datetime.now(UTC)) if newest not in holder.keys
    ]:
        raise SettingsError(
            f"nothing was wrapped: {len(lacking)} running processes do not know the newest key, such as the "
            f"{lacking[0]}. Start them again with it, in front of the others. One that was killed counts for 90 seconds"
        )
    done = before = 0
    last = ""
    clear: list[tuple[WrappedKey, bytes]] = []
    while keys := await store.wrapped_keys(last, _TOGETHER):
        for key in keys:
            if wrapping.is_current(key.wrapped_key):
                before += 1
            elif (bare := read_plain(key.wrapped_key)) is not None:
                clear.append((key, bare))  # what contacts are known by, if anything
            else:
                wrapped = wrapping.close(wrapping.open(key.wrapped_key, key.owner), key.owner)
                done += await store.rewrap(key.key_id, key.wrapped_key, wrapped)
        last = keys[-1].key_id
    # Last: whoever has the wrong keys has been told so by now, and could wrap this one all the same.
    for key, bare in clear:
        done += await store.rewrap(key.key_id, key.wrapped_key, wrapping.close(bare, key.owner))
    return done, before
