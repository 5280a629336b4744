"""The destinations of `destinations.yaml` in memory.

`reading` reads the file, `watch` watches it. A destination holds only the *names* of its secrets; each attempt adds the
values. A changed secret is therefore used within a second, and a displayed destination shows none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from activities.webhook.destinations.form import AudiencesForm, OAuth2Form, SigningForm, SuppressionsForm
from activities.webhook.http.exchange import Tls, flaw
from activities.webhook.limiter import Limits
from activities.webhook.signing import Key, SigningKeyError
from scenario import liquid
from scenario.errors import NotConfigured, TemplateError
from scenario.http.destinations import KnownDestination, KnownDestinations
from scenario.http.urls import Access

DEFAULT_RATE: Final = 100.0  # default deliveries per second of a destination
AUTHORIZATION: Final = "authorization"  # the header of access tokens (RFC 6750 §2.1)


def bearer(token: str) -> dict[str, str]:
    """Return the header of an access token, or nothing without one."""
    return {AUTHORIZATION: f"Bearer {token}"} if token else {}


IN_URL: Final = re.compile(r"\{\{ *secrets\.([A-Za-z_][A-Za-z0-9_]*) *\}\}", re.ASCII)  # a secret in a base URL
_OF_PATH: Final = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})+", re.ASCII)
"""Parts of an encoded path (RFC 3986 §3.3)."""


class CredentialsError(NotConfigured):
    """A secret is missing, unusable, or may not be sent there. The message names it, never its value."""


def unset(who: str, secret: str) -> CredentialsError:
    """Return the error for a secret that `who`, the sentence's subject, needs."""
    return CredentialsError(
        f"{who} needs the secret {secret}, which is not set: "
        f"set SCENARIO_SECRET_{secret}, or a file of that name under SCENARIO_SECRETS_DIR"
    )


@dataclass(frozen=True, slots=True)
class Destination:
    """An external system."""

    name: str
    url: str = field(repr=False)  # base URL without a trailing slash; its path may contain secrets
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)  # values: templates with `secrets`
    header_secrets: tuple[str, ...] = ()
    signing: tuple[SigningForm, ...] = ()  # signing keys; empty for unsigned requests
    oauth2: OAuth2Form | None = None  # the source of its access tokens, or None
    token_tls: Tls = field(default_factory=Tls)  # for the requests of access tokens
    secrets: tuple[str, ...] = ()
    owners: frozenset[str] | None = None  # scenarios that may use it, or None for all
    timeout: float | None = None  # default seconds of one attempt, or None
    retry: Mapping[str, float] = field(default_factory=dict[str, float])  # see `scenario.plan.retry.STORED`
    rate: float = DEFAULT_RATE  # deliveries per second of all workers together
    limits: Limits = field(default_factory=Limits)
    access: Access = field(default_factory=Access)
    tls: Tls = field(default_factory=Tls)
    suppressions: SuppressionsForm | None = None  # reports of suppressed addresses, or None
    audiences: AudiencesForm | None = None  # audiences to keep in sync, or None

    @property
    def own_secrets(self) -> tuple[str, ...]:
        """Names of all secrets that it uses, including signing keys."""
        return (*self.plain_secrets, *(signer.key for signer in self.signing))

    @property
    def signing_secrets(self) -> tuple[str, ...]:
        """Names of the secrets with which somebody could sign in our name."""
        asserting = (self.oauth2.key,) if self.oauth2 and self.oauth2.key else ()
        return (*(signer.key for signer in self.signing), *asserting)

    @property
    def plain_secrets(self) -> tuple[str, ...]:
        """Names of the secrets that it uses except keys that sign requests."""
        return (*self.url_secrets, *self.header_secrets, *(self.oauth2.secrets if self.oauth2 else ()))

    @property
    def all_headers(self) -> tuple[str, ...]:
        """Names of the headers that it sets in every request, besides signatures."""
        return (*self.headers, *((AUTHORIZATION,) if self.oauth2 else ()))

    @property
    def url_secrets(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(IN_URL.findall(self.url)))

    def rendered_url(self, secrets: Mapping[str, str]) -> str:
        """Return the base URL of one attempt. Secrets are inserted unchanged, so their slashes separate parts.

        Raise CredentialsError if a secret is missing, or does not fit into a path.
        """

        def put(found: re.Match[str]) -> str:
            value = self._known(found[1], secrets)
            if not _OF_PATH.fullmatch(value):
                raise CredentialsError(
                    f"the secret {found[1]} cannot stand in the URL of destination {self.name}: "
                    "it must be a part of a path as it is sent, such as T01/B02/x3, without spaces, ? and #"
                )
            return value

        return IN_URL.sub(put, self.url)

    def rendered_headers(self, secrets: Mapping[str, str]) -> dict[str, str]:
        """Return the headers of one attempt. Raise CredentialsError if a secret is missing or does not fit."""
        known = {"secrets": {name: self._known(name, secrets) for name in self.header_secrets}}
        made: dict[str, str] = {}
        for name, template in self.headers.items():
            try:
                made[name] = liquid.render_header(template, known)
            except TemplateError:
                made[name] = "\n"  # a value that no header can hold: said below, without the value
            if flaw(name, made[name]):
                raise CredentialsError(
                    f"the header '{name}' of destination {self.name} cannot be made of its secrets"
                    f"{self._listed()}: check whether they hold line breaks, leading or trailing spaces, or "
                    "non-ASCII characters"
                )
        return made

    def keys(self, secrets: Mapping[str, str], now: datetime) -> list[Key]:
        """Return the keys that sign an attempt; none for an unsigned destination.

        Expired keys are not looked up, so their secrets may be removed. Raise CredentialsError if a live key is missing
        or malformed, or none is live: a signed destination gets no unsigned request.
        """
        found: list[Key] = []
        for signer in self.signing:
            if signer.until is not None and now >= signer.until:
                continue
            try:
                found.append(Key.parse(self._known(signer.key, secrets)))
            except SigningKeyError as error:
                text = str(error)
                raise CredentialsError(
                    f"the secret {signer.key} cannot sign for destination {self.name}: {text[:1].lower()}{text[1:]}"
                ) from None
        if self.signing and not found:
            raise CredentialsError(f"all signing keys of destination {self.name} have expired: set a new one")
        return found

    def _known(self, name: str, secrets: Mapping[str, str]) -> str:
        value = secrets.get(name)
        if not value:
            raise unset(f"destination {self.name}", name)
        return value

    def _listed(self) -> str:
        return f" ({', '.join(self.header_secrets)})" if self.header_secrets else ""


@dataclass(frozen=True, slots=True)
class Destinations:
    """All destinations and defaults."""

    destinations: Mapping[str, Destination] = field(default_factory=dict[str, Destination])
    rate: float = DEFAULT_RATE  # default deliveries per second
    limits: Limits = field(default_factory=Limits)  # default limits of each worker process
    public_secrets: tuple[str, ...] = ()  # secrets that scenarios may send to any plain URL
    listing: KnownDestinations = field(init=False, repr=False, compare=False)  # what scenarios may know of them

    def __post_init__(self) -> None:
        signing = frozenset(secret for found in self.destinations.values() for secret in found.signing_secrets)
        known = {
            name: KnownDestination(
                *(found.all_headers, frozenset(found.secrets) - signing, found.owners),
                has_audiences=found.audiences is not None,
            )
            for name, found in self.destinations.items()
        }
        object.__setattr__(self, "listing", KnownDestinations(known, frozenset(self.public_secrets) - signing))

    def get(self, name: str) -> Destination | None:
        return self.destinations.get(name)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self.destinations))

    @property
    def rates(self) -> dict[str, float]:
        """Deliveries per second of destinations that differ from the default."""
        return {name: found.rate for name, found in self.destinations.items() if found.rate != self.rate}
