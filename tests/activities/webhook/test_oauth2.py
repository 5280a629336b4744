"""Access tokens, from an authorization server on this machine to the header of a request."""

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

import jwt
import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.background import SuppressionNotice
from activities.channel import ChannelActivity, RenderContext, SendContext
from activities.channel_registry import WEBHOOK
from activities.email.settings import Senders
from activities.failures import FailureKind
from activities.suppressions import address_seal
from activities.webhook.channel import ADAPTER
from activities.webhook.destinations.destinations import CredentialsError, Destination
from activities.webhook.destinations.form import OAuth2Form
from activities.webhook.destinations.reading import DestinationsFile
from activities.webhook.http.transport import Transport
from activities.webhook.oauth2 import AccessTokens, TokenUnavailableError
from activities.webhook.platform import SuppressionReporter
from scenario.http.urls import Access
from scenario.steps.webhook import Webhook
from tests.activities.webhook.conftest import ID, Desk
from tests.activities.webhook.faults import Receiver, answer, receiver
from tests.activities.webhook.issuer import CLIENT, KEY, PUBLIC, REFRESH, SECRET, Issuer, issuer
from tests.factories import delivery
from tests.fakes import Clock

SECRETS = {"ADS_SECRET": SECRET, "ADS_REFRESH": REFRESH, "ADS_KEY": KEY, "WEAK": "no key"}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Issuer]:
    with issuer(monkeypatch) as made:
        yield made


@pytest.fixture
def tokens(transport: Transport, clock: Clock) -> AccessTokens:
    return AccessTokens(transport, clock)


def ads(server: Issuer, **settings: Any) -> Destination:
    access = settings.pop("access", Access(allow_private=True, allow_http=True, ports=(server.port,)))
    given = {"grant": "client_credentials", "client_secret": "ADS_SECRET", "token_url": server.url, **settings}
    oauth2 = OAuth2Form.model_validate({"client_id": CLIENT, **given})
    return Destination("ads", "https://ads.example", oauth2=oauth2, access=access)


@pytest.mark.parametrize(
    ("settings", "form"),
    [
        ({}, {"grant_type": "client_credentials"}),
        (
            (more := {"scope": "a b", "audience": "https://ads.example"}) | {"client_auth": "body"},
            {"grant_type": "client_credentials", "client_id": CLIENT, "client_secret": SECRET} | more,
        ),
        (
            {"grant": "refresh_token", "refresh_token": "ADS_REFRESH"},
            {"grant_type": "refresh_token", "refresh_token": REFRESH},
        ),
    ],
    ids=["client", "client in the body", "refresh token"],
)
async def test_a_token_is_given_for_a_secret(
    tokens: AccessTokens, server: Issuer, settings: dict[str, Any], form: dict[str, str]
):
    token = await tokens.token(ads(server, **settings), SECRETS)
    assert server.issued == [token]
    assert server.forms == [form]
    assert server.basic == ["" if "client_auth" in settings else "runner:client-secret-0123456789"]


async def test_signs_in_a_secret_do_not_end_it(tokens: AccessTokens, server: Issuer):
    with pytest.raises(CredentialsError):
        await tokens.token(ads(server), {"ADS_SECRET": "a secret: with & signs"})
    assert server.basic == ["runner:a+secret%3A+with+%26+signs"]  # RFC 6749 §2.3.1


@pytest.mark.parametrize("key", [KEY, KEY.replace("\n", "\\n")], ids=["PEM", "with its line breaks as in JSON"])
async def test_a_token_is_given_for_a_signed_assertion(tokens: AccessTokens, server: Issuer, key: str):
    signed = {"grant": "jwt_bearer", "client_secret": None, "key": "ADS_KEY", "key_id": "k1", "subject": "shop"}
    token = await tokens.token(ads(server, scope="ads", **signed), SECRETS | {"ADS_KEY": key})
    assert server.issued == [token]
    [form] = server.forms
    assert form.keys() == {"grant_type", "assertion", "scope"}
    assert jwt.get_unverified_header(form["assertion"]) == {"alg": "RS256", "kid": "k1", "typ": "JWT"}
    claims = jwt.decode(form["assertion"], PUBLIC, algorithms=["RS256"], audience=server.url)
    assert claims["exp"] - claims.pop("iat") == 300
    assert claims.items() >= {"iss": CLIENT, "sub": "shop", "aud": server.url, "scope": "ads"}.items()


async def test_a_token_is_fetched_once_for_many_and_again_before_its_end(
    tokens: AccessTokens, server: Issuer, clock: Clock
):
    there = ads(server)
    first = set(await asyncio.gather(*(tokens.token(there, SECRETS) for _ in range(50))))
    clock.now += 3600 - 61
    assert {await tokens.token(there, SECRETS)} == first
    clock.now += 2
    assert await tokens.token(there, SECRETS) not in first
    assert len(server.issued) == 2


async def test_a_rejected_token_is_replaced_once_however_many_were_rejected(tokens: AccessTokens, server: Issuer):
    there = ads(server)
    old = await tokens.token(there, SECRETS)
    newer = set(await asyncio.gather(*(tokens.token(there, SECRETS, rejected=old) for _ in range(10))))
    assert len(newer) == 1
    assert old not in newer
    assert len(server.issued) == 2


async def test_a_destination_that_rejects_every_token_gets_few_new_ones(
    tokens: AccessTokens, server: Issuer, clock: Clock
):
    there = ads(server)
    token = await tokens.token(there, SECRETS)
    for _ in range(20):
        token = await tokens.token(there, SECRETS, rejected=token)
    assert len(server.issued) == 6
    clock.now += 61
    assert await tokens.token(there, SECRETS, rejected=token) != token


async def test_other_secrets_and_settings_get_another_token(tokens: AccessTokens, server: Issuer):
    there = ads(server)
    found = [there, ads(server, scope="more"), there, replace(there, url="https://other.example")]
    assert len({await tokens.token(one, SECRETS) for one in found}) == 4
    with pytest.raises(
        CredentialsError, match=r"answered 401 \(invalid_client\): check client_id and the secret ADS_S"
    ):
        await tokens.token(ads(server), {"ADS_SECRET": "old"})


ENDPOINT = "the token endpoint of destination ads"


@pytest.mark.parametrize(
    ("settings", "secrets", "sentence"),
    [
        ({}, {"ADS_SECRET": ""}, "destination ads needs the secret ADS_SECRET, which is not set"),
        (
            {},
            {"ADS_SECRET": "x"},
            f"{ENDPOINT} answered 401 (invalid_client): check client_id and the secret ADS_SECRET",
        ),
        (
            *({"grant": "refresh_token", "refresh_token": "ADS_REFRESH"}, {"ADS_REFRESH": "revoked"}),
            f"{ENDPOINT} answered 400 (invalid_grant): the refresh token in the secret ADS_REFRESH has expired, was "
            "revoked, or was replaced by the server. Set a new one, of a client whose refresh tokens are not replaced",
        ),
        (
            *({"grant": "jwt_bearer", "client_secret": None, "key": "ADS_KEY"}, {"ADS_KEY": "-----BEGIN"}),
            "the secret ADS_KEY cannot sign for destination ads: it must be a private key in PEM without a password, "
            "RSA of at least 2048 bits, or P-256",
        ),
        (
            *({"access": Access(allow_http=True)}, {}),
            f"{ENDPOINT} may not be called: The destination's name leads to an address that may not be called",
        ),
    ],
    ids=["unset", "wrong secret", "revoked refresh token", "no key", "not permitted"],
)
async def test_credentials_that_cannot_work_are_named_and_not_shown(
    tokens: AccessTokens, server: Issuer, settings: dict[str, Any], secrets: dict[str, str], sentence: str
):
    there = ads(server, **settings)
    with pytest.raises(CredentialsError) as refused:
        await tokens.token(there, SECRETS | secrets)
    assert str(refused.value).startswith(sentence)


WITHOUT, UNUSABLE = "answered 200 without an access token", "gave a token that cannot be used as a bearer token"


@pytest.mark.parametrize(
    ("outage", "reason"),
    [
        ((503, "soon"), "answered 503"),
        ((404, "{}"), "answered 404"),
        ((503, '{"error": "invalid_client"}'), "answered 503"),
        ((200, "[" * 9000), WITHOUT),
        ((200, "<html>"), WITHOUT),
        ((200, '{"access_token": 7}'), WITHOUT),
        ((200, '{"access_token": "a\\nb"}'), UNUSABLE),
        ((200, '{"access_token": "a", "token_type": "mac"}'), UNUSABLE),
    ],
    ids=["down", "moved", "not the client's fault", "deep", "no JSON", "no text", "no header", "another type"],
)
async def test_without_a_token_for_the_moment_the_server_is_left_alone_for_a_while(
    tokens: AccessTokens, server: Issuer, clock: Clock, outage: tuple[int, str], reason: str
):
    there, server.outage = ads(server), outage
    for pause in (1, 2, 4, 8, 16, 30, 30):
        for _ in range(2):
            with pytest.raises(TokenUnavailableError, match="no access token for") as missing:
                await tokens.token(there, SECRETS)
            assert str(missing.value) == f"no access token for destination ads: the token endpoint {reason}"
            assert missing.value.backoff.delay.total_seconds() == pause
        clock.now += pause
    assert len(server.forms) == 7
    server.outage = None
    assert await tokens.token(there, SECRETS) == server.issued[-1]


@pytest.mark.parametrize(
    ("body", "life"),
    [
        ('{"access_token": "a", "expires_in": 10}', 9.0),
        ('{"access_token": "a", "expires_in": "7200"}', 7140.0),
        ('{"access_token": "a"}', 1740.0),
        ('{"access_token": "a", "expires_in": "soon"}', 1740.0),
        ('{"access_token": "a", "expires_in": -1}', 1740.0),
        ('{"access_token": "a", "expires_in": 1e300}', 1740.0),
        ('{"access_token": "a", "expires_in": 1' + "0" * 400 + "}", 1740.0),
    ],
)
async def test_a_token_lives_as_long_as_it_is_said(
    tokens: AccessTokens, server: Issuer, clock: Clock, body: str, life: float
):
    there, server.outage = ads(server), (HTTPStatus.OK, body)
    await tokens.token(there, SECRETS)
    clock.now += life - 0.1
    await tokens.token(there, SECRETS)
    assert len(server.forms) == 1
    clock.now += 0.2
    await tokens.token(there, SECRETS)
    assert len(server.forms) == 2


REPLACED = (200, '{"access_token": "a", "refresh_token": "another", "expires_in": 3600}')
FORGOTTEN = (400, '{"error": "invalid_grant"}')


def _errors(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_replaced_refresh_token_is_an_error_that_is_seen_before_and_after_it_hurts(
    tokens: AccessTokens, server: Issuer, clock: Clock, caplog: pytest.LogCaptureFixture
):
    there = ads(server, grant="refresh_token", refresh_token="ADS_REFRESH")
    server.outage = REPLACED
    assert await tokens.token(there, SECRETS) == "a"
    [record] = _errors(caplog)
    assert record.levelname == "ERROR"
    assert record.message.startswith(
        f"{ENDPOINT} has replaced the refresh token in the secret ADS_REFRESH. The new one cannot be stored"
    )
    assert "another" not in caplog.text
    assert tokens.replaced_refresh_tokens() == [(("ads",), 1)]

    clock.now += 3600
    server.outage = FORGOTTEN
    with pytest.raises(CredentialsError) as refused:
        await tokens.token(there, SECRETS)
    assert str(refused.value).startswith(
        f"{ENDPOINT} answered 400 (invalid_grant): it has replaced the refresh token in the secret ADS_REFRESH. Set a "
        "new one, of a client whose refresh tokens are not replaced, or"
    )


@pytest.mark.parametrize(
    "body",
    [
        '{"access_token": "a"}',
        '{"access_token": "a", "refresh_token": null}',
        '{"access_token": "a", "refresh_token": ""}',
        json.dumps({"access_token": "a", "refresh_token": REFRESH}),
    ],
)
async def test_a_refresh_token_that_stays_is_no_error(
    tokens: AccessTokens, server: Issuer, body: str, caplog: pytest.LogCaptureFixture
):
    server.outage = (200, body)
    await tokens.token(ads(server, grant="refresh_token", refresh_token="ADS_REFRESH"), SECRETS)
    await tokens.token(ads(server), SECRETS)
    assert tokens.replaced_refresh_tokens() == []
    assert not _errors(caplog)


async def test_a_new_secret_ends_the_error_of_the_replaced_one(tokens: AccessTokens, server: Issuer):
    there = ads(server, grant="refresh_token", refresh_token="ADS_REFRESH")
    server.outage = REPLACED
    await tokens.token(there, SECRETS)
    server.outage = None
    with pytest.raises(CredentialsError, match="has expired, was revoked, or was replaced"):
        await tokens.token(there, SECRETS | {"ADS_REFRESH": "a new one"})
    assert tokens.replaced_refresh_tokens() == []


async def test_a_server_that_does_not_listen_is_said_to_be_down(tokens: AccessTokens, server: Issuer):
    gone = ads(server, access=Access(True, (), True, (9,)), token_url="http://127.0.0.1:9/token")
    with pytest.raises(TokenUnavailableError) as missing:
        await tokens.token(gone, SECRETS)
    assert str(missing.value) == (
        "no access token for destination ads: the token endpoint refused the connection: nothing listens on that port"
    )


async def test_one_that_stops_waiting_does_not_stop_the_others(tokens: AccessTokens, server: Issuer):
    there = ads(server)
    waiting = [asyncio.create_task(tokens.token(there, SECRETS)) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert results[1:] == server.issued * 2


# ---- the webhook


def oauth2(server: Issuer) -> str:
    """The authentication of a destination, in `destinations.yaml`."""
    return (
        f', auth: {{oauth2: {{grant: client_credentials, token_url: "{server.url}", client_id: {CLIENT}, '
        "client_secret: ADS_SECRET}}"
    )


To = Callable[[Receiver], ChannelActivity[None]]


@pytest.fixture
def to(desk: Desk, server: Issuer) -> To:
    desk.secrets = dict(SECRETS)

    def make(there: Receiver) -> ChannelActivity[None]:
        desk.know(ads=desk.local(there, oauth2(server), ports=(server.port,)))
        return ChannelActivity(WEBHOOK, desk.context({"to": "ads", "path": "/in", "body": {"a": "1"}}))

    return make


def shown(there: Receiver) -> list[str | None]:
    return [(call.header("authorization") or "").removeprefix("Bearer ") for call in there.calls]


async def test_a_request_carries_the_token_and_the_same_one_again(desk: Desk, to: To, server: Issuer):
    async with receiver(answer(200)) as there:
        webhooks = to(there)
        for _ in range(2):
            await desk.send(webhooks)
    assert shown(there) == server.issued * 2


async def test_a_destination_that_changes_meanwhile_does_not_get_the_token(
    desk: Desk, to: To, server: Issuer, monkeypatch: pytest.MonkeyPatch
):
    async with receiver(answer(200)) as old, receiver(answer(200)) as new:
        webhooks, fetch = to(old), AccessTokens.token

        async def slow(tokens: AccessTokens, *given: Any, **more: Any) -> str:
            token = await fetch(tokens, *given, **more)
            to(new)
            return token

        monkeypatch.setattr(AccessTokens, "token", slow)
        failure, _ = await desk.fail(webhooks)
        assert (failure.kind, failure.unsent, old.calls, new.calls) == (FailureKind.RETRY, True, [], [])
        assert (await desk.send(webhooks)).outcome == "delivered"
    assert shown(new) == server.issued[1:]


async def test_a_401_gets_another_token_within_the_same_attempt(desk: Desk, to: To, server: Issuer):
    async with receiver(answer(401), answer(200)) as there:
        sent = await desk.send(to(there))
    assert (sent.outcome, sent.attempt) == ("delivered", 1)
    assert shown(there) == server.issued
    assert len(server.issued) == 2
    assert [call.header("webhook-id") for call in there.calls] == [ID] * 2


async def test_a_second_401_is_the_receivers_answer_and_so_is_one_without_another_token(
    desk: Desk, to: To, server: Issuer
):
    async with receiver(answer(401)) as there:
        webhooks = to(there)
        for server.outage in (None, (503, "")):
            failure, _ = await desk.fail(webhooks)
            assert (failure.kind, failure.status, failure.reason) == (FailureKind.RETRY, 401, "ads answered 401")
    assert len(there.calls) == 3


async def test_a_wrong_secret_holds_and_says_which_one(desk: Desk, to: To, server: Issuer):
    desk.secrets["ADS_SECRET"] = "wrong-secret-0123456789"
    async with receiver(answer(200)) as there:
        failure, _ = await desk.fail(to(there))
    assert failure.kind is FailureKind.UNCONFIGURED
    assert failure.reason == (
        "The token endpoint of destination ads answered 401 (invalid_client): check client_id and the secret ADS_SECRET"
    )
    assert there.calls == []


async def test_an_authorization_server_that_is_down_costs_no_attempt(desk: Desk, to: To, server: Issuer):
    server.outage = (503, "")
    async with receiver(answer(200)) as there:
        webhooks = to(there)
        failure, _ = await desk.fail(webhooks)
    assert (failure.kind, failure.turned_away) == (FailureKind.RETRY, True)
    assert failure.reason == (
        "no access token for destination ads: the token endpoint answered 503: this delivery is tried again"
    )
    assert (desk.rows, there.calls) == ([], [])


async def test_a_token_in_a_response_is_masked(desk: Desk, to: To, server: Issuer):
    server.outage = (200, '{"access_token": "token-0123456789"}')
    async with receiver(answer(500, b'{"you sent": "Bearer token-0123456789"}')) as there:
        failure, _ = await desk.fail(to(there))
    assert failure.excerpt == '{"you sent": "Bearer […]"}'


# ---- previews and test messages


async def test_a_preview_shows_the_header_and_a_test_message_gets_a_token(
    desk: Desk, to: To, server: Issuer, tmp_path: Path
):
    async with receiver(answer(200)) as there:
        to(there)
        step = Webhook.model_validate({"webhook": "told", "to": "ads", "body": {"a": "1"}})
        rendering = RenderContext(
            senders=Senders.configured("shop@example.com", None), book=DestinationsFile(desk.file).book
        )
        message = ADAPTER.render(step, delivery(timeout=60.0), {}, rendering)
        assert message.headers["authorization"] == "Bearer ~~access_token~~"
        context = SendContext(
            message=message,
            step=step,
            delivery=delivery(timeout=60.0),
            data={},
            connection=None,
            routes=desk.routes,
            secrets=SECRETS,
        )
        sent, reply = await ADAPTER.send(context)
        assert (reply.delivered, sent.headers["authorization"]) == (True, "Bearer ~~access_token~~")
        assert shown(there) == server.issued
        server.outage = (503, "")
        _, reply = await ADAPTER.send(context)
    assert (reply.delivered, reply.said) == (
        False,
        "no access token for destination ads: the token endpoint answered 503",
    )


# ---- reports of suppressed addresses


async def test_a_report_of_a_suppression_carries_a_token_and_another_after_a_401(desk: Desk, server: Issuer):
    seal = address_seal([b"k" * 32])
    taken = answer(200, b'{"successes": ["zoe@example.com"], "failures": []}')
    async with receiver(answer(401), taken) as there:
        desk.know(ads=desk.local(there, ", suppressions: splio" + oauth2(server), ports=(server.port,)))
        desk.secrets = dict(SECRETS)
        reporter = SuppressionReporter(desk.context({}).calls, desk.routes, seal)
        notice = SuppressionNotice(
            destination="ads", channel="email", address=seal.seal_fields(["zoe@example.com"]), source="bounce"
        )
        with pytest.raises(ApplicationError, match="ads answered 401"):
            await ActivityEnvironment().run(reporter.tell_platform, notice)
        assert (await ActivityEnvironment().run(reporter.tell_platform, notice)).outcome == "told"
        server.outage = (503, "")
        late = SuppressionReporter(desk.context({}).calls, desk.routes, seal)
        with pytest.raises(ApplicationError, match="no access token for destination ads: the token endpoint answered"):
            await ActivityEnvironment().run(late.tell_platform, notice)
    assert shown(there) == server.issued
