"""Batches: many items in one request. Each is accepted or refused separately, and answered at its index.

A batch is a JSON array, or one JSON value per line (NDJSON). It is kept as text, and each item is parsed when it is
processed: Python would make 100 MB of 5 MB of brackets.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, cast
from uuid import UUID, uuid5

from fastapi import Request

from gateway.api.authentication import Keys
from gateway.api.body import decoded, media_of, parse, unreadable
from gateway.api.idempotency import keep_answer_if
from gateway.api.problem import Problem, ProblemBody, ResponseBody, log_unexpected, problem_at, problem_of
from service.caller import Caller
from service.concurrency import Concurrency

MOST: Final = 1000  # maximum number of items
LINES: Final = "application/x-ndjson"
_LINE: Final = re.compile("[^\n]+")
_BLANK: Final = " \t\n\r"
_DECODER: Final = json.JSONDecoder()


class ItemResult(ResponseBody):
    """The result of one item."""

    index: int
    """The item's index in the batch, starting at 0."""
    status: int
    """The status that the item would get in a separate request."""
    problem: ProblemBody | None = None
    """The problem of an item that was not accepted."""


class BatchAnswer(ResponseBody):
    """The result of a batch."""

    accepted: int
    """Number of accepted items."""


@dataclass(frozen=True)
class BatchItem:
    """One item of a batch."""

    index: int
    value: dict[str, Any]
    request: UUID | None  # its request id, if the batch has one


@dataclass
class BatchRequest:
    """A batch whose items are processed concurrently.

    Items about the same subject, such as a contact, are processed in order.
    """

    request: Request
    request_id: UUID | None  # the request's id, if it has one
    about: Callable[[dict[str, Any]], object]  # returns the subject of an item
    work: Callable[[BatchItem], Awaitable[tuple[int, dict[str, Any]]]]
    """Processes an item. Returns status and further fields of its result, or raises the refusal."""

    async def run(self) -> tuple[int, list[dict[str, Any]]]:
        """Return the number of accepted items, and the results in the order of the items.

        If something that all items need is unavailable, the remaining items are not started and the answer is not kept:
        the same batch may be sent again. Raise Problem if the body is not a batch.
        """
        texts = _texts(decoded(await self.request.body()), media_of(self.request.scope))
        results: list[dict[str, Any]] = [{} for _ in texts]
        before: dict[object, asyncio.Event] = {}
        self._trouble: Problem | None = None
        keys: Keys = self.request.app.state.keys
        caller: Caller = self.request.state.caller
        async with Concurrency(keys.places.turns(caller, "items")) as working:
            for index, text in enumerate(texts):
                await working.acquire()
                try:
                    item = self._item(index, text)
                except Problem as problem:
                    results[index] = _refused(index, problem)
                    working.start(_nothing())
                    continue
                over, about = asyncio.Event(), self.about(item.value)
                working.start(self._one(item, results, before.get(about), over))
                before[about] = over
        keep_answer_if(self.request, all(result["status"] < 500 for result in results))
        return sum(result["status"] == 202 for result in results), results

    def _item(self, index: int, text: str) -> BatchItem:
        value = parse(text, f"item {index}")
        if not isinstance(value, dict):
            raise _wrong("an item must be an object")
        request = None if self.request_id is None else uuid5(self.request_id, str(index))
        return BatchItem(index, cast("dict[str, Any]", value), request)

    async def _one(
        self, item: BatchItem, results: list[dict[str, Any]], earlier: asyncio.Event | None, over: asyncio.Event
    ) -> None:
        try:
            if earlier is not None:
                await earlier.wait()
            if self._trouble is not None:
                results[item.index] = _refused(item.index, self._trouble)
                return
            status, more = await self.work(item)
            results[item.index] = {"index": item.index, "status": status, **more}
        except Exception as error:
            problem = problem_of(error)
            if problem.code == "failed":
                log_unexpected(error, self.request.scope)
            elif problem.status_code >= 500:
                self._trouble = problem
            results[item.index] = _refused(item.index, problem)
        finally:
            over.set()


def batch_of(schema: str) -> dict[str, Any]:
    items = {"type": "array", "items": {"$ref": f"#/components/schemas/{schema}"}, "minItems": 1, "maxItems": MOST}
    content = {
        "application/json": {"schema": items},
        LINES: {"schema": {"type": "string", "description": "One item a line"}},
    }
    description = f"An array of items, or one item a line (NDJSON): {MOST:,} and 5 MB at most"
    return {"requestBody": {"required": True, "description": description, "content": content}}


async def _nothing() -> None:
    """Release a place."""


def _refused(index: int, problem: Problem) -> dict[str, Any]:
    return {"index": index, "status": problem.status_code, "problem": problem.body}


def _texts(text: str, media: str) -> Sequence[str]:
    """Return the text of each item. Raise Problem if the body is not a batch."""
    match media:
        case "application/json":
            texts = _elements(text)
        case "application/x-ndjson" | "application/ndjson" | "application/jsonl":
            lines = (found[0] for found in _LINE.finditer(text))
            texts = list(islice((line for line in lines if line.strip()), MOST + 1))
        case _:
            raise Problem("unsupported-media", f"send a JSON array as application/json, or a value a line as {LINES}")
    if not texts:
        raise _wrong("the batch is empty")
    if len(texts) > MOST:
        raise _wrong(f"a batch may have {MOST:,} items at most: send several")
    return texts


def _wrong(sentence: str) -> Problem:
    return problem_at("", "batch", sentence)


def _elements(text: str) -> list[str]:
    """Return the texts of an array's elements, at most one more than allowed."""
    # All is read once before anything is done: an array that breaks off in its middle is none.
    at = _skip(text, 0)
    if text[at : at + 1] != "[":
        raise _wrong("a batch must be an array")
    found: list[str] = []
    at = _skip(text, at + 1)
    while text[at : at + 1] != "]" and len(found) <= MOST:
        try:
            _, end = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            raise _broken(text) from None
        found.append(text[at:end])
        at = _skip(text, end)
        if text[at : at + 1] == "]":
            break
        if text[at : at + 1] != "," or text[(at := _skip(text, at + 1)) : at + 1] == "]":
            raise _broken(text)
    if len(found) <= MOST and _skip(text, at + 1) != len(text):
        raise _broken(text)
    return found


def _skip(text: str, at: int) -> int:
    while text[at : at + 1] and text[at] in _BLANK:
        at += 1
    return at


def _broken(text: str) -> Problem:
    try:
        parse(text)
    except Problem as problem:
        return problem
    return unreadable("the body is not JSON")
