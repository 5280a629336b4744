"""The keys of `destinations.yaml` as pydantic models."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import datetime, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticKnownError

from activities.webhook.http.exchange import Tls
from activities.webhook.presets import installed_presets
from scenario.http.urls import Access
from scenario.model.batch import ItemResults
from scenario.model.parts import ACCOUNT, COUNTRY, Interval, Model, Name, Retry, Timeout
from scenario.time import per_second
from scenario.type_guards import is_mapping

_PERCENT: Final = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,2})?) ?%", re.ASCII)
_SECRET: Final = re.compile(r"(?!wh(?:sec|sk|pk)_)[A-Za-z_][A-Za-z0-9_]{0,99}", re.ASCII)
_MAPPED: Final = IPv6Network("::ffff:0:0/96")
MAX_PARAMETER: Final = 1_000
FASTEST: Final = 100_000.0
"""Maximum deliveries per second."""
MOST_MEMBERS: Final = 10_000
"""Maximum number of members in a request, at Meta and at Google."""
Grant = Literal["client_credentials", "refresh_token", "jwt_bearer"]
ClientAuth = Literal["basic", "body"]
MemberField = Literal["id", "email", "phone"]


def _rate(value: object) -> float:
    rate = per_second(value) if isinstance(value, str) else 0.0
    if not 0 < rate <= FASTEST:
        raise ValueError("a rate is a number of deliveries and a unit: write 10/s, 600/m or 100/h")
    return rate


def _share(value: object) -> float:
    found = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    share = float(found[1]) / 100 if found else 0.0
    if not 0 < share <= 1:
        raise ValueError("'failures' is a share of all results, from 1% to 100%: write 70%")
    return share


def _off(value: Any) -> Any:
    """Accept ``off`` for no breaker; YAML 1.1 reads it as false."""
    if value == "off" or value is False:
        return None
    if not is_mapping(value) and not isinstance(value, BaseModel):
        raise ValueError("'breaker' is off, or keys such as {failures: 70%, minimum: 10, window: 5m, pause: 30s}")
    return value


def _preset(value: object) -> object:
    """Accept ``splio`` for ``{preset: splio}``."""
    return {"preset": value} if isinstance(value, str) else value


def _installed(name: str) -> str:
    presets = sorted(installed_presets())
    if not presets:
        raise ValueError("'suppressions' needs the package of a platform, and none is installed")
    if name not in presets:
        raise PydanticKnownError("literal_error", {"expected": " or ".join(repr(preset) for preset in presets)})
    return name


def _secret(value: str) -> str:
    if not _SECRET.fullmatch(value):
        raise ValueError("'key' is the name of a secret, such as WAX_SIGNING_KEY, and not the key itself")
    return value


def _named(value: str) -> str:
    if not _SECRET.fullmatch(value):
        raise ValueError("a secret stands here by its name, such as WAX_TOKEN, and not as the secret itself")
    return value


def _until(value: object) -> datetime:
    moment = None
    with suppress(ValueError):
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    if moment is None or moment.tzinfo is None:
        raise ValueError("'until' is a time with its zone, such as 2026-12-01T00:00:00Z")
    return moment


def _network(value: object) -> IPv4Network | IPv6Network:
    try:
        network = ip_network(value if isinstance(value, str) else "")
    except ValueError:
        raise ValueError("a network is its first address and the length of its prefix: write 10.1.0.0/16") from None
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):  # which would open nothing
        raise ValueError("a network of IPv4 addresses in IPv6 is that IPv4 network: write 10.1.0.0/16")
    return network


def _text(**more: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", **more})


Rate = Annotated[float, BeforeValidator(_rate), _text(examples=["10/s", "600/m", "100/h"])]
"""Deliveries per second."""
Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(_network), _text(examples=["10.1.0.0/16"])]
Secret = Annotated[str, Field(strict=True), AfterValidator(_named)]
"""A secret's name."""
Port = Annotated[int, Field(strict=True, ge=1, le=65_535)]
Count = Annotated[int, Field(strict=True, ge=1, le=10_000)]
Parameter = Annotated[str, Field(strict=True, min_length=1, max_length=MAX_PARAMETER)]
"""A value that a token request or an assertion carries."""
ReportedSource = Literal["unsub", "bounce", "soft", "fbl", "stop"]
"""Sources that may be reported to a platform: not operators, and not the platform itself."""
Flag = Annotated[bool, Field(strict=True)]


class _Form(Model, use_attribute_docstrings=True):
    """The base of the forms: the docstring of a field is its description."""


class BreakerForm(_Form):
    """The circuit breaker."""

    failures: Annotated[float, BeforeValidator(_share), _text(examples=["70%"])] = 0.7
    """Share of failed requests that opens it; by default 70%."""
    minimum: Count = 10
    """Requests needed in the window."""
    window: Interval = timedelta(minutes=5)
    """Period of observation."""
    pause: Interval = timedelta(seconds=30)
    """First pause; doubled by each failed probe."""


class SigningForm(_Form):
    """A signing key, by the name of its secret."""

    key: Annotated[str, Field(strict=True), AfterValidator(_secret)]
    """Name of the secret."""
    until: Annotated[datetime, BeforeValidator(_until)] | None = None
    """End of its use, with its zone: 2027-01-31T00:00:00Z; without it, never."""


class TlsFiles(_Form):
    """PEM files, by paths relative to `destinations.yaml`."""

    ca: Annotated[str, Field(min_length=1)] | None = None
    """Authorities that replace the public ones."""
    certificate: Annotated[str, Field(min_length=1)] | None = None
    """Our certificate, with its chain."""
    key: Annotated[str, Field(min_length=1)] | None = None
    """Its private key, without password; not needed if `certificate` has it."""

    def read_from(self, folder: Path) -> Tls:
        """Return the files as settings of TLS; paths are relative to the folder."""
        ca, certificate, key = (str(folder / name) if name else None for name in (self.ca, self.certificate, self.key))
        return Tls(ca_file=ca, cert_file=certificate, key_file=key)


class OAuth2Form(_Form):
    """Access tokens of OAuth 2.0."""

    grant: Grant
    """jwt_bearer: a signed assertion (RFC 7523), as for service accounts."""
    token_url: Annotated[str, Field(min_length=1)]
    """The token endpoint."""
    client_id: Annotated[str, Field(min_length=1, max_length=MAX_PARAMETER)]
    """Our name there; of jwt_bearer the issuer of the assertion."""
    client_secret: Secret | None = None
    """Name of the secret with our password. client_credentials needs it; refresh_token may have it."""
    refresh_token: Secret | None = None
    """refresh_token: name of the secret with the token, which the server must not replace: the new one is lost."""
    key: Secret | None = None
    """jwt_bearer: name of the secret with the private key in PEM (RSA or P-256, without password)."""
    key_id: Parameter | None = None
    """jwt_bearer: the key's id there."""
    subject: Parameter | None = None
    """jwt_bearer: the user or account that we act for; Salesforce needs it."""
    scope: Parameter | None = None
    """Requested rights, separated by spaces."""
    audience: Parameter | None = None
    """client_credentials: of the token. jwt_bearer: of the assertion, by default `token_url`."""
    client_auth: ClientAuth = "basic"
    """Place of id and password: basic (a header) or body (the form)."""
    tls: TlsFiles | None = None
    """Certificates for the token endpoint, by default the destination's; {} for public authorities."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """Names of the secrets that it uses."""
        return tuple(name for name in (self.client_secret, self.refresh_token, self.key) if name)


class AuthForm(_Form):
    """The credentials that a destination's requests get in a header of their own."""

    oauth2: OAuth2Form
    """Access tokens of an authorization server."""


class LimitsForm(_Form):
    """Limits of a destination."""

    rate: Rate | None = None
    """Deliveries of all workers together, by default 100/s: 10/s, 600/m, 100/h."""
    concurrency: Count | None = None
    """Requests in progress in each worker process, by default 50."""
    breaker: Annotated[BreakerForm | None, BeforeValidator(_off)] = None
    """Circuit breaker, or off."""


class DefaultForm(LimitsForm):
    """Defaults for all destinations."""

    public_secrets: list[Secret] = Field(default_factory=list[str])
    """Secrets that scenarios may send to any plain `url:`."""


class SuppressionsForm(_Form):
    """The platform's API that suppressed addresses are reported to."""

    preset: Annotated[str, AfterValidator(_installed)]
    """The platform."""
    sources: Annotated[list[ReportedSource], Field(min_length=1)] = Field(
        default_factory=lambda: list(get_args(ReportedSource))
    )
    """The reported sources, by default all."""


class ConsentForm(_Form):
    """The consent of all members, in Google's words."""

    ad_user_data: Literal["granted", "denied"] | None = None
    """Consent that their data is used for ads."""
    ad_personalization: Literal["granted", "denied"] | None = None
    """Consent that ads are personalized."""


_Account = Annotated[str, Field(pattern=ACCOUNT)]


class AudiencesForm(_Form):
    """Audiences that scenarios keep in sync."""

    preset: Literal["meta", "google", "generic"]
    """The platform's API."""
    ids: dict[Name, Parameter] = Field(default_factory=dict[str, str])
    """The platform's id of each audience, by the name that scenarios use. Of generic, the name itself."""
    fields: Annotated[list[MemberField], Field(min_length=1)] | None = None
    """What identifies a member: by default email and phone, hashed; of generic the id."""
    region: Annotated[str, Field(pattern=COUNTRY)] | None = None
    """Country of telephone numbers without a country's code, such as FR."""
    size: Annotated[int, Field(strict=True, ge=1, le=MOST_MEMBERS)] = MOST_MEMBERS
    """Maximum number of members in a request."""
    results: ItemResults | None = None
    """Of generic: where a response says which members were refused."""
    account: _Account | None = None
    """Of google, required: number of the account, without dashes."""
    login_account: _Account | None = None
    """Of google: number of the manager account that has access to it."""
    account_type: Annotated[str, Field(pattern=r"^[A-Z_]{1,40}$")] = "GOOGLE_ADS"
    """Of google: type of both accounts."""
    consent: ConsentForm = ConsentForm()
    """Of google: the consent of all members."""
    terms_of_service: Literal["accepted"] | None = None
    """Of google, required: you have accepted the terms of Customer Match."""
    validate_only: Flag = False
    """Of google: requests are checked and not carried out; the audience is then held."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        googles = {"account", "login_account", "account_type", "consent", "terms_of_service", "validate_only"}
        given = googles & self.model_fields_set
        if self.preset != "google" and given:
            raise ValueError(f"'{min(given)}' is for the preset google: remove it")
        if self.preset == "google" and not {"account", "terms_of_service"} <= given:
            raise ValueError(
                "the preset google needs 'account', the number of the Google Ads account without dashes, and "
                "'terms_of_service: accepted', those of Customer Match"
            )
        if self.preset != "generic" and not self.ids:
            raise ValueError(f"'ids' lists the audiences at {self.preset}: write {{vip-buyers: \"1234567890\"}}")
        if self.preset != "generic" and ("id" in (self.fields or ()) or self.results):
            raise ValueError(f"{self.preset} has members by 'email' and 'phone' alone, and its own results")
        return self

    @property
    def identifiers(self) -> list[MemberField]:
        """What identifies a member."""
        given: list[MemberField] = ["id"] if self.preset == "generic" else [] if self.fields else ["email", "phone"]
        return list(dict.fromkeys([*given, *(self.fields or ())]))


class DestinationForm(LimitsForm):
    """One destination."""

    url: Annotated[str, Field(min_length=1)] = Field(
        description="Base URL, without query; a step's `path` is appended. Behind the host it may name secrets, "
        "inserted verbatim: https://hooks.example.com/services/{{ secrets.HOOK }}"
    )
    headers: dict[str, str] = Field(default_factory=dict)
    """Of every request; values may contain {{ secrets.NAME }}, and nothing else."""
    signing: list[SigningForm] = Field(default_factory=list[SigningForm])
    """Keys that sign."""
    secrets: list[Secret] = Field(default_factory=list[str])
    """Secrets that scenarios may send there."""
    owners: Annotated[list[Name], Field(min_length=1)] | None = None
    """Scenarios that may use it, by default all."""
    auth: AuthForm | None = None
    """Access tokens."""
    timeout: Timeout | None = None
    """Time of one attempt, from 1s to 5m, by default 15s."""
    retry: Retry = Retry()
    """Retry policy of steps that have none."""
    tls: TlsFiles = TlsFiles()
    """Authorities and client certificate."""
    suppressions: Annotated[SuppressionsForm, BeforeValidator(_preset)] | None = None
    """Report suppressed addresses to it: a preset, or {preset: …, sources: […]}."""
    audiences: Annotated[AudiencesForm, BeforeValidator(_preset)] | None = None
    """Audiences that scenarios keep in sync there: generic, or a preset with its keys."""
    allow_private: Flag = False
    """Permit private networks."""
    allow_cidr: list[Network] = Field(default_factory=list[Network])
    """Further permitted networks."""
    allow_http: Flag = False
    """Permit requests without TLS."""
    ports: Annotated[list[Port], Field(min_length=1)] | None = None
    """Permitted ports, by default 443; with `allow_http` also 80."""

    @property
    def access(self) -> Access:
        return Access(
            allow_private=self.allow_private,
            allow_cidr=tuple(self.allow_cidr),
            allow_http=self.allow_http,
            ports=tuple(self.ports or ((443, 80) if self.allow_http else (443,))),
        )


class DestinationsForm(_Form):
    """The whole of `destinations.yaml`."""

    default: DefaultForm = DefaultForm()
    """Of each destination, and each host of a plain `url:`, that sets no other."""
    destinations: dict[str, DestinationForm] = Field(default_factory=dict)
    """Destinations by name: lower-case words joined by '-', at most 64 letters."""


def schema() -> dict[str, Any]:
    """Return the JSON Schema of `destinations.yaml` (draft 2020-12)."""
    from scenario.model.json_schema import DIALECT, tidied

    made = tidied(DestinationsForm.model_json_schema(by_alias=True, mode="validation"))
    forms = made["$defs"]
    forms["SuppressionsForm"]["properties"]["preset"]["enum"] = sorted(installed_presets())
    del forms["BreakerForm"]["properties"]["failures"]["default"]  # which is a number
    for form in (forms["DefaultForm"], forms["DestinationForm"]):
        breaker = form["properties"]["breaker"]
        form["properties"]["breaker"] = {
            "description": breaker["description"],
            "anyOf": [{"$ref": "#/$defs/BreakerForm"}, {"enum": ["off", False]}],
        }
    return {"$schema": DIALECT, **made}
