"""Requests that are refused, each with its status and what is said at which place, as transcripts have it."""

import os
import re
from pathlib import Path
from typing import Any

from runtime.store import Store
from tests.factories import publish
from tests.gateway.api.conftest import HELLO, Door, opened
from tests.search import Search

HERE = Path(__file__)


def requests(name: str) -> list[str]:
    return re.findall(r"^\$ (.*)", HERE.with_name(name).read_text("utf-8"), re.MULTILINE)


async def assert_said(door: Door, name: str) -> None:
    """Send the requests of a transcript. Run with SCENARIO_WRITE_SHAPE=1 to accept a change, or to add a request."""
    said = list[str]()
    for line in requests(name):
        method, path, *body = line.split(" ", 2)
        given = {"content": body[0], "headers": {"content-type": "application/json"}} if body else {}
        answer = await door.ask(method, path, **given)
        problem: dict[str, Any] = answer.json()
        said += [f"$ {line}", f"{answer.status_code} {problem['detail']}"]
        for one in problem["errors"]:
            meant = f" ({one['did_you_mean']})" if "did_you_mean" in one else ""
            said.append(f"  {one['pointer']} {one['code']}: {one['detail']}{meant}")
    if os.environ.get("SCENARIO_WRITE_SHAPE"):
        HERE.with_name(name).write_text("\n".join(said) + "\n", "utf-8")
    assert said == HERE.with_name(name).read_text("utf-8").splitlines()


async def test_a_batch_refuses_only_the_events_with_reserved_names(store: Store):
    names = ["order.delivered", "email.clicked", "order.returned"]
    async with opened(store, Search(strict=True)) as door:
        answer = await door.post("/events/batch", [{"contact": "7", "name": name} for name in names])
    made = answer.json()
    assert (answer.status_code, made["accepted"]) == (200, 2)
    assert [one["status"] for one in made["results"]] == [202, 422, 202]
    assert made["results"][1]["problem"]["errors"][0]["pointer"] == "/name"


async def test_what_is_refused_is_said_at_its_place(store: Store):
    for text in (HELLO, HELLO.replace("hello", "offer").replace("order", "segment")):
        await publish(store, text)
    server = Search(strict=True)
    async with opened(store, server) as door:
        await door.call("PUT", "/audiences/people.csv", content=b"contact.id\n1\n")
        await assert_said(door, "refused.txt")
    assert (server.started, server.signals, await store.stored_operations()) == ({}, [], [])
    assert (await store.stored_campaigns(), await store.running("7")) == ([], [])
