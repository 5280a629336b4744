"""What the commands that start everything themselves share: how they end, and the keys that they keep."""

from __future__ import annotations

import asyncio
import base64
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.local.stack import kept_api_key, kept_key, until_interrupted
from runtime.api_keys import SCOPES
from runtime.errors import LocalError
from runtime.store import Store


async def test_ctrl_c_ends_the_wait_and_leaves_the_task_as_it_was():
    async def stay() -> int:
        await until_interrupted()
        await asyncio.sleep(0)  # what is closed afterwards may wait
        return 1

    task = asyncio.create_task(stay())
    await asyncio.sleep(0)
    task.cancel()  # as `asyncio.run` does at the first Ctrl-C
    assert await task == 1
    assert task.cancelling() == 0


def test_the_key_of_suppressions_lasts_as_long_as_they_do(tmp_path: Path):
    path = tmp_path / "suppression.key"
    made = kept_key(path)
    assert len(base64.b64decode(made)) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert kept_key(path) == made
    path.write_bytes(b"\xff")
    with pytest.raises(LocalError, match="cannot be read or written"):
        kept_key(path)


async def test_the_key_is_its_users_alone_and_stays(tmp_path: Path, store: Store):
    path = tmp_path / "api.key"
    token = await kept_api_key(path, store)
    assert path.read_text() == f"{token}\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert await kept_api_key(path, store) == token
    (key,) = await store.keys()
    assert (tuple(key.scopes), key.scenarios, key.expires_at) == (SCOPES, None, None)


async def test_what_is_no_key_of_this_store_is_replaced(tmp_path: Path, store: Store):
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
