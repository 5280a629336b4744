"""The activity that reports a suppressed address to a platform."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus
from typing import Final

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.background import TELL, PlatformReply, SuppressionNotice
from activities.channel import WorkerContext
from activities.webhook import outcome
from activities.webhook.http.exchange import Response
from activities.webhook.platform_calls import CallFailed, PlatformCalls
from activities.webhook.presets import PlatformRequest, SuppressionPreset, installed_presets
from runtime.derived_keys import SealedToken
from scenario.errors import NotConfigured

REJECTIONS: Final = 5
"""Number of rejections of an address that makes the failure terminal."""
_TIMEOUT: Final = 15.0  # seconds


class SuppressionReporter:
    """Reports suppressed addresses to platforms. Without a seal, it cannot read addresses."""

    def __init__(self, context: WorkerContext, seal: SealedToken | None) -> None:
        self._context, self._seal = context, seal
        self._calls = PlatformCalls.of(context)

    @activity.defn(name=TELL.name)
    async def tell_platform(self, notice: SuppressionNotice) -> PlatformReply:
        """Report an address once. No message of a failure quotes it."""
        opened = self._seal.open_fields(notice.address) if self._seal else None
        if not opened:
            raise _failure("the address cannot be opened: SCENARIO_SUPPRESSION_KEY is not the one it was sealed with")
        try:
            route = self._context.routes.named(notice.destination)
            destination = route.named
            if destination is None or destination.suppressions is None:
                raise _failure(f"destination {notice.destination} no longer has 'suppressions'", final=True)
            name = destination.suppressions.preset
            preset = installed_presets().get(name)
            if preset is None:
                raise _failure(f"the preset {name} of destination {notice.destination} is not installed")
            response = await self._calls.call(
                route,
                PlatformRequest("POST", preset.path(notice.channel), preset.body(opened[0])),
                (activity.info().workflow_id or "").rpartition("/")[2],  # the same in every attempt
                seconds=_TIMEOUT,
            )
        except (NotConfigured, CallFailed) as error:
            raise _failure(str(error), delay=error.delay if isinstance(error, CallFailed) else None) from None
        return _result(notice, preset, response, opened[0])


def _result(notice: SuppressionNotice, preset: SuppressionPreset, response: Response, address: str) -> PlatformReply:
    """Classify a response. Raise the failure if the platform does not accept the address."""
    verdict, rejection = outcome.of_status(response.status), None
    if verdict.delivered or response.status == HTTPStatus.BAD_REQUEST:
        rejection = preset.rejection(response.json(), address)
    if rejection is not None:
        if rejection.duplicate:
            return PlatformReply(outcome="known", status=response.status)
        reason = f"{notice.destination} answered {response.status} and does not take it: {', '.join(rejection.codes)}"
        raise _failure(reason, final=activity.info().attempt >= REJECTIONS)
    if verdict.delivered:
        return PlatformReply(outcome="told", status=response.status)
    raise _failure(f"{notice.destination} answered {response.status}", final=verdict.final)


def _failure(reason: str, *, final: bool = False, delay: timedelta | None = None) -> ApplicationError:
    return ApplicationError(
        reason,
        type="PlatformNotTold",
        non_retryable=final,
        next_retry_delay=delay,
        category=ApplicationErrorCategory.BENIGN,  # expected: no stack trace in the worker's log for each
    )
