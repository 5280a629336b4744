"""The SCENARIO_* settings, read from the environment on demand and never at import.

The connection to Temporal has its own TEMPORAL_* variables and profiles (see `runtime.connection`), and telemetry has
OTEL_* (see `runtime.telemetry.telemetry`).
"""

from __future__ import annotations

import base64
import binascii
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, DirectoryPath, FilePath, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from runtime.errors import SettingsError
from runtime.retention import RetentionError, parse_ages
from scenario.dates import DateOrder
from scenario.entry.values import PlatformDates
from scenario.words import is_reserved_event

logger = logging.getLogger(__name__)

PREFIX: Final = "SCENARIO_"
"""Start of every variable's name."""


_Value = TypeVar("_Value", str, SecretStr)


def parse_key(value: SecretStr) -> bytes:
    return _bytes(value.get_secret_value())


def parse_keys(value: SecretStr) -> list[bytes]:
    """Return the keys in a setting of several."""
    return [_bytes(text) for text in value.get_secret_value().split(",")]


def parse_list(value: str | None) -> list[str]:
    return [text.strip() for text in (value or "").split(",") if text.strip()]


MIN_KEY: Final = 32
"""Bytes of a key (NIST SP 800-107: as long as the hash)."""


def _is_key(text: str) -> bool:
    return len(_bytes(text)) >= MIN_KEY


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b""


_ORIGIN: Final = re.compile(r"https?://[a-z0-9.-]+(?::[0-9]{1,5})?", re.ASCII)  # lower case, as browsers send it
_RECIPIENT: Final = re.compile(r"\+[0-9]{6,15}|[^\s,@]*@[^\s,@]+|[A-Za-z0-9._-]+")
_EVENT: Final = re.compile(r"[\w.:-]+", re.ASCII)
_BOUNCES: Final = re.compile(
    r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,19}[A-Za-z0-9])?@(?=.{1,253}\Z)[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*", re.ASCII
)


def _is_callback_url(text: str) -> bool:
    if not _is_address(text):
        return False
    url = urlsplit(text)
    return url.scheme == "https" or _is_loopback(url.hostname or "")


def _is_address(text: str) -> bool:
    if re.search(r"[^!-~]", text):
        return False
    try:
        url = urlsplit(text)
        host, port = url.hostname, url.port
    except ValueError:
        return False
    bare = "@" not in url.netloc and "?" not in text and "#" not in text
    return bool(host) and url.scheme in ("http", "https") and bare and port != 0


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_retention(text: str) -> bool:
    try:
        parse_ages(text)
    except RetentionError:
        return False
    return True


def _is_provider_event(name: str) -> bool:
    """Return True if a provider of the customer's own may report an event of this name. Changes have another route."""
    return bool(_EVENT.fullmatch(name)) and is_reserved_event(name) and name != "contact.changed"


def _whole(largest: int) -> BeforeValidator:
    """Return a validator of a whole number from 1, in decimal digits."""

    def check(value: object) -> int:
        text = str(value)
        if not re.fullmatch(r"[1-9]\d{,8}", text, re.ASCII) or int(text) > largest:
            raise ValueError(f"must be a whole number from 1 to {largest}")
        return int(text)

    return BeforeValidator(check)


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: "Europe" is a folder of the zone database
        return False
    return True


def _checked(wanted: str, is_good: Callable[[str], bool]) -> AfterValidator:
    """Return a validator that refuses other values with a sentence, which must not quote them."""

    def check(value: _Value) -> _Value:
        if not is_good(value.get_secret_value() if isinstance(value, SecretStr) else value):
            raise ValueError(wanted)
        return value

    return AfterValidator(check)


def _one_of(*words: str) -> BeforeValidator:

    def check(value: object) -> object:
        if value not in (*words, None):
            raise ValueError(f"must be {' or '.join(words)}")
        return value

    return BeforeValidator(check)


_KEY: Final = "must be base64 of at least 32 random bytes, as `openssl rand -base64 32` writes it"
_KEYS: Final = "must be keys in base64, of at least 32 random bytes each, separated by commas"
_Key = Annotated[SecretStr, _checked(_KEY, _is_key)]
_Keys = Annotated[SecretStr, _checked(_KEYS, lambda text: all(map(_is_key, text.split(","))))]
_Origins = Annotated[
    str,
    _checked(
        "must be origins such as https://shop.example.com, separated by commas, without paths",
        lambda text: all(map(_ORIGIN.fullmatch, parse_list(text))),
    ),
]
_Events = Annotated[
    str,
    _checked(
        "must be reserved names of events such as sms.replied, separated by commas, without contact.changed",
        lambda text: all(map(_is_provider_event, parse_list(text))),
    ),
]
_NO_MORE: Final = "without user, query or fragment"
_bare = AfterValidator(lambda url: url.rstrip("/"))
_CallbackUrl = Annotated[
    str, _checked(f"must be an address such as https://hooks.example.com, {_NO_MORE}", _is_callback_url), _bare
]
_PageUrl = Annotated[
    str, _checked(f"must be an address such as https://temporal.example.com, {_NO_MORE}", _is_address), _bare
]
# Only catches typing errors: the store checks which databases are supported.
_StoreUrl = Annotated[
    SecretStr,
    _checked(
        "must be an SQLAlchemy URL such as sqlite+aiosqlite:///.scenario/store.db or postgresql://user@host/name",
        lambda text: bool(re.match(r"[a-z][a-z0-9+]*://", text)),
    ),
]
_BounceAddress = Annotated[
    str,
    _checked(
        "must be an address such as bounces@mail.example.com, with 21 ASCII letters, digits, '.', '-' and '_' at most "
        "before its '@'",
        lambda text: bool(_BOUNCES.fullmatch(text)),
    ),
]
_Recipients = Annotated[
    str,
    _checked(
        "must be e-mail addresses, @ and a domain, numbers such as +33612345678, destinations or hosts, separated by "
        "commas",
        lambda text: all(_RECIPIENT.fullmatch(one.strip()) for one in text.split(",")),
    ),
]
_FOLDER: Final = "must be file: and the absolute path of a folder, such as file:/srv/journal"
_Journal = Annotated[str, _checked(_FOLDER, lambda text: bool(re.fullmatch(r"file:/[^\x00-\x1f]*[^\x00-\x1f/]", text)))]
_Ages = Annotated[
    str,
    _checked(
        "must be ages from 1d to 10y such as deliveries=180d,responses=30d,entries=2y, separated by commas: of "
        "deliveries, responses, entries, claims (32d at least), passages (2d), operations and events, each once",
        _is_retention,
    ),
]
_Zone = Annotated[str, _checked("must be a time zone's IANA name such as Europe/Paris", _is_zone)]
_Shards = Annotated[int, _whole(32)]
_Megabytes = Annotated[int, _whole(100_000)]
_PlainEntries = Annotated[str, _checked("must be admit or refuse", lambda text: text in ("admit", "refuse"))]
_Region = Annotated[
    str, _checked("must be a region such as eu-west-3", lambda text: bool(re.fullmatch(r"[a-z0-9-]{1,40}", text)))
]
_NO_PATH: Final = {
    "int_parsing": "must be a whole number",
    "path_not_file": "must name a file that exists",
    "path_not_directory": "must name a folder that exists",
}


class Settings(BaseSettings):
    """Settings of a deployment. An empty variable counts as not set.

    Raise SettingsError, which names the variables and shows no value, if a value cannot be used. Values that may hold a
    password are `SecretStr`. `activities.dependencies` validates `smtp`, `mail_from`, `mail_from_allowed` and `sms`.
    The descriptions of the fields are the page of settings of the documentation.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    store: _StoreUrl = SecretStr("sqlite+aiosqlite:///.scenario/store.db")
    """URL of the [store](../run/store.md)."""
    smtp: SecretStr | None = None
    """`smtp://user:password@host:587` (STARTTLS) or `smtps://…:465`, see [Mail
    servers](../run/settings.md#mail-servers). Without it, e-mail steps are held."""
    mail_from: str | None = None
    """Sender of e-mails, `Name <address>` or an address. Required with `SCENARIO_SMTP`."""
    mail_from_allowed: str | None = None
    """Domains and addresses, separated by commas, that a step may use in `from` and `reply_to` besides the sender's
    domain; `*` allows any. Cover them with SPF and DKIM."""
    sms: SecretStr | None = None
    """`twilio://sid:token@?from=+33…`, or `local:` to write files into `.scenario/inbox/`. Without it, SMS steps are
    held."""
    secrets_dir: DirectoryPath | None = None
    """Folder with one file per secret, named like the secret. It overrides `SCENARIO_SECRET_<NAME>`, and is read again
    when it changes."""
    destinations: FilePath | None = None
    """Path of [`destinations.yaml`](../run/destinations.md), read again when it changes. Without it, steps with `to:`
    are held, and any secret may be sent anywhere."""
    policies: Path | None = None
    """Path of [`policies.yaml`](../write/sending-times.md#policies-for-all-scenarios), read again when it changes.
    Commands that do not need it ignore a missing file."""
    outgoing: FilePath | None = None
    """Path of [`outgoing.yaml`](../integrate/outgoing.md), read again when it changes. The same for all workers: one
    that starts without it switches outgoing events off, until another that has it looks, at most 30 seconds later."""
    callback_url: _CallbackUrl | None = None
    """Public URL of the gateway for [callbacks](../run/processes.md#callbacks), such as `https://hooks.example.com`;
    http only on this machine. Without it and its key, steps with `journey.callback_url` are held."""
    callback_key: _Key | None = None
    """Key that encrypts and authenticates the tokens of callback URLs."""
    callback_key_previous: _Key | None = None
    """Previous key, still accepted."""
    suppression_key: _Key | None = None
    """Key under which suppressed addresses are stored, see [The key](../write/consent.md#the-key). **Never lose it.**
    Without it, unsubscribing and suppressions are off."""
    suppression_key_previous: _Keys | None = None
    """Previous keys, separated by commas."""
    bounce_address: _BounceAddress | None = None
    """Address for [bounces](../write/consent.md#bounces-that-come-later), such as `bounces@mail.example.com`; needs
    `SCENARIO_SUPPRESSION_KEY`. Without it, bounces go to the sender's address."""
    inbound_key: _Key | None = None
    """Key that a mail server sends with [bounces](../write/consent.md#handing-them-in), for `scenario serve`. Without
    it, bounces are not accepted."""
    events_ses: str | None = None
    """[Events from Amazon SES](../integrate/provider-events.md#amazon-ses): ARNs of SNS topics, separated by commas."""
    events_sendgrid: SecretStr | None = None
    """[Events from SendGrid](../integrate/provider-events.md#sendgrid): the verification key."""
    events_mailgun: SecretStr | None = None
    """[Events from Mailgun](../integrate/provider-events.md#mailgun): the HTTP webhook signing key."""
    events_postmark: SecretStr | None = None
    """[Events from Postmark](../integrate/provider-events.md#postmark): a password of your choice."""
    events_brevo: SecretStr | None = None
    """[Events from Brevo](../integrate/provider-events.md#brevo): a token of your choice."""
    events_whatsapp: SecretStr | None = None
    """[Events from WhatsApp](../integrate/provider-events.md#whatsapp): the app's secret."""
    events_whatsapp_verify: SecretStr | None = None
    """The verify token of WhatsApp's webhook, of your choice."""
    trusted_events: _Events | None = None
    """[Reserved names](../integrate/provider-events.md#reserved-names) of events, separated by commas, that keys with
    the scope `providers` may send, such as `email.clicked,sms.replied`. Without it, none."""
    encryption_keys: _Keys | None = None
    """Keys that [encrypt](../run/privacy.md#encryption) contacts' data, separated by commas, the newest first. **Never
    lose them.** Without them, nothing is encrypted."""
    encryption_keys_file: FilePath | None = None
    """File with these keys, one or more on a line, with comments after `#`."""
    plain_entries: _PlainEntries = "admit"
    """`admit` or, with encryption, `refuse` entries [started in plain text](../run/privacy.md#encryption)."""
    journal: _Journal | None = None
    """`file:/srv/journal`: folder of the [journal](../run/store.md#the-journal), on a disk apart from the store. The
    same for all workers; needs a key for suppressions or encryption. Without it, the journal is in Temporal."""
    codec_origins: _Origins | None = None
    """Origins of Temporal's UI that may use [`scenario
    codec`](../run/privacy.md#decryption-in-temporals-ui-and-command-line), separated by commas."""
    api_origins: _Origins | None = None
    """Origins of web pages that may call the HTTP API (CORS), separated by commas."""
    temporal_ui: _PageUrl | None = None
    """URL of Temporal's UI, for links on the [pages](../run/pages.md)."""
    test_recipients: _Recipients | None = None
    """Allowed recipients of test messages, separated by commas: addresses, domains (`@example.com`), numbers
    (`+33612345678`), destinations or hosts. Without it, all except suppressed recipients."""
    retention: _Ages | None = None
    """Maximum age of stored data, such as `deliveries=180d,responses=30d,entries=2y`, see
    [Retention](../run/retention.md). Without it, data is kept."""
    queue_shards: _Shards = 1
    """Number of task queues for webhooks, 1 to 32, see [Several queues](../run/rates.md#several-queues). The same for
    all processes."""
    audience_megabytes: _Megabytes = 1024
    """Maximum size of an uploaded [file of contacts](../run/campaigns.md#files)."""
    s3_endpoint: _CallbackUrl | None = None
    """URL of an S3-compatible service for [files of contacts](../run/campaigns.md#files), which may be private; http
    only on this machine. Without it, Amazon's."""
    s3_region: _Region = "us-east-1"
    """Region of the files at S3."""
    sftp_host_keys: str | None = None
    """Public keys, as `ssh-keyscan` prints them, of the SFTP servers of [files of
    contacts](../run/campaigns.md#files). They may be private. Without it, no SFTP server is called."""
    platform_dates: Annotated[DateOrder | None, _one_of("dmy", "mdy")] = None
    """The order of dates with slashes or hyphens in the platform's objects and custom fields, `dmy` or `mdy`, see
    [Forms of dates](../write/templates.md#forms-of-dates). The same for all processes. Without it, an ambiguous date is
    an error."""
    platform_timezone: _Zone = "Europe/Paris"
    """IANA zone of dates without an offset."""

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            # Only names and our sentences are passed on: pydantic's text could quote a password.
            raise SettingsError("; ".join(_sentences(error))) from None
        for sentence in unknown_names(set(os.environ) - _told):
            logger.warning("%s", sentence)
        _told.update(os.environ)

    @property
    def platform(self) -> PlatformDates:
        return PlatformDates(self.platform_timezone, self.platform_dates)

    @property
    def has_default_store(self) -> bool:
        """True if the store is not configured: any process may then create the local one."""
        return "store" not in self.model_fields_set


def _sentences(error: ValidationError) -> Iterator[str]:
    for detail in error.errors(include_input=False, include_context=False):
        wanted = _NO_PATH.get(detail["type"]) or detail["msg"].removeprefix("Value error, ")
        yield f"{PREFIX}{str(detail['loc'][0]).upper()} {wanted}"


_OTHERS: Final = ("SCENARIO_API", "SCENARIO_API_KEY", "SCENARIO_DEBUG", "SCENARIO_TEST_ENCRYPTION")
"""Variables that are not settings of a deployment."""
# Kubernetes sets variables for each service of a namespace, such as SCENARIO_GATEWAY_SERVICE_HOST.
_OF_KUBERNETES: Final = re.compile(r"SCENARIO_\w*(?:_SERVICE_HOST|_SERVICE_PORT\w*|_PORT(?:_\d+_\w+)?)", re.ASCII)
_told: Final = set[str]()


def unknown_names(variables: Iterable[str]) -> list[str]:
    """Return a sentence for each of these variables that looks like a setting but is unknown."""
    settings = {PREFIX + name.upper() for name in Settings.model_fields}
    known = {*settings, *(f"{name}_FILE" for name in settings), *_OTHERS}  # the image reads secrets from files
    sentences: list[str] = []
    for name in sorted(variables):
        upper = name.upper()  # the case of a setting does not matter; that of all other variables does
        is_known = name in known or name.startswith(f"{PREFIX}SECRET_") or _OF_KUBERNETES.fullmatch(name)
        if upper.startswith(PREFIX) and not is_known and upper not in settings:
            meant = get_close_matches(upper.removeprefix(PREFIX), [one.removeprefix(PREFIX) for one in known], 1)
            hint = f"did you mean {PREFIX}{meant[0]}?" if meant else "docs/run/settings.md lists all settings"
            sentences.append(f"there is no setting {name}, so it is ignored: {hint}")
    return sentences
