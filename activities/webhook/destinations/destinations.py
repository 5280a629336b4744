"""The destinations of webhooks, in memory, as `destinations.yaml` describes them.

`reading` makes it from `destinations.yaml`, `watch` keeps it up to date. A destination holds the *names* of its secrets
only. Their values come with each attempt, so that a secret that was changed is used within a second, and nothing that
shows a destination shows one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from activities.webhook.http.exchange import Tls
from activities.webhook.http.headers import flaw
from activities.webhook.signing import Key, SigningKeyError
from activities.webhook.throttle.limits import Limits
from scenario import liquid
from scenario.errors import NotConfigured, TemplateError
from scenario.http.access import Access
from scenario.http.destinations import Known, Listing

DEFAULT_RATE: Final = 100.0
"""Deliveries a second of a destination that says nothing, where `destinations.yaml` says no other default."""


IN_URL: Final = re.compile(r"\{\{ *secrets\.([A-Za-z_][A-Za-z0-9_]*) *\}\}", re.ASCII)
"""A secret in a base URL."""
_OF_PATH: Final = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})+", re.ASCII)
"""Parts of a path as they are sent (RFC 3986 §3.3)."""


class CredentialsError(NotConfigured):
    """A secret is not there, cannot be used, or may not go there. The message names it, never its value."""


def unset(who: str, secret: str) -> CredentialsError:
    """Return the error where a secret is not there.

    Args:
        who: Needs it, as the sentence's subject.
        secret: Its name.
    """
    return CredentialsError(
        f"{who} needs the secret {secret}, which is not set: "
        f"set SCENARIO_SECRET_{secret}, or a file of that name under SCENARIO_SECRETS_DIR"
    )


@dataclass(frozen=True, slots=True)
class Signer:
    """A key that signs, by the name of its secret.

    Attributes:
        secret: The secret's name.
        until: When it ceases to sign, with a zone; None = never.
    """

    secret: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Suppressions:
    """A destination is told of suppressed addresses.

    Attributes:
        preset: The platform's API; see `activities.webhook.presets`.
        sources: Of those that are suppressed for one of these.
    """

    preset: str
    sources: frozenset[str]


@dataclass(frozen=True, slots=True)
class Destination:
    """A system that webhooks go to.

    Attributes:
        name: What scenarios call it.
        url: Base URL, without a slash at its end; behind its host it may name secrets.
        headers: Of every request; values are templates that name nothing but `secrets`.
        header_secrets: The secrets that the headers name.
        signing: What signs requests; empty = they are not signed.
        secrets: The names of those that scenarios may send there.
        owners: The scenarios that may use it, or None for all.
        timeout: Seconds of one attempt, where a scenario sets none; None = the language's default.
        retry: What it sets of the retry policy, by the names of `scenario.plan.retry.STORED`, in seconds.
        rate: Deliveries a second, of all workers together.
        limits: What one worker process keeps to.
        access: Where requests may go.
        tls: Whom to trust and who we are.
        suppressions: True if it is told of suppressed addresses.
    """

    name: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    header_secrets: tuple[str, ...] = ()
    signing: tuple[Signer, ...] = ()
    secrets: tuple[str, ...] = ()
    owners: frozenset[str] | None = None
    timeout: float | None = None
    retry: Mapping[str, float] = field(default_factory=dict[str, float])
    rate: float = DEFAULT_RATE
    limits: Limits = field(default_factory=Limits)
    access: Access = field(default_factory=Access)
    tls: Tls = field(default_factory=Tls)
    suppressions: Suppressions | None = None

    @property
    def own_secrets(self) -> tuple[str, ...]:
        """The names of all secrets that it uses, those that sign among them."""
        return (*self.url_secrets, *self.header_secrets, *(signer.secret for signer in self.signing))

    @property
    def url_secrets(self) -> tuple[str, ...]:
        """The secrets that the base URL names."""
        return tuple(dict.fromkeys(IN_URL.findall(self.url)))

    def rendered_url(self, secrets: Mapping[str, str]) -> str:
        """Return the base URL of one attempt. A secret is put in as it is: its slashes part the path.

        Raises:
            CredentialsError: A secret is missing, or no path can hold it.
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
        """Return the headers of one attempt.

        Raises:
            CredentialsError: A secret is missing, or no header can hold it.
        """
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
        """Return the keys that sign an attempt, or none if the destination has no signing keys.

        A key whose overlap is over is not looked for, so that its secret may be taken away.

        Args:
            secrets: As they are now.
            now: The time of the attempt.

        Raises:
            CredentialsError: A live key is missing or malformed, or none is live: what a receiver expects to be signed
                is never sent without a signature.
        """
        found: list[Key] = []
        for signer in self.signing:
            if signer.until is not None and now >= signer.until:
                continue
            try:
                found.append(Key.parse(self._known(signer.secret, secrets)))
            except SigningKeyError as error:
                text = str(error)
                raise CredentialsError(
                    f"the secret {signer.secret} cannot sign for destination {self.name}: {text[:1].lower()}{text[1:]}"
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
    """All destinations, and what holds for every other place.

    Attributes:
        destinations: By name.
        rate: Deliveries a second of any place that has no rate of its own.
        limits: What one worker process keeps to, for a place that has no limits of its own.
        public_secrets: The names of those that scenarios may send to any plain URL.
        listing: What scenarios have to know of them: a secret that signs is granted to nobody, since whoever has it
            can sign in our name.
    """

    destinations: Mapping[str, Destination] = field(default_factory=dict[str, Destination])
    rate: float = DEFAULT_RATE
    limits: Limits = field(default_factory=Limits)
    public_secrets: tuple[str, ...] = ()
    listing: Listing = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        signing = frozenset(signer.secret for found in self.destinations.values() for signer in found.signing)
        known = {
            name: Known(tuple(found.headers), frozenset(found.secrets) - signing, found.owners)
            for name, found in self.destinations.items()
        }
        object.__setattr__(self, "listing", Listing(known, frozenset(self.public_secrets) - signing))

    def get(self, name: str) -> Destination | None:
        """Return the destination of this name, or None."""
        return self.destinations.get(name)

    @property
    def names(self) -> tuple[str, ...]:
        """The destinations' names, sorted."""
        return tuple(sorted(self.destinations))

    @property
    def rates(self) -> dict[str, float]:
        """Deliveries a second of those destinations whose rate is not the default one."""
        return {name: found.rate for name, found in self.destinations.items() if found.rate != self.rate}
