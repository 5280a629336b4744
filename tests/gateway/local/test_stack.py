"""What the commands that start everything themselves share."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import pytest

from gateway.local.stack import kept_key, until_interrupted
from runtime.errors import LocalError


async def test_ctrl_c_ends_the_wait_and_leaves_the_task_as_it_was() -> None:
    async def stay() -> int:
        await until_interrupted()
        await asyncio.sleep(0)  # what is closed afterwards may wait
        return 1

    task = asyncio.create_task(stay())
    await asyncio.sleep(0)
    task.cancel()  # as `asyncio.run` does at the first Ctrl-C
    assert await task == 1
    assert task.cancelling() == 0


def test_the_key_of_suppressions_lasts_as_long_as_they_do(tmp_path: Path) -> None:
    path = tmp_path / "suppression.key"
    made = kept_key(path)
    assert len(base64.b64decode(made)) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert kept_key(path) == made
    path.write_bytes(b"\xff")
    with pytest.raises(LocalError, match="cannot be read or written"):
        kept_key(path)
