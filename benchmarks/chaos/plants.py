"""Mistakes planted in a worker, each of which the bench must notice: `python -m benchmarks.chaos --plant NAME`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final
from unittest.mock import patch

from activities import attempt
from activities.gate import PolicyGate
from activities.webhook import activity
from runtime.store import Attempt, AttemptWriter
from scenario.policies.order import Defer
from scenario.steps.host import Event
from workflows.inbox import SignalInbox

_LOST_ROWS: Final = 6
"""One row in so many is dropped."""


@dataclass(frozen=True)
class Plant:
    """A mistake.

    Attributes:
        patch: Makes the mistake while its context lasts.
        verdict: Part of a sentence by which the bench reports it.
    """

    patch: Callable[[], AbstractContextManager[Any]]
    verdict: str


def _send_twice() -> AbstractContextManager[Any]:
    exchange = activity.exchange

    async def twice(*given: Any) -> Any:
        await exchange(*given)
        return await exchange(*given)

    return patch.object(activity, "exchange", twice)


def _drop_rows() -> AbstractContextManager[Any]:
    put, numbers = AttemptWriter.put, itertools.count(1)

    def dropping(writer: AttemptWriter, row: Attempt) -> Any:
        return put(writer, row) if next(numbers) % _LOST_ROWS else None

    return patch.object(AttemptWriter, "put", dropping)


def _ignore_exits() -> AbstractContextManager[Any]:
    async def keep(inbox: SignalInbox, event: Event) -> None:
        inbox._host.state.keep(event)  # pyright: ignore[reportPrivateUsage]

    return patch.object(SignalInbox, "_match", keep)


def _ignore_quiet_hours() -> AbstractContextManager[Any]:
    check = PolicyGate.check

    async def pass_all(gate: PolicyGate, message: Any) -> Any:
        ruling = await check(gate, message)
        return None if isinstance(ruling, Defer) else ruling

    return patch.object(PolicyGate, "check", pass_all)


def _repeat_unknown() -> AbstractContextManager[Any]:
    async def refuse_nothing(*_: Any) -> None:
        pass

    return patch.object(attempt, "_refuse", refuse_nothing)


PLANTS: Final[Mapping[str, Plant]] = {
    "sent-twice": Plant(_send_twice, "sent again"),
    "dropped-rows": Plant(_drop_rows, "the log does not say so"),
    "ignored-exits": Plant(_ignore_exits, "although its exit was accepted"),
    "ignored-quiet-hours": Plant(_ignore_quiet_hours, "before the end of quiet hours"),
    "repeated-sms": Plant(_repeat_unknown, "after it may have been delivered"),
}
