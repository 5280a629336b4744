"""Access tokens of OAuth 2.0 for destinations (RFC 6749; assertions by RFC 7523).

Tokens live in the memory of a process only. They are fetched through the guarded transport, with the network
permissions of their destination.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from typing import Final
from urllib.parse import quote_plus, urlencode
from uuid import uuid4

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from activities.outcome import Backoff
from activities.webhook.destinations.destinations import AUTHORIZATION, CredentialsError, Destination, unset
from activities.webhook.destinations.form import OAuth2Form
from activities.webhook.errors import AttemptError, RefusedError
from activities.webhook.http.exchange import Request, Response, Tls, flaw
from activities.webhook.http.transport import Transport
from scenario.http.urls import Access
from scenario.type_guards import mapping_or_empty

TOKEN_TIMEOUT: Final = 10.0  # maximum seconds of a token request
LIFETIME: Final = 30 * 60  # assumed life of a token, in seconds, if the response does not state it
MARGIN: Final = 60.0
"""Seconds before its expiry at which a token is replaced; a short-lived one after nine tenths of its life."""
_ASSERTION_LIFE: Final = 300
_PAUSES: Final = (1.0, 30.0)  # seconds without a token request after a failed one: at first, and at most
_REPLACED: Final = 5  # maximum number of rejected tokens that are replaced within `_REJECTION_PERIOD` seconds
_REJECTION_PERIOD: Final = 60.0
_REFUSED_PAUSE: Final = 5.0
_JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"  # RFC 7523 §2.1
_ERRORS: Final = frozenset(
    {"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type"}
    | {"invalid_scope", "invalid_target", "access_denied"}
)
"""Errors of RFC 6749 §5.2 and RFC 8707 §2. Other texts of a receiver are not quoted."""
_REMEDY: Final = (
    "Set a new one, of a client whose refresh tokens are not replaced, or use the grant client_credentials or "
    "jwt_bearer"
)
_REFUSALS: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_LONGEST: Final = 365 * 24 * 3600.0
_SHORTEST_RSA: Final = 2048  # RFC 7518 §3.3

_logger = logging.getLogger(__name__)


class TokenUnavailableError(Exception):
    """No access token is available now. The message says why, without a URL."""

    def __init__(self, destination: str, reason: str, pause: float) -> None:
        self.backoff = Backoff(
            timedelta(seconds=pause),
            f"no access token for destination {destination}: {reason}",
            "this delivery is tried again",
            "access_token",
        )
        super().__init__(self.backoff.reason)


class _NoTokenError(Exception):
    """A token request failed; a later one may succeed."""


@dataclass(frozen=True, slots=True)
class _Inputs:
    """The data that a token depends on, with the servers that receive it: one's token is not shown to another."""

    settings: OAuth2Form
    access: Access
    tls: Tls
    url: str = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)


@dataclass(slots=True, repr=False)
class _Entry:
    """The token of a destination, or the failure of the latest request."""

    inputs: _Inputs
    token: str = ""
    until: float = 0.0  # on the clock: the end of the token's use, or of the pause after a failure
    refused: str = ""  # why the credentials cannot be used
    failed: str = ""  # why there is no token for the moment
    failures: int = 0  # number of failures in a row
    replaced: bool = False  # True if the server has replaced the refresh token, which cannot be stored
    request: asyncio.Task[None] | None = None
    rejections: deque[float] = field(default_factory=deque[float])  # when rejected tokens were replaced


class AccessTokens:
    """The access tokens of all destinations. One request at a time is made for a destination."""

    def __init__(self, transport: Transport, clock: Callable[[], float] = time.monotonic) -> None:
        self._transport, self._clock = transport, clock
        self._entries: dict[str, _Entry] = {}

    async def token(self, destination: Destination, secrets: Mapping[str, str], *, rejected: str = "") -> str:
        """Return the destination's access token, or ``""`` if it uses none. After a 401, fetch another than `rejected`.

        Raise CredentialsError if a secret is missing or unusable, or the authorization server refuses the credentials;
        TokenUnavailableError if it cannot be reached, or gives no token for the moment.
        """
        settings, name = destination.oauth2, destination.name
        if settings is None:
            return ""
        for secret in settings.secrets:
            if not secrets.get(secret):
                raise unset(f"destination {name}", secret)
        given = tuple(secrets[secret] for secret in settings.secrets)
        inputs = _Inputs(settings, destination.access, destination.token_tls, destination.url, given)
        entry = self._entries.get(name)
        if entry is None or entry.inputs != inputs:
            entry = self._entries[name] = _Entry(inputs)
        is_rejected = bool(rejected) and entry.token == rejected and self._may_replace(entry)
        if entry.request is None and (self._clock() >= entry.until or is_rejected):
            entry.request = asyncio.create_task(self._renew(name, entry, secrets))
        if entry.request is not None:
            await asyncio.shield(entry.request)  # of which others wait for the token, too
        if entry.refused:
            raise CredentialsError(entry.refused)
        if entry.failed:
            raise TokenUnavailableError(name, entry.failed, max(entry.until - self._clock(), 0.0))
        return entry.token

    def replaced_refresh_tokens(self) -> list[tuple[tuple[str], float]]:
        """Return a row for each destination whose refresh token the server has replaced. Thread-safe."""
        return [((name,), 1.0) for name, entry in list(self._entries.items()) if entry.replaced]

    def _may_replace(self, entry: _Entry) -> bool:
        """Return whether a rejected token may be replaced: a destination that rejects all gets few new ones."""
        now = self._clock()
        while entry.rejections and now - entry.rejections[0] >= _REJECTION_PERIOD:
            entry.rejections.popleft()
        if len(entry.rejections) >= _REPLACED:
            return False
        entry.rejections.append(now)
        return True

    async def _renew(self, name: str, entry: _Entry, secrets: Mapping[str, str]) -> None:
        """Fetch a token into the entry, or note the failure."""
        entry.token = entry.refused = entry.failed = ""
        try:
            answer = await self._transport.send(self._request(name, entry.inputs, secrets))
            entry.token, life, following = _read(name, entry, answer)
        except CredentialsError as error:
            entry.refused, pause = str(error), _REFUSED_PAUSE
        except RefusedError as error:
            entry.refused = f"the token endpoint of destination {name} may not be called: {error}"
            pause = _REFUSED_PAUSE
        except (AttemptError, _NoTokenError) as error:
            entry.failed = str(error).removesuffix(".").replace("The destination", "the token endpoint")
            pause = min(_PAUSES[0] * 2.0**entry.failures, _PAUSES[1])
        else:
            pause = max(life - MARGIN, life * 0.9)
            self._compare(name, entry, secrets, following)
        finally:
            entry.request = None
        entry.failures = entry.failures + 1 if entry.failed else 0
        entry.until = self._clock() + pause
        if entry.refused or entry.failures == 1:
            _logger.warning("no access token for destination %s: %s", name, entry.refused or entry.failed)

    def _compare(self, name: str, entry: _Entry, secrets: Mapping[str, str], following: object) -> None:
        """Report a refresh token other than ours (RFC 6749 §6): the server may refuse ours from now on."""
        secret = entry.inputs.settings.refresh_token
        if secret and isinstance(following, str) and following not in ("", secrets[secret]):
            entry.replaced = True
            _logger.error(
                "the token endpoint of destination %s has replaced the refresh token in the secret %s. The new one "
                "cannot be stored, so deliveries will fail once the old one is refused. %s",
                *(name, secret, _REMEDY),
            )

    def _request(self, name: str, inputs: _Inputs, secrets: Mapping[str, str]) -> Request:
        """Return a token request (RFC 6749 §4.4.2 and §6, RFC 7523 §2.1)."""
        settings, form = inputs.settings, dict[str, str]()
        match settings.grant:
            case "client_credentials":
                form |= {"grant_type": "client_credentials"} | _given(audience=settings.audience)
            case "refresh_token":
                form |= {"grant_type": "refresh_token", "refresh_token": secrets[settings.refresh_token or ""]}
            case "jwt_bearer":
                form |= {"grant_type": _JWT_BEARER, "assertion": self._assertion(name, settings, secrets)}
        form |= _given(scope=settings.scope)
        headers = {"accept": "application/json", "content-type": "application/x-www-form-urlencoded"}
        secret = secrets[settings.client_secret] if settings.client_secret else None
        if secret is not None and settings.client_auth == "basic":  # RFC 6749 §2.3.1
            pair = f"{quote_plus(settings.client_id)}:{quote_plus(secret)}"
            headers[AUTHORIZATION] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        elif settings.grant != "jwt_bearer":
            form |= {"client_id": settings.client_id} | _given(client_secret=secret)
        body = urlencode(form).encode()
        return Request("POST", settings.token_url, headers, body, TOKEN_TIMEOUT, inputs.access, inputs.tls)

    def _assertion(self, name: str, settings: OAuth2Form, secrets: Mapping[str, str]) -> str:
        """Return a signed assertion (RFC 7523 §3)."""
        key, algorithm = _private_key(name, settings.key or "", secrets[settings.key or ""])
        now = int(time.time())
        claims = {"iss": settings.client_id, "aud": settings.audience or settings.token_url, "iat": now}
        claims |= {"exp": now + _ASSERTION_LIFE, "jti": str(uuid4())}
        claims |= _given(sub=settings.subject, scope=settings.scope)
        return jwt.encode(claims, key, algorithm=algorithm, headers=_given(kid=settings.key_id))


def _read(name: str, entry: _Entry, response: Response) -> tuple[str, float, object]:
    """Return the token of a response, the seconds of its life, and the next refresh token, if any (RFC 6749 §5)."""
    answer, settings = mapping_or_empty(response.json()), entry.inputs.settings
    error = str(answer.get("error"))
    if response.status in _REFUSALS or (response.status == HTTPStatus.BAD_REQUEST and error in _ERRORS):
        what = f" ({error})" if error in _ERRORS else ""
        said = f"the token endpoint of destination {name} answered {response.status}{what}"
        if error == "invalid_grant" and settings.refresh_token:
            holder = f"the refresh token in the secret {settings.refresh_token}"
            lost = f"{holder} has expired, was revoked, or was replaced by the server"
            raise CredentialsError(f"{said}: {f'it has replaced {holder}' if entry.replaced else lost}. {_REMEDY}")
        credentials = " and ".join(("client_id", *(f"the secret {secret}" for secret in settings.secrets)))
        check = {"invalid_scope": "scope", "invalid_target": "audience"}.get(error, credentials)
        raise CredentialsError(f"{said}: check {check}")
    token, life = answer.get("access_token"), answer.get("expires_in")
    if response.status != HTTPStatus.OK or not isinstance(token, str) or not token:
        with_token = "" if response.status != HTTPStatus.OK else " without an access token"
        raise _NoTokenError(f"the token endpoint answered {response.status}{with_token}")
    if str(answer.get("token_type", "bearer")).lower() != "bearer" or flaw(AUTHORIZATION, f"Bearer {token}"):
        raise _NoTokenError("the token endpoint gave a token that cannot be used as a bearer token")
    try:
        seconds = float(life) if life is not None else LIFETIME
    except (TypeError, ValueError, OverflowError):
        seconds = LIFETIME
    return token, seconds if 0 < seconds < _LONGEST else LIFETIME, answer.get("refresh_token")


def _private_key(name: str, secret: str, value: str) -> tuple[RSAPrivateKey | EllipticCurvePrivateKey, str]:
    r"""Return a key in PEM, and its algorithm (RFC 7518 §3.1). Line breaks may be written ``\n``, as in JSON."""
    try:
        key = load_pem_private_key(value.replace("\\n", "\n").encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if isinstance(key, RSAPrivateKey) and key.key_size >= _SHORTEST_RSA:
        return key, "RS256"
    if isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1):
        return key, "ES256"
    raise CredentialsError(
        f"the secret {secret} cannot sign for destination {name}: it must be a private key in PEM without a password, "
        f"RSA of at least {_SHORTEST_RSA} bits, or P-256"
    )


def _given(**values: str | None) -> dict[str, str]:
    return {name: value for name, value in values.items() if value is not None}
