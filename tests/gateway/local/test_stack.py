"""What the commands that start everything themselves share."""

from __future__ import annotations

import asyncio

from gateway.local.stack import until_interrupted


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
