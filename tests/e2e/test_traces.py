"""One journey's trace, from its entry to the receiver, as one list."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from opentelemetry import baggage, context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, StatusCode
from temporalio.client import HeaderCodecBehavior
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

from runtime.encryption import keyring
from runtime.telemetry.tracing import JourneyTracing
from tests.e2e.conftest import Stands, outcomes, publish
from workflows.journey import Enter, Journey, UnknownWorkflow

pytestmark = pytest.mark.encrypted

EMAIL = "zoe@example.com"
TRACED = """
scenario: traced
trigger: order
steps:
  - email: thanks
    subject: Thanks
    text: Thanks
  - webhook: whatsapp
    url: https://hooks.example.com/busy
    body: {order: "{{ order.external_id }}"}
    retry: {initial_interval: 1s}
  - if: contact.cellphone != blank
    then:
      - sms: text
        text: hi
  - wait: 1s
  - exit: done
"""


def here(span: ReadableSpan) -> SpanContext:
    assert span.context is not None
    return span.context


def tree(finished: Sequence[ReadableSpan]) -> list[tuple[int, str]]:
    spans = sorted(finished, key=lambda span: span.start_time or 0)
    known = {here(span).span_id for span in spans}

    def below(parent: int | None, depth: int) -> list[tuple[int, str]]:
        return [
            line
            for span in spans
            if (span.parent.span_id if span.parent and span.parent.span_id in known else None) == parent
            for line in ((depth, span.name), *below(here(span).span_id, depth + 1))
        ]

    return below(None, 0)


async def test_the_whole_trace_of_a_journey(stand: Stands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyring, "REMEMBERED", 3600.0)  # the replay decrypts after the store is closed
    async with stand(fail={"/hooks.example.com/busy": [503]}) as place:
        await publish(place.client, tmp_path, TRACED)
        token = context.attach(baggage.set_baggage("email", EMAIL))
        try:
            journey = await place.client.enter(
                {
                    "scenario": "traced",
                    "contact": {"id": 42, "email": EMAIL, "cellphone": "+33612345678"},
                    "trigger": {"type": "order", "order": {"external_id": "CGX0094"}},
                }
            )
        finally:
            context.detach(token)
        result = await journey.result()
        history = await journey.handle.fetch_history()
        requests = place.receiver.requests()

    assert outcomes(result)[-1] == ("exit-5", "exited")
    finished = place.spans.get_finished_spans()
    assert tree(finished) == [
        (0, "StartWorkflow:Journey"),
        (1, "RunWorkflow:Journey"),
        (2, "StartActivity:admit"),
        (3, "RunActivity:admit"),
        (2, "step thanks"),
        (3, "RunActivity:send_email"),
        (2, "step whatsapp"),
        (3, "RunActivity:send_webhook"),
        (4, "POST"),
        (3, "RunActivity:send_webhook"),
        (4, "POST"),
        (2, "HandleSignal:delivery_delayed"),
        (2, "StartActivity:decide"),
        (3, "RunActivity:decide"),
        (2, "step text"),
        (3, "RunActivity:send_sms"),
        (2, "StartActivity:depart"),
        (3, "RunActivity:depart"),
        (2, "CompleteWorkflow:Journey"),
    ]
    [trace_id] = {here(span).trace_id for span in finished}

    posts = [span for span in finished if span.name == "POST"]
    assert [post.status.status_code for post in posts] == [StatusCode.ERROR, StatusCode.UNSET]
    assert [(post.attributes or {}).get("http.request.resend_count") for post in posts] == [None, 1]
    assert [request.header("traceparent") for request in requests] == [
        f"00-{trace_id:032x}-{here(post).span_id:016x}-{here(post).trace_flags:02x}" for post in posts
    ]
    assert [(request.header("baggage"), request.status) for request in requests] == [(None, 503), (None, 200)]
    assert len({request.header("webhook-id") for request in requests}) == 1

    replayer = Replayer(
        workflows=[Journey, Enter, UnknownWorkflow],
        workflow_runner=UnsandboxedWorkflowRunner(),
        data_converter=place.client.temporal.data_converter,
        header_codec_behavior=HeaderCodecBehavior.CODEC,
        interceptors=[JourneyTracing(place.provider)],
    )
    await replayer.replay_workflow(history)
    assert len(place.spans.get_finished_spans()) == len(finished), "a replay adds no span"
