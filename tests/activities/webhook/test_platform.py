"""What a platform is told of suppressed addresses, and what its answers mean, at a real receiver."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.background import PlatformReply, SuppressionNotice
from activities.suppressions import address_seal
from activities.webhook.destinations.reading import DestinationsFile, read
from activities.webhook.http.transport import Transport
from activities.webhook.limiter import Limiter
from activities.webhook.platform import REJECTIONS, SuppressionReporter
from activities.webhook.route import Direct
from runtime.process.http_server import HttpServer
from runtime.watched_file import UnusableFile

SEAL = address_seal([b"k" * 32])
ADDRESS = "zoe@example.com"
NEWS = SuppressionNotice(destination="splio", channel="email", address=SEAL.seal_fields([ADDRESS]), source="bounce")
TAKEN = {"successes": [ADDRESS], "failures": []}


def failed(key: Any, **more: Any) -> dict[str, Any]:
    error = f"Touchpoint {ADDRESS} is bad."
    return {"successes": [], "failures": [{"touchpoint": ADDRESS, "error": error, "error_key": key}], **more}


@dataclass
class Splio:
    """Stands in for the platform.

    Attributes:
        answer: Its status and content.
        asked: Path, authorization and content of each request.
    """

    answer: tuple[int, Any] = (200, TAKEN)
    asked: list[tuple[str, str | None, Any]] = field(default_factory=list[tuple[str, str | None, Any]])

    async def answered(self, request: Request) -> Response:
        content = json.loads(await request.body())
        self.asked.append((request.url.path, request.headers.get("authorization"), content))
        status, given = self.answer
        return Response(given if isinstance(given, bytes) else json.dumps(given), status)


@pytest.fixture
def splio() -> Splio:
    return Splio()


@pytest.fixture
def environment() -> ActivityEnvironment:
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, workflow_id=f"suppression/splio/{'ab' * 16}")
    return environment


@pytest.fixture
async def reporter(splio: Splio, transport: Transport, tmp_path: Path) -> AsyncIterator[SuppressionReporter]:
    async with HttpServer() as listening:
        listening.start(Starlette(routes=[Route("/{path:path}", splio.answered, methods=["POST"])]))
        file = tmp_path / "destinations.yaml"
        file.write_text(
            f"""
destinations:
  splio:
    url: {listening.url}/v1
    headers: {{Authorization: "Bearer {{{{ secrets.SPLIO_TOKEN }}}}"}}
    suppressions: splio
    allow_private: true
    allow_http: true
    ports: [{listening.port}]
  other: {{url: "https://other.example"}}
"""
        )
        secrets = {"SPLIO_TOKEN": "s3cret"}
        yield SuppressionReporter(transport, Direct(DestinationsFile(file)), lambda: secrets, Limiter(), SEAL)


@pytest.mark.parametrize(
    ("channel", "address", "path"),
    [("email", ADDRESS, "email"), ("sms", "+33612345678", "cellphone")],
)
async def test_splio_is_asked_as_its_api_wants_it(
    reporter: SuppressionReporter, environment: ActivityEnvironment, splio: Splio, channel: str, address: str, path: str
):
    news = replace(NEWS, channel=channel, address=SEAL.seal_fields([address]))
    assert await environment.run(reporter.tell_platform, news) == PlatformReply(outcome="told", status=200)
    assert splio.asked == [(f"/v1/data/blacklists/{path}", "Bearer s3cret", {"data": [address]})]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((200, TAKEN), "told"),
        ((207, {"successes": [ADDRESS], "failures": failed("x")["failures"]}), "told"),
        ((207, failed("touchpoint_already_exist")), "known"),
        ((400, failed("touchpoint_already_exist")), "known"),
        ((204, b""), "told"),
        ((200, b"<html>"), "told"),
        ((200, ["?"]), "told"),
    ],
)
async def test_an_answer_that_settles_it(
    reporter: SuppressionReporter,
    environment: ActivityEnvironment,
    splio: Splio,
    answer: tuple[int, Any],
    expected: str,
):
    splio.answer = answer
    assert await environment.run(reporter.tell_platform, NEWS) == PlatformReply(outcome=expected, status=answer[0])


@pytest.mark.parametrize(
    ("answer", "attempt", "final", "words"),
    [
        ((207, failed("wrong_value")), 1, False, "splio answered 207 and does not take it: wrong_value"),
        ((207, failed("wrong_value")), REJECTIONS, True, "splio answered 207 and does not take it: wrong_value"),
        ((400, failed("wrong_value")), 1, False, "splio answered 400 and does not take it: wrong_value"),
        ((207, failed(f"bad {ADDRESS}")), 1, False, "splio answered 207 and does not take it: unknown"),
        ((207, {"failures": ["?"]}), 1, False, "splio answered 207 and does not take it: unknown"),
        ((400, {"status": 400, "errors": [{"error_key": ADDRESS}]}), 1, True, "splio answered 400"),
        ((401, b""), 9, False, "splio answered 401"),  # tokens expire, and are renewed
        ((429, b""), 9, False, "splio answered 429"),
        ((503, b""), 9, False, "splio answered 503"),
        ((301, b""), 1, True, "splio answered 301"),
    ],
)
async def test_another_is_tried_again_or_on_record(
    reporter: SuppressionReporter,
    environment: ActivityEnvironment,
    splio: Splio,
    answer: tuple[int, Any],
    attempt: int,
    final: bool,
    words: str,
):
    splio.answer = answer
    environment.info = replace(environment.info, attempt=attempt)
    with pytest.raises(ApplicationError, match="splio answered") as caught:
        await environment.run(reporter.tell_platform, NEWS)
    assert (caught.value.message, caught.value.non_retryable) == (words, final)
    assert caught.value.cause is None, "nothing that quotes an address comes with it"


@pytest.mark.parametrize(
    ("news", "final", "words"),
    [
        (replace(NEWS, destination="nowhere"), False, "has no destination 'nowhere'"),
        (replace(NEWS, destination="other"), True, "destination other no longer has 'suppressions'"),
        (replace(NEWS, address=address_seal([b"x" * 32]).seal_fields([ADDRESS])), False, "cannot be opened"),
    ],
)
async def test_what_is_amiss_here_is_said(
    reporter: SuppressionReporter,
    environment: ActivityEnvironment,
    splio: Splio,
    news: SuppressionNotice,
    final: bool,
    words: str,
):
    with pytest.raises(ApplicationError, match=words) as caught:
        await environment.run(reporter.tell_platform, news)
    assert (caught.value.non_retryable, splio.asked) == (final, [])


async def test_a_platform_that_is_down_is_left_alone_like_every_destination(
    reporter: SuppressionReporter, environment: ActivityEnvironment, splio: Splio
):
    splio.answer = (503, b"")
    errors: list[ApplicationError] = []
    for _ in range(12):
        with pytest.raises(ApplicationError) as caught:
            await environment.run(reporter.tell_platform, NEWS)
        errors.append(caught.value)
    assert errors[-1].message.startswith("splio has failed too often")
    assert errors[-1].next_retry_delay is not None
    assert len(splio.asked) < 12


@pytest.mark.parametrize(
    ("written", "sources"),
    [
        ("splio", {"unsub", "bounce", "soft", "fbl", "stop"}),
        ("{preset: splio}", {"unsub", "bounce", "soft", "fbl", "stop"}),
        ("{preset: splio, sources: [bounce, stop]}", {"bounce", "stop"}),
    ],
)
def test_a_destination_says_what_it_wants_to_know(tmp_path: Path, written: str, sources: set[str]):
    file = tmp_path / "destinations.yaml"
    file.write_text(f"destinations:\n  a: {{url: 'https://a.example', suppressions: {written}}}\n")
    found = read(file).destinations["a"].suppressions
    assert found is not None
    assert (found.preset, found.sources) == ("splio", sources)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("spilo", "'spilo' is not allowed in 'suppressions': did you mean 'splio'"),
        ("{preset: splio, sources: []}", "'sources' is empty"),
        ("{preset: splio, sources: [custom]}", "'custom' is not allowed in 'sources': write unsub, bounce, soft, fbl"),
    ],
)
def test_a_mistake_in_it_is_said_in_one_sentence(tmp_path: Path, written: str, words: str):
    file = tmp_path / "destinations.yaml"
    file.write_text(f"destinations:\n  a: {{url: 'https://a.example', suppressions: {written}}}\n")
    with pytest.raises(UnusableFile, match=words) as caught:
        read(file)
    assert str(caught.value).startswith(f"{file}:2: ")
