"""Requests that are refused, each with its status and what is said at which place: the transcript `refused.txt`."""

import os
import re
from pathlib import Path
from typing import Any

from runtime.store import Store
from tests.factories import publish
from tests.gateway.api.conftest import HELLO, opened
from tests.gateway.search import Search

TRANSCRIPT = Path(__file__).with_name("refused.txt")


async def test_what_is_refused_is_that_of_the_transcript(store: Store):
    """Run with SCENARIO_WRITE_SHAPE=1 to accept a deliberate change, or to add a request."""
    for text in (HELLO, HELLO.replace("hello", "offer").replace("order", "segment")):
        await publish(store, text)
    server, said = Search(strict=True), list[str]()
    async with opened(store, server) as door:
        await door.call("PUT", "/audiences/people.csv", content=b"contact.id\n1\n")
        for line in re.findall(r"^\$ (.*)", TRANSCRIPT.read_text("utf-8"), re.MULTILINE):
            method, path, *body = line.split(" ", 2)
            given = {"content": body[0], "headers": {"content-type": "application/json"}} if body else {}
            answer = await door.ask(method, path, **given)
            problem: dict[str, Any] = answer.json()
            said += [f"$ {line}", f"{answer.status_code} {problem['detail']}"]
            for one in problem["errors"]:
                meant = f" ({one['did_you_mean']})" if "did_you_mean" in one else ""
                said.append(f"  {one['pointer']} {one['code']}: {one['detail']}{meant}")
    if os.environ.get("SCENARIO_WRITE_SHAPE"):
        TRANSCRIPT.write_text("\n".join(said) + "\n", "utf-8")
    assert said == TRANSCRIPT.read_text("utf-8").splitlines()
    assert (server.started, server.signals, await store.stored_operations()) == ({}, [], [])
    assert (await store.stored_campaigns(), await store.running("7")) == ([], [])
