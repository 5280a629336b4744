"""What a platform is told of suppressed addresses, and what its answers mean, at a real receiver."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.background import PlatformReply, SuppressionNotice
from activities.suppressions import address_seal
from activities.webhook.destinations.reading import read
from activities.webhook.platform import REJECTIONS, SuppressionReporter
from tests.activities.webhook.conftest import Desk
from tests.activities.webhook.faults import Behaviour, Receiver, answer, receiver

SEAL = address_seal([b"k" * 32])
ADDRESS = "zoe@example.com"
NEWS = SuppressionNotice(destination="splio", channel="email", address=SEAL.seal_fields([ADDRESS]), source="bounce")
TAKEN = {"successes": [ADDRESS], "failures": []}


def failed(key: Any, **more: Any) -> dict[str, Any]:
    error = f"Touchpoint {ADDRESS} is bad."
    return {"successes": [], "failures": [{"touchpoint": ADDRESS, "error": error, "error_key": key}], **more}


def told(status: int, content: Any) -> Behaviour:
    return answer(status, content if isinstance(content, bytes) else json.dumps(content).encode())


@pytest.fixture
def environment() -> ActivityEnvironment:
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, workflow_id=f"suppression:splio:{'ab' * 16}")
    return environment


@pytest.fixture
async def splio() -> AsyncIterator[Receiver]:
    async with receiver(told(200, TAKEN)) as there:
        yield there


Tell = Callable[[SuppressionNotice], Awaitable[PlatformReply]]


@pytest.fixture
def tell(environment: ActivityEnvironment, splio: Receiver, desk: Desk) -> Tell:
    headers = 'headers: {Authorization: "Bearer {{ secrets.SPLIO_TOKEN }}"}'
    here = desk.local(splio, f", suppressions: splio, {headers}", "/v1")
    desk.know(splio=here, other='url: "https://other.example"')
    desk.secrets = {"SPLIO_TOKEN": "s3cret"}
    reporter = SuppressionReporter(desk.context({}).calls, desk.routes, SEAL)
    return lambda notice: environment.run(reporter.tell_platform, notice)


@pytest.mark.parametrize(
    ("channel", "address", "path"), [("email", ADDRESS, "email"), ("sms", "+33612345678", "cellphone")]
)
async def test_splio_is_asked_as_its_api_wants_it(tell: Tell, splio: Receiver, channel: str, address: str, path: str):
    news = replace(NEWS, channel=channel, address=SEAL.seal_fields([address]))
    assert await tell(news) == PlatformReply(outcome="told", status=200)
    [call] = splio.calls
    assert (call.method, call.target, call.header("authorization")) == (
        *("POST", f"/v1/data/blacklists/{path}", "Bearer s3cret"),
    )
    assert json.loads(call.body) == {"data": [address]}


@pytest.mark.parametrize(
    ("status", "content", "expected"),
    [
        (207, {"successes": [ADDRESS], "failures": failed("x")["failures"]}, "told"),
        (207, failed("touchpoint_already_exist"), "known"),
        (400, failed("touchpoint_already_exist"), "known"),
        (204, b"", "told"),
        (200, b"<html>", "told"),
        (200, ["?"], "told"),
    ],
)
async def test_an_answer_that_settles_it(tell: Tell, splio: Receiver, status: int, content: Any, expected: str):
    splio.behaviour = told(status, content)
    assert await tell(NEWS) == PlatformReply(outcome=expected, status=status)


@pytest.mark.parametrize(
    ("status", "content", "attempt", "final", "words"),
    [
        (207, failed("wrong_value"), 1, False, "splio answered 207 and does not take it: wrong_value"),
        (207, failed("wrong_value"), REJECTIONS, True, "splio answered 207 and does not take it: wrong_value"),
        (400, failed("wrong_value"), 1, False, "splio answered 400 and does not take it: wrong_value"),
        (207, failed(f"bad {ADDRESS}"), 1, False, "splio answered 207 and does not take it: unknown"),
        (207, {"failures": ["?"]}, 1, False, "splio answered 207 and does not take it: unknown"),
        (400, {"status": 400, "errors": [{"error_key": ADDRESS}]}, 1, True, "splio answered 400"),
        (401, b"", 9, False, "splio answered 401"),  # tokens expire, and are renewed
        (503, b"", 9, False, "splio answered 503"),
    ],
)
async def test_another_is_tried_again_or_on_record(
    tell: Tell,
    environment: ActivityEnvironment,
    splio: Receiver,
    status: int,
    content: Any,
    attempt: int,
    final: bool,
    words: str,
):
    splio.behaviour = told(status, content)
    environment.info = replace(environment.info, attempt=attempt)
    with pytest.raises(ApplicationError, match="splio answered") as caught:
        await tell(NEWS)
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
    tell: Tell, splio: Receiver, news: SuppressionNotice, final: bool, words: str
):
    with pytest.raises(ApplicationError, match=words) as caught:
        await tell(news)
    assert (caught.value.non_retryable, splio.calls) == (final, [])


async def test_a_platform_that_is_down_is_left_alone_like_every_destination(tell: Tell, splio: Receiver):
    splio.behaviour = told(503, b"")
    errors: list[ApplicationError] = []
    for _ in range(12):
        with pytest.raises(ApplicationError) as caught:
            await tell(NEWS)
        errors.append(caught.value)
    assert errors[-1].message.startswith("splio has failed too often")
    assert errors[-1].next_retry_delay is not None
    assert len(splio.calls) < 12


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
    assert (found.preset, {*found.sources}) == ("splio", sources)
