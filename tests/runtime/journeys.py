"""Workflows that are traced in tests. Apart, since the sandbox imports their module for every one of them."""

from dataclasses import dataclass
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

SECONDS = timedelta(seconds=10)


@dataclass(frozen=True)
class Parcel:
    """What a delivery is told, as far as tracing looks at it."""

    id: str
    scenario: str
    contact: str
    url: str = ""


@workflow.defn(name="Journey")
class Small:
    """Admission, a webhook, an event, an e-mail; then once more, as often as it is told."""

    def __init__(self) -> None:
        self.told = False

    @workflow.run
    async def run(self, url: str, again: int) -> str:
        await workflow.execute_local_activity("admit", start_to_close_timeout=SECONDS)
        parcel = Parcel("msg_1", "post-purchase@3", "3028687", url)
        await self._send("send_webhook", "whatsapp", parcel)
        await workflow.wait_condition(lambda: self.told)
        await self._send("send_email", "thanks", parcel)
        if again:
            workflow.continue_as_new(args=[url, again - 1])
        return "finished"

    async def _send(self, kind: str, step: str, parcel: Parcel) -> None:
        await workflow.execute_activity(
            kind,
            parcel,
            activity_id=step,
            start_to_close_timeout=SECONDS,
            retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=10)),
        )

    @workflow.signal
    def event(self) -> None:
        self.told = True


@workflow.defn(name="Failing")
class Failing:
    """Its one step fails for good."""

    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity(
            "send_sms",
            Parcel("msg_1", "post-purchase@3", "3028687"),
            activity_id="text",
            start_to_close_timeout=SECONDS,
            retry_policy=RetryPolicy(maximum_attempts=1),
        )
