"""The key that the local servers have, from one start to the next."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.local.stack import kept_api_key
from runtime.errors import LocalError
from runtime.store import Store
from runtime.store.api_access import SCOPES


async def test_the_key_is_its_users_alone_and_stays(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "api.key"
    token = await kept_api_key(path, store)
    assert path.read_text() == f"{token}\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert await kept_api_key(path, store) == token
    (key,) = await store.keys()
    assert (tuple(key.scopes), key.scenarios, key.expires_at) == (SCOPES, None, None)


async def test_what_is_no_key_of_this_store_is_replaced(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "api.key"
    revoked = await kept_api_key(path, store)
    await store.revoke_key(revoked.split("_")[1], datetime.now(UTC))
    for content in (revoked, "sr_nothing", f"sr_abcdefgh_{'0' * 64}"):
        path.write_text(content)
        token = await kept_api_key(path, store)
        assert path.read_text() == f"{token}\n"
        assert token.split("_")[1] in {key.id for key in await store.keys() if key.revoked_at is None}
    path.write_bytes(b"\xff")
    with pytest.raises(LocalError, match="cannot be read or written: check its permissions"):
        await kept_api_key(path, store)
