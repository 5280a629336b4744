"""The whole activity, from a published step to a receiver on this machine."""

import asyncio
import base64
import contextlib
import hmac
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import pytest
from opentelemetry import baggage, trace
from opentelemetry.context import attach, detach
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NonRecordingSpan
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError

from activities.failures import FailureKind
from activities.interface import Sent
from activities.webhook import rendering
from activities.webhook.destinations.reading import DestinationsFile
from activities.webhook.http.transport import Transport
from activities.webhook.limiter import Limiter, Limits
from activities.webhook.rendering import Rendered, render
from activities.webhook.route import Direct, Diverted
from scenario.steps.webhook import Webhook
from tests.activities.webhook.conftest import ID, Desk
from tests.activities.webhook.faults import Receiver, answer, receiver, reset_before_headers, silence

KEY = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OLD = "whsec_" + base64.b64encode(bytes(range(100, 132))).decode()


STEP = {"to": "wax", "path": "/orders/{{ order.external_id }}", "body": {"order": "{{ order.external_id }}"}}


class TestALookUp:
    LOOK: Final[dict[str, Any]] = {
        "to": "shop",
        "path": "/stock/{{ trigger.properties.sku }}?of={{ order.external_id }}",
        "method": "GET",
        "save": {"as": "stock"},
    }
    DATA: Final = {"trigger": {"properties": {"sku": "a/b é"}}, "order": {"external_id": "CGX 94"}}

    async def test_arrives_byte_for_byte_without_a_body_and_is_signed_over_an_empty_one(self, desk: Desk):
        async with receiver(answer(200, b'{"available": 3}', "Content-Type: application/json")) as there:
            desk.know(shop=desk.local(there, ", signing: [{key: SIGN}]"))
            desk.secrets["SIGN"] = KEY
            sent = await desk.send(self.LOOK, data=self.DATA)
        (call,) = there.calls
        assert (call.method, call.target, call.body) == ("GET", "/stock/a%2Fb%20%C3%A9?of=CGX%2094", b"")
        assert sorted(name.lower() for name, _ in call.headers) == [
            "accept",
            "accept-encoding",
            "host",
            "idempotency-key",
            "user-agent",
            "webhook-id",
            "webhook-signature",
            "webhook-timestamp",
        ]
        signed = f"{ID}.{call.header('webhook-timestamp')}.".encode()
        wanted = base64.b64encode(hmac.digest(bytes(range(32)), signed, "sha256")).decode()
        assert call.header("webhook-signature") == f"v1,{wanted}"
        assert sent == Sent(attempt=1, status=200, saved={"available": 3})


class TestARequiredResponse:
    ASK: Final[dict[str, Any]] = {
        **STEP,
        "save": {"as": "voucher", "required": True, "schema": {"required": ["code"]}},
    }

    async def test_that_does_not_fit_is_logged_as_refused_and_may_be_asked_for_again(self, desk: Desk):
        answers = (answer(200, b'{"error": "none left"}'), answer(204), answer(200, b'{"code": "C"}'))
        note = "the response was not kept as 'voucher': it does not fit its schema, at 'required'"
        async with receiver(*answers) as there:
            desk.know(wax=desk.local(there))
            refused = Sent(outcome="refused_answer", attempt=1, status=200, note=note, excerpt='{"error": "none left"}')
            assert await desk.send(self.ASK) == refused
            assert (await desk.send(self.ASK, retried=True)).outcome == "refused_answer"
            sent = await desk.send(self.ASK, retried=True)
        assert sent == Sent(attempt=1, status=200, saved={"code": "C"})
        assert [(row.outcome, row.status, row.response) for row in desk.rows] == [
            ("refused_answer", 200, '{"error": "none left"}'),
            ("refused_answer", 204, None),
            ("delivered", 200, '{"code": "C"}'),
        ]
        assert {call.header("webhook-id") for call in there.calls} == {ID}


class TestADestination:
    async def test_gets_what_the_scenario_says_at_the_place_that_operations_say(self, desk: Desk, there: Receiver):
        desk.know(wax=desk.local(there, path="/v1/"))
        sent = await desk.send(STEP)
        assert sent == Sent(attempt=1, status=200)
        [call] = there.calls
        assert (call.method, call.target, call.body) == ("POST", "/v1/orders/CGX%2094", b'{"order":"CGX 94"}')
        assert call.header("content-type") == "application/json"
        [row] = desk.rows
        assert (row.destination, row.outcome, row.attempt) == ("wax", "delivered", 1)

    async def test_adds_its_headers_with_secrets_as_they_are_at_the_moment(self, desk: Desk, there: Receiver):
        more = ', headers: {Authorization: "Bearer {{ secrets.TOKEN }}", Content-Type: application/vnd.wax+json}'
        desk.know(wax=desk.local(there, more))
        for desk.secrets["TOKEN"] in ("first", "second"):
            await desk.send(STEP)
        assert [call.header("authorization") for call in there.calls] == ["Bearer first", "Bearer second"]
        assert [call.header("content-type") for call in there.calls] == ["application/vnd.wax+json"] * 2

    async def test_s_url_may_hold_a_secret_which_nobody_sees(self, desk: Desk):
        async with receiver(answer(200, b'{"to": "/services/T01/B02%2Fx3", "part": "T01/B02%2Fx3"}')) as there:
            desk.know(wax=desk.local(there, path="/services/{{ secrets.HOOK }}"))
            desk.secrets["HOOK"] = "T01/B02%2Fx3"
            sent = await desk.send({**STEP, "save": {"as": "answer"}})
        assert [call.target for call in there.calls] == ["/services/T01/B02%2Fx3/orders/CGX%2094"]
        assert "B02" not in str(sent) + str(desk.rows)

    async def test_is_tried_again_where_a_secret_that_it_needs_cannot_be_read(self, desk: Desk, there: Receiver):
        desk.know(wax=desk.local(there, ', headers: {Authorization: "Bearer {{ secrets.TOKEN }}"}'))
        desk.unreadable = {"TOKEN": "the file of the secret TOKEN cannot be read: check its permissions"}
        failure, _ = await desk.fail(STEP)
        assert (failure.kind, failure.error) == (FailureKind.RETRY, "secrets_unreadable")
        desk.secrets = {"TOKEN": "value"}
        desk.unreadable = {"OTHER": "the file of the secret OTHER cannot be read: check its permissions"}
        assert (await desk.send(STEP)).outcome == "delivered"


PLAIN = {"url": "https://x.example/", "headers": {"Authorization": "Bearer {{ secrets.TOKEN }}"}}


class TestSecretsOfAScenario:
    async def test_to_a_plain_url_go_those_alone_that_are_public(self, desk: Desk):
        desk.know(wax="url: https://x.example, secrets: [TOKEN]")
        desk.secrets = {"TOKEN": "t"}
        failure, _ = await desk.fail(PLAIN)
        assert failure.kind is FailureKind.UNCONFIGURED
        assert failure.reason.startswith("The secret TOKEN may not go to a plain 'url': name a destination with 'to'")
        desk.file.write_text("default: {public_secrets: [TOKEN]}\n", "utf-8")
        desk.routes = Direct(DestinationsFile(desk.file, every=0))
        failure, _ = await desk.fail(PLAIN)
        assert failure.error == "dns_nxdomain"  # it got as far as that

    async def test_without_a_file_nobody_has_said_where_and_it_goes_anywhere(self, desk: Desk):
        for desk.secrets, reason in (({}, NOT_SET), ({"TOKEN": "t"}, "does not exist in DNS")):
            failure, _ = await desk.fail(PLAIN)
            assert reason in failure.reason
        failure, _ = await desk.fail(STEP)
        assert (failure.kind, failure.reason) == (
            FailureKind.UNCONFIGURED,
            "The webhook goes to destination 'wax', and SCENARIO_DESTINATIONS is not set: "
            "set it to a destinations.yaml that has this destination",
        )

    async def test_one_whose_name_the_template_works_out_is_among_those_granted(self, desk: Desk, there: Receiver):
        desk.know(wax=desk.local(there, ", owners: [post-purchase, b], secrets: [GRANTED, OTHER]"))
        desk.secrets = {"GRANTED": "g", "TOKEN": "t"}
        worked_out = "{% assign name = 'GRANTED' %}{{ secrets[name] }}{{ secrets.OTHER | default: ' and none' }}"
        await desk.send({**STEP, "body": {"a": worked_out}})
        assert json.loads(there.calls[0].body) == {"a": "g and none"}


HEADER = ', headers: {Authorization: "Bearer {{ secrets.TOKEN }}"}'
NOT_GRANTED = "The secret TOKEN may not go to destination 'wax': list it under its 'secrets' in destinations.yaml"
NOT_SET = (
    "Step 'told' needs the secret TOKEN, which is not set: "
    "set SCENARIO_SECRET_TOKEN, or a file of that name under SCENARIO_SECRETS_DIR"
)
NEEDED = ", secrets: [ASKED, NEEDED, OTHER]"
ASKED = "{% if secrets.ASKED %}{{ secrets.ASKED }}{% endif %}{{ secrets.OTHER | default: '' }}"
TEMPLATE = "The webhook cannot be rendered: "
HELD: list[tuple[str, dict[str, str], dict[str, Any], str]] = [
    # What the destination has besides, the secrets, the step, and why it is held.
    (
        *(HEADER, {"TOKEN": "t0p"}, {"headers": {"AUTHORIZATION": "Bearer mine"}}),
        f"{TEMPLATE}the scenario sets the header 'AUTHORIZATION', which destination wax sets itself: remove it from ",
    ),
    ("", {}, {"to": "x"}, "The file that SCENARIO_DESTINATIONS names has no destination 'x': add it there, or correct"),
    (", owners: [b]", {}, {}, "The scenario 'post-purchase' may not use destination 'wax': list it under its 'owners'"),
    (HEADER, {}, {}, "Destination wax needs the secret TOKEN, which is not set"),
    (", signing: [{key: SIGN}]", {"SIGN": "whsec_p4ss"}, {}, "The secret SIGN cannot sign for destination wax"),
    (", signing: [{key: SIGN}]", {"SIGN": KEY}, {"body": {"a": "{{ secrets.SIGN }}"}}, "The secret SIGN may not go "),
    ("", {"TOKEN": "t"}, {"headers": {"X-A": "{{ secrets.TOKEN }}"}}, NOT_GRANTED),
    ("", {"TOKEN": "t"}, {"path": "/{{ secrets.TOKEN }}"}, NOT_GRANTED),
    ("", {"TOKEN": "t"}, {"body": {"a": ["{{ secrets['TOKEN'] }}"]}}, NOT_GRANTED),
    ("", {"TOKEN": "t"}, {"body": '{"a": "{% if order.id == 1 %}{{ secrets.TOKEN }}{% endif %}"}'}, NOT_GRANTED),
    (", secrets: [OTHER]", {"TOKEN": "t", "OTHER": "o"}, {"body": {"a": "{{ secrets.TOKEN }}"}}, NOT_GRANTED),
    (HEADER, {"TOKEN": "t"}, {"body": {"a": "{{ secrets.TOKEN }}"}}, NOT_GRANTED),
    (", secrets: [OTHER]", {"TOKEN": "t"}, {"body": {"a": "{% assign name = 'TOKEN' %}{{ secrets[name] }}"}}, TEMPLATE),
    (", secrets: [TOKEN]", {}, {"body": {"a": "{{ secrets.TOKEN | upcase }}"}}, NOT_SET),
    (", secrets: [TOKEN]", {"TOKEN": ""}, {"body": {"a": "{{ secrets.TOKEN | upcase }}"}}, NOT_SET),
    (NEEDED, {}, {"body": {"a": ASKED + "{{ secrets.NEEDED }}"}}, NOT_SET.partition(":")[0].replace("TOKEN", "NEEDED")),
    (NEEDED, {}, {"body": {"a": ASKED + "{{ secrets['NEEDED'] | upcase }}"}}, "Step 'told' needs the secret NEEDED, "),
    (
        ", secrets: [TOKEN]",
        {},
        {"body": {"a": "{{ order.no }}{{ secrets.TOKEN }}"}},
        f"{TEMPLATE}the body: a: there is",
    ),
]


@pytest.mark.parametrize(("more", "secrets", "step", "reason"), HELD)
async def test_what_may_not_be_sent_is_held_and_says_why(
    desk: Desk, there: Receiver, more: str, secrets: dict[str, str], step: dict[str, Any], reason: str
):
    desk.know(wax=desk.local(there, more), other="url: https://x.example, secrets: [TOKEN]")
    desk.secrets = secrets
    failure, error = await desk.fail({**STEP, **step})
    kind = FailureKind.TEMPLATE if reason.startswith(TEMPLATE) else FailureKind.UNCONFIGURED
    assert (failure.kind, failure.destination, error.non_retryable) == (kind, step.get("to", "wax"), True)
    assert failure.reason.startswith(reason)
    assert "p4ss" not in repr(error.details) + str(error)
    assert there.calls == []


class TestSignatures:
    async def test_every_live_key_signs_what_an_independent_verifier_accepts(self, desk: Desk, there: Receiver):
        desk.know(wax=desk.local(there, ", signing: [{key: NEW}, {key: OLD, until: 2999-01-01T00:00:00Z}]"))
        desk.secrets = {"NEW": KEY, "OLD": OLD}
        await desk.send(STEP)
        [call] = there.calls
        for key in (KEY, OLD):
            assert Verifier(key).verify(call.body, dict(call.headers)) == {"order": "CGX 94"}
        with pytest.raises(WebhookVerificationError):
            Verifier(KEY).verify(call.body + b" ", dict(call.headers))

    @pytest.mark.parametrize(
        ("more", "handed"),
        [
            ({"headers": {"A": "{{ secrets.A }}"}, "body": {"b": "{{ secrets.B | upcase }}"}}, {"A", "B"}),
            ({"body": '{"b": "{% if secrets.B == secrets.NONE %}{% endif %}"}'}, {"B"}),
            ({"body": {"a": "{{ order.external_id }}"}}, set[str]()),
            ({"body": {"a": "{% assign name = 'A' %}{{ secrets[name] }}"}}, {"A", "B", "C"}),
        ],
        ids=["named", "asked for", "none", "worked out"],
    )
    async def test_templates_are_handed_the_secrets_that_they_name(
        self, desk: Desk, there: Receiver, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any], handed: set[str]
    ):
        desk.know(
            wax=desk.local(there, ", signing: [{key: SIGN}], secrets: [A, B, C, NONE], headers: {X: '{{ secrets.D }}'}")
        )
        desk.secrets = {"D": "ddd", "A": "aaa", "B": "bbb", "C": "ccc", "SIGN": KEY}
        seen: list[Mapping[str, Any]] = []

        def noted(step: Webhook, data: Mapping[str, Any], *rest: Any, **named: Any) -> Rendered:
            seen.append(data["secrets"])
            return render(step, data, *rest, **named)

        monkeypatch.setattr(rendering, "render", noted)
        with contextlib.suppress(ApplicationError):
            await desk.send({**STEP, **more})
        assert [set(secrets) for secrets in seen] == [handed]

    async def test_what_is_sent_back_shows_no_secret_that_templates_were_not_handed(self, desk: Desk):
        desk.secrets = {"A": "aaa-secret", "B": "bbb-secret"}
        async with receiver(answer(422, b"aaa-secret, bbb-secret.")) as there:
            desk.know(wax=desk.local(there, ", secrets: [A]"))
            failure, _ = await desk.fail({**STEP, "body": {"a": "{{ secrets.A }}"}})
        assert failure.status == 422
        assert failure.excerpt.endswith(".")
        assert "secret" not in failure.excerpt


class TestPlaces:
    async def test_a_name_that_leads_inside_is_called_with_leave_alone(self, desk: Desk, there: Receiver):
        async def inside(host: str) -> list[str]:
            return ["127.0.0.1"]

        entry = f"url: http://wax.example:{there.port}, allow_http: true, ports: [{there.port}]"
        async with Transport(lookup=inside) as desk.transport:
            desk.know(wax=entry)
            failure, error = await desk.fail(STEP)
            assert (failure.kind, failure.error, error.non_retryable) == (
                *(FailureKind.PERMANENT, "refused_address", True),
            )
            assert there.connections == 0
            desk.know(wax=f"{entry}, allow_cidr: [127.0.0.0/8]")
            assert (await desk.send(STEP)).status == 200
        assert there.calls[0].header("host") == f"wax.example:{there.port}"

    async def test_a_plain_url_has_no_part_in_what_a_destination_may(self, desk: Desk, there: Receiver):
        desk.know(wax=desk.local(there))
        failure, _ = await desk.fail({"url": there.url("/hook")})
        assert (failure.kind, failure.error) == (FailureKind.PERMANENT, "refused_url")
        assert there.connections == 0

    async def test_a_trial_run_leads_every_name_to_its_own_receiver(self, desk: Desk, there: Receiver):
        desk.routes = Diverted(there.url("").rstrip("/"))
        await desk.send(STEP)
        await desk.send({"url": "https://hooks.example.com/wax/9f31?a=1"})
        assert [call.target for call in there.calls] == ["/wax/orders/CGX%2094", "/hooks.example.com/wax/9f31?a=1"]
        assert [row.destination for row in desk.rows] == ["wax", "hooks.example.com"]


class TestAttempts:
    async def test_that_may_have_arrived_are_for_on_unknown_to_decide(self, desk: Desk):
        async with receiver(reset_before_headers()) as there:
            desk.know(wax=desk.local(there))
            failure, _ = await desk.fail(STEP, attempts=1, on_unknown="hold")
        assert failure.kind is FailureKind.UNKNOWN

    async def test_are_not_put_off_past_the_deadline_whatever_a_receiver_asks_for(self, desk: Desk):
        async with receiver(answer(503, b"", "Retry-After: 99999999")) as there:
            desk.know(wax=desk.local(there))
            _, error = await desk.fail(STEP, age=timedelta(days=3) - timedelta(minutes=10))
        assert error.next_retry_delay is not None
        assert timedelta(seconds=5) < error.next_retry_delay <= timedelta(minutes=10) - timedelta(seconds=5)

    async def test_end_after_an_hour_where_nginx_misses_our_certificate(self, desk: Desk):
        page = b"<html><head><title>400 The SSL certificate error</title></head><body></body></html>"
        async with receiver(answer(400, page)) as there:
            desk.know(wax=desk.local(there))
            early, _ = await desk.fail(STEP, age=timedelta(minutes=59))
            late, _ = await desk.fail(STEP, age=timedelta(minutes=61))
        assert (early.kind, late.kind, late.exhausted) == (FailureKind.RETRY, FailureKind.PERMANENT, True)
        assert (early.status, early.error) == (400, "client_certificate")
        why = "wax answered 400 and spoke of our client certificate (see 'tls' in destinations.yaml)"
        assert (early.reason, late.reason) == (why, f"{why}, still after an hour")


class TestBeingTurnedAway:
    @pytest.fixture
    def full(self, desk: Desk, there: Receiver) -> Desk:
        desk.know(wax=desk.local(there, ", concurrency: 1"))
        desk.gate.enter("wax", Limits(1))
        return desk

    async def test_is_no_attempt(self, full: Desk, there: Receiver):
        failure, error = await full.fail(STEP, attempt=1, attempts=1)
        assert (failure.kind, failure.error, failure.attempt) == (FailureKind.RETRY, "busy", 0)
        assert "this one waits for its turn (not attempted yet, next try 20" in error.message
        assert failure.reason.startswith("wax has as many requests in flight as allowed")
        assert error.next_retry_delay is not None
        assert error.next_retry_delay >= timedelta(seconds=1)
        assert (full.rows, there.calls, full.marks) == ([], [], [("settled", 1, 1)])

    async def test_again_and_again_is_counted_at_the_server(self, full: Desk, there: Receiver):
        for attempt in (1, 2, 3):
            await full.fail(STEP, attempt=attempt, attempts=1)
        assert full.marks == [("settled", 1, 1), ("settled", 2, 2), ("settled", 3, 3)]
        full.gate = Limiter()
        sent = await full.send(STEP, attempt=4, attempts=1)
        assert (sent.attempt, [row.attempt for row in full.rows]) == (1, [1])

    @pytest.mark.parametrize(
        ("header", "coefficient", "pauses"),
        [
            ((), 3, [timedelta(seconds=5), timedelta(seconds=15)]),  # as if it had not been turned away
            ((), 1, [None, None]),  # as long as Temporal's own
            (("Retry-After: 60",), 3, [timedelta(minutes=1), timedelta(minutes=1)]),
        ],
    )
    async def test_lengthens_no_pause_after_it(
        self, desk: Desk, header: tuple[str, ...], coefficient: float, pauses: list[timedelta | None]
    ):
        desk.marks[:] = [("settled", 4, 4)]
        desk.policy = RetryPolicy(initial_interval=timedelta(seconds=5), backoff_coefficient=coefficient)
        async with receiver(answer(503, b"", *header)) as there:
            desk.know(wax=desk.local(there))
            errors = [(await desk.fail(STEP, attempt=attempt))[1] for attempt in (5, 6)]
        assert [error.next_retry_delay for error in errors] == pauses
        assert [row.attempt for row in desk.rows] == [1, 2]
        assert all(row.next_try_at for row in desk.rows)

    async def test_a_dead_destination_is_left_alone_by_its_breaker_and_no_other(self, desk: Desk, there: Receiver):
        breaker = "breaker: {failures: 50%, minimum: 2, window: 1m, pause: 30s}"
        async with receiver(answer(503)) as dead:
            desk.know(dead=desk.local(dead, f", {breaker}"), wax=desk.local(there, f", {breaker}"))
            words = [(await desk.fail({**STEP, "to": "dead"}, attempt=number))[0].error for number in range(1, 6)]
            assert words == ["http_503", "http_503", *["breaker_open"] * 3]
            assert len(dead.calls) == 2
            desk.marks.clear()
            assert (await desk.send(STEP)).status == 200

    async def test_a_slot_is_given_back_when_a_journey_leaves(self, desk: Desk):
        async with receiver(silence(), answer(200)) as there:
            desk.know(wax=desk.local(there, ", concurrency: 1"))
            task = asyncio.create_task(desk.send(STEP))
            await there.called.wait()
            assert (await desk.fail(STEP))[0].error == "busy"
            desk.marks.clear()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await desk.send(STEP)).status == 200
        assert [row.outcome for row in desk.rows] == ["unknown", "delivered"]


class TestResponses:
    STEP: Mapping[str, Any] = {**STEP, "save": {"as": "wax", "schema": {"required": ["id"]}}}

    @pytest.mark.parametrize(
        ("step", "destination"),
        [
            ({"body": {"a": "{{ secrets.TOKEN }}"}}, ", secrets: [TOKEN]"),
            ({"headers": {"X-Token": "{{ secrets.TOKEN }}"}}, ", secrets: [TOKEN]"),
            ({}, """, headers: {X-Token: "{{ secrets.TOKEN }}"}"""),
            ({}, ", signing: [{key: SIGN}, {key: TOKEN, until: 2020-01-01T00:00:00Z}]"),
        ],
    )
    async def test_hold_no_secret_that_the_receiver_may_have(self, desk: Desk, step: Any, destination: str):
        desk.secrets |= {"TOKEN": "t0p-secret", "SIGN": f"whsec_{base64.b64encode(bytes(32)).decode()}"}
        async with receiver(answer(201, b'{"id": "m1", "echo": "Bearer t0p\\u002Dsecret"}')) as there:
            desk.know(wax=desk.local(there, destination))
            sent = await desk.send({**self.STEP, **step})
        assert sent.saved == {"id": "m1", "echo": "Bearer […]"}
        assert sent.note == "the response kept as 'wax' held a secret, which was masked"

    async def test_are_not_changed_by_a_secret_that_the_delivery_does_not_know(self, desk: Desk):
        body = {"ok": True, "id": "m1", "accepted": "in-the-queue-since-noon"}
        desk.secrets |= {"OTHER": "in-the-queue-since-noon", "TOKEN": "t0p-secret"}
        async with receiver(answer(201, json.dumps(body).encode())) as there:
            desk.know(wax=desk.local(there, """, secrets: [TOKEN], headers: {X-Token: "{{ secrets.TOKEN }}"}"""))
            sent = await desk.send({**self.STEP, "body": {"a": "{{ secrets.TOKEN }}"}})
        assert (sent.saved, sent.note) == (body, None)

    async def test_hold_no_credential_that_a_header_was_sent_with_encoded(self, desk: Desk):
        basic = base64.b64encode(b"zoe:t0p-secret").decode()
        async with receiver(answer(201, json.dumps({"id": f"m1 {basic}"}).encode())) as there:
            desk.know(wax=desk.local(there, """, headers: {Authorization: "Basic {{ 'zoe:' | append: secrets.PW | """
                                            """base64_encode }}"}"""))  # fmt: skip
            desk.secrets["PW"] = "t0p-secret"
            sent = await desk.send(self.STEP)
        [call] = there.calls
        assert call.header("authorization") == f"Basic {basic}"
        assert sent.saved == {"id": "m1 […]"}
        assert desk.rows[0].response == '{"id": "m1 […]"}'


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr("activities.webhook.activity._tracer", provider.get_tracer("test"))
    return exporter


@pytest.mark.parametrize(
    ("behaviour", "attempt", "more"),
    [
        (answer(200), 1, {"http.response.status_code": 200}),
        (answer(503), 3, {"http.response.status_code": 503, "error.type": "503", "http.request.resend_count": 2}),
        (answer(301), 1, {"http.response.status_code": 301}),
        (reset_before_headers(), 1, {"error.type": "reset_before_response"}),
    ],
)
async def test_an_attempt_is_one_client_span(
    desk: Desk, spans: InMemorySpanExporter, behaviour: Any, attempt: int, more: dict[str, Any]
):
    async with receiver(behaviour) as there:
        desk.know(wax=desk.local(there, ', headers: {Authorization: "Bearer {{ secrets.TOKEN }}"}'))
        desk.secrets["TOKEN"] = "t0p-secret"
        try:
            await desk.send(STEP, attempt=attempt)
        except ApplicationError:
            assert behaviour != answer(200)
    [span] = spans.get_finished_spans()
    assert (span.name, dict(span.attributes or {})) == (
        "POST",
        {
            "http.request.method": "POST",
            "server.address": "127.0.0.1",
            "server.port": there.port,
            "scenario.destination": "wax",
            **more,
        },
    )
    assert span.events == ()
    for planted in ("t0p-secret", "zoe@example.com", "CGX", "/orders"):
        assert planted not in span.to_json()


async def test_of_the_trace_nothing_but_its_ids_travels(desk: Desk, spans: InMemorySpanExporter):
    around = trace.SpanContext(
        0xABC, 0xDEF, True, trace.TraceFlags(1), trace.TraceState([("vendor", "zoe@example.com")])
    )
    context = baggage.set_baggage("contact", "zoe@example.com", trace.set_span_in_context(NonRecordingSpan(around)))
    token = attach(context)
    try:
        async with receiver() as there:
            desk.know(wax=desk.local(there))
            await desk.send(STEP)
    finally:
        detach(token)
    [call] = there.calls
    [span] = spans.get_finished_spans()
    assert span.context is not None
    assert call.header("traceparent") == f"00-{0xABC:032x}-{span.context.span_id:016x}-01"
    assert (call.header("tracestate"), call.header("baggage")) == (None, None)
