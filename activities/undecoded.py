"""Attempts whose arguments cannot be decoded, because the store with the contacts' keys is unavailable."""

from __future__ import annotations

from typing import Any, Final

from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor
from typing_extensions import override

from activities.attempt_context import AttemptContext
from activities.channel_registry import CHANNELS
from activities.failures import SETTLED, mark, tally
from runtime.encryption.converter import Undecoded
from runtime.telemetry.metrics import UNSENT


class UncountedOutages(Interceptor):
    """Fails activities with `Undecoded` arguments, so that Temporal retries them soon.

    Such an attempt of a delivery has sent nothing and does not count. Pass it to every worker with an encrypting client
    (see `runtime.encryption.converter.encrypt_client`).
    """

    @override
    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Inbound(next)


class _Inbound(ActivityInboundInterceptor):
    @override
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        info = activity.info()
        for value in (*input.args, *info.heartbeat_details):
            if isinstance(value, Undecoded):
                _leave_mark(info)
                raise ApplicationError(_SENTENCE) from value.error
        return await self.next.execute_activity(input)


_SENTENCE: Final = "Failed decoding arguments"  # as the SDK calls it


def _leave_mark(info: activity.Info) -> None:
    channel = next((one for one in CHANNELS.values() if one.activity == info.activity_type), None)
    if channel is None:
        return
    UNSENT.add(channel.name, "store")
    counts = tally(info)
    word = str(next(iter(info.heartbeat_details), SETTLED))  # an earlier attempt may have delivered the message
    AttemptContext(info).mark(*mark(word, counts.away + 1, info.attempt, counts.unsent + 1, counts.asked))
