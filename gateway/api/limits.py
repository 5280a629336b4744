"""Limits of requests: bytes and seconds of a body before it is parsed, and what one API key may occupy of a process."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Final, Literal
from weakref import WeakValueDictionary

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.api.problem import SEND_AGAIN, Problem, again, answer
from service.authoring_process import WAITING, too_many_checks
from service.caller import Caller

MOST_BYTES: Final = 1024 * 1024 + 64 * 1024  # maximum bytes of a body: the largest entry and what surrounds it
PATIENCE: Final = 10.0  # seconds for a body to arrive
TOGETHER: Final = 64 * 1024 * 1024
"""Maximum bytes of all bodies in progress, which are kept until their requests are answered."""
SHARE: Final = 4  # one key's bodies may use this fraction of `TOGETHER`
UPLOADS: Final = "/v1/audiences/"
"""Start of the paths whose bodies are stored while they arrive, however long that takes."""
MOST_UPLOADED: Final = 1024 * 1024 * 1024  # default maximum bytes of an upload
_CLOSE: Final = {"connection": "close"}


class Bounds:
    """An ASGI application that protects another one from bodies that are too large or too slow.

    `larger` has maximum bytes by path, or by prefix if it ends in ``/``, that differ from `MOST_BYTES`; `streamed`
    those of uploads, of which each part must arrive in time and none is kept.
    """

    def __init__(
        self,
        application: ASGIApp,
        *,
        larger: Mapping[str, int] | None = None,
        streamed: Mapping[str, int] | None = None,
        patience: float = PATIENCE,
        together: int = TOGETHER,
        refuse: Callable[[Problem], ASGIApp] = answer,
    ) -> None:
        self._application, self._patience, self._refuse = application, patience, refuse
        self._larger, self._streamed = larger or {}, streamed or {}
        self._together, self._under_way = together, 0
        self._of_key: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        uploaded = _at(scope["path"], self._streamed)
        most = uploaded or _at(scope["path"], self._larger) or MOST_BYTES
        headers = dict(scope["headers"])
        said = headers.get(b"content-length", b"0")
        if headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
            problem = Problem("unsupported-media", "send the body without a content-encoding", headers=_CLOSE)
            await self._refuse(problem)(scope, receive, send)
            return
        if not said.isdigit() or int(said) > most:
            await self._refuse(_too_large(most))(scope, receive, send)
            return
        arrived, key, whole = 0, "", False
        end = asyncio.get_running_loop().time() + self._patience

        async def bounded() -> Message:
            nonlocal arrived, key, whole
            if whole:
                return await receive()
            now = asyncio.get_running_loop().time()
            try:
                async with asyncio.timeout_at(now + self._patience if uploaded else end):
                    message = await receive()
            except TimeoutError:
                raise Problem("too-slow", "the body did not arrive in time", headers=_CLOSE) from None
            if message["type"] == "http.request":
                size = len(message.get("body", b""))
                arrived += size
                kept = 0 if uploaded else size
                self._under_way += kept
                if caller := scope.get("state", {}).get("caller"):  # whoever it is, is known before a body is read
                    key = caller.id
                    self._of_key[key] += kept
                whole = not message.get("more_body", False)
                if arrived > most:
                    raise _too_large(most)
                if self._of_key[key] > self._together // SHARE:
                    raise again(
                        "too-many", "this key sends too much in parallel: wait for the answers", connection="close"
                    )
                if self._under_way > self._together:
                    raise again("unavailable", "too much is being sent in parallel: try again", connection="close")
            return message

        try:
            await self._application(scope, bounded, send)
        finally:
            kept = 0 if uploaded else arrived
            self._under_way -= kept
            if key:
                self._of_key[key] -= kept


def _at(path: str, found: Mapping[str, int]) -> int | None:
    begins = (most for name, most in found.items() if name.endswith("/") and path.startswith(name))
    return found.get(path) or next(begins, None)


def _too_large(most: int) -> Problem:
    return Problem("too-large", f"the body may have {most:,} bytes at most", headers=_CLOSE)


# ---- shares of a key, which grow with its own rate

Work = Literal["read", "write", "items", "waiting", "authoring"]
"""The kind of a request: a read, a change, an item of a batch, a request that mostly waits, a check or preview."""

USUAL: Final = 200.0  # the rate, in requests per second, to which the following numbers belong
REQUESTS: Final = 100  # requests of one key in progress: a fifth of a process's
MOST_REQUESTS: Final = 400  # the same for a key with any rate
AT_ONCE: Final[dict[Work, int]] = {"read": 2, "write": 8, "items": 8}
"""Requests of one key that are executed at a time; others wait for their turn. Other kinds have no limit."""
AUTHORING: Final = 1 + WAITING  # checks and previews of one key in progress, as in `service.authoring_process`
TURN: Final = 2.5  # seconds to wait for a turn. With the longest call of Temporal, an answer comes within ten
_SOON: Final = 1.0  # seconds after which one of so many requests is probably answered


class KeyPlaces:
    """Places for requests in progress and for items of batches, counted per key."""

    def __init__(self, requests: int = REQUESTS) -> None:
        self._requests = requests
        self._taken: Counter[str] = Counter()
        self._authoring: Counter[str] = Counter()
        self._turns: WeakValueDictionary[tuple[str, Work], asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def place(self, caller: Caller, work: Work) -> AsyncGenerator[None]:
        """Occupy a place for a request, and wait for its turn.

        Raise Problem if all places of the key are taken, or those before it take too long; Busy if all those for checks
        are.
        """
        most = min(MOST_REQUESTS, round(self._requests * _share(caller)))
        if self._taken[caller.id] >= most:
            sentence = f"this key has {most} requests in progress: wait for their answers, or send batches"
            raise again("too-many", sentence, _SOON)
        if work == "authoring" and self._authoring[caller.id] >= AUTHORING:
            raise too_many_checks(AUTHORING)
        async with AsyncExitStack() as stack:
            stack.enter_context(_counted(self._taken, caller))
            if work == "authoring":
                stack.enter_context(_counted(self._authoring, caller))
            if work in AT_ONCE:
                turns = self.turns(caller, work)
                try:
                    async with asyncio.timeout(TURN):
                        await turns.acquire()
                except TimeoutError:
                    sentence = f"requests of this key before this one take too long: {SEND_AGAIN}"
                    raise again("unavailable", sentence) from None
                stack.callback(turns.release)
            yield

    def turns(self, caller: Caller, work: Work) -> asyncio.Semaphore:
        """Return the turns that all requests, or items of batches, of a key share."""
        found = self._turns.get((caller.id, work))
        if found is None:
            found = self._turns[caller.id, work] = asyncio.Semaphore(round(AT_ONCE[work] * _share(caller)))
        return found


@contextmanager
def _counted(counts: Counter[str], caller: Caller) -> Generator[None]:
    counts[caller.id] += 1
    try:
        yield
    finally:
        counts[caller.id] -= 1
        if not counts[caller.id]:
            del counts[caller.id]


def _share(caller: Caller) -> float:
    return max(1.0, (caller.rate or USUAL) / USUAL)
