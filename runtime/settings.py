"""The SCENARIO_* settings, read from the environment when a process asks for them and never at import.

What concerns the connection to Temporal is not here: Temporal's own TEMPORAL_* variables and profiles hold it (see
`runtime.connection`), and telemetry has OTEL_* (see `runtime.telemetry.telemetry`).
"""

from __future__ import annotations

import base64
import binascii
import logging
import os
import re
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import DirectoryPath, FilePath, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from runtime.errors import SettingsError
from runtime.retention import RetentionError, parse_ages

logger = logging.getLogger(__name__)

PREFIX: Final = "SCENARIO_"
"""What the name of every variable starts with."""


class Settings(BaseSettings):
    """What one deployment sets. A variable that is empty counts as not set.

    Values that may hold a password are `SecretStr`: printing the settings shows none of them. What `smtp`, `mail_from`,
    `mail_from_allowed` and `sms` may be is their channels' own matter, and judged by `activities.channels` alone.

    Attributes:
        store: SQLAlchemy URL of the store.
        smtp: ``smtp://user:password@host:587`` (STARTTLS) or ``smtps://…:465``. None: e-mail steps are held.
        mail_from: Sender of e-mails, ``Name <address>`` or an address.
        mail_from_allowed: Domains and addresses, beside the sender's domain, that a scenario may name.
        sms: ``twilio://sid:token@?from=+33…`` or ``local:``. None: SMS steps are held.
        secrets_dir: Folder with one file a secret, see `runtime.secrets`.
        destinations: Path of ``destinations.yaml``.
        policies: Path of ``policies.yaml``. Whoever needs it reads it, and says so where it is not there: commands that
            need none go on without.
        callback_url: Where receivers reach the gateway, see `runtime.callback`; https, or http on this machine.
        callback_key: What signs callback addresses: 32 random bytes or more, as base64.
        suppression_key: What addresses that must not be written to are known by, see `runtime.derived_keys`.
        suppression_key_previous: Keys that were in use before, separated by commas.
        bounce_address: Where e-mails bounce to, see `runtime.return_path`. None: to their sender.
        inbound_key: What a mail server shows that hands bounces in: 32 random bytes or more, as base64.
        encryption_keys: What contacts' keys are wrapped by, see `runtime.encryption`: keys in base64, separated by
            commas, the newest first. None: what Temporal and the store hold is in clear.
        encryption_keys_file: A text file with them, one on a line, where they are not to stand in the environment.
        temporal_ui: Where people reach Temporal's UI, for pages to link to. None: they link to nothing there.
        codec_origins: Of Temporal's UI, whose scripts may have payloads decoded, separated by commas.
        api_origins: Origins of pages elsewhere whose scripts may use the API, separated by commas. None: no others.
        test_recipients: Recipients of test messages, separated by commas, see `gateway.trial_messages`. None: anybody.
        retention: How long what is kept, see `runtime.retention`. None: nothing is deleted day by day.
        platform_timezone: IANA zone of the dates that the platform writes without one.

    Raises:
        SettingsError: A value cannot be used. The message names the variables, and shows no value.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    store: SecretStr = SecretStr("sqlite+aiosqlite:///.scenario/store.db")
    smtp: SecretStr | None = None
    mail_from: str | None = None
    mail_from_allowed: str | None = None
    sms: SecretStr | None = None
    secrets_dir: DirectoryPath | None = None
    destinations: FilePath | None = None
    policies: Path | None = None
    callback_url: str | None = None
    callback_key: SecretStr | None = None
    callback_key_previous: SecretStr | None = None
    suppression_key: SecretStr | None = None
    suppression_key_previous: SecretStr | None = None
    bounce_address: str | None = None
    inbound_key: SecretStr | None = None
    encryption_keys: SecretStr | None = None
    encryption_keys_file: FilePath | None = None
    codec_origins: str | None = None
    api_origins: str | None = None
    temporal_ui: str | None = None
    test_recipients: str | None = None
    retention: str | None = None
    platform_timezone: str = "Europe/Paris"

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            # Only names and our own sentences are passed on: pydantic's text could quote a password.
            raise SettingsError("; ".join(_sentences(error))) from None
        for sentence in unknown_names(set(os.environ) - _told):
            logger.warning("%s", sentence)
        _told.update(os.environ)

    @property
    def has_default_store(self) -> bool:
        """Return True if nobody has named a store: the local one may be made by whoever needs it first."""
        return "store" not in self.model_fields_set

    @field_validator(
        *("store", "callback_url", "callback_key", "callback_key_previous"),
        *(
            "suppression_key",
            "suppression_key_previous",
            "bounce_address",
            "inbound_key",
            "encryption_keys",
            "temporal_ui",
            "api_origins",
            "test_recipients",
            "retention",
            "platform_timezone",
        ),
    )
    @classmethod
    def _good(cls, value: Any, info: ValidationInfo) -> Any:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if text is not None and not _GOOD[info.field_name or ""](text):
            raise ValueError
        return text.rstrip("/") if text and info.field_name in ("callback_url", "temporal_ui") else value


_OTHERS: Final = ("SCENARIO_API", "SCENARIO_API_KEY", "SCENARIO_DEBUG", "SCENARIO_TEST_ENCRYPTION")
"""Variables that are not settings of a deployment."""
# Kubernetes sets variables for each service of a namespace, such as SCENARIO_GATEWAY_SERVICE_HOST.
_OF_KUBERNETES: Final = re.compile(r"SCENARIO_\w*(?:_SERVICE_HOST|_SERVICE_PORT\w*|_PORT(?:_\d+_\w+)?)", re.ASCII)
_told: Final = set[str]()


def unknown_names(variables: Iterable[str]) -> list[str]:
    """Return a sentence for each variable that looks like a setting and is none."""
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


_KEY: Final = "must be base64 of at least 32 random bytes, as `openssl rand -base64 32` writes it"
_WANTED: Final = {
    "store": "must be an SQLAlchemy URL such as sqlite+aiosqlite:///.scenario/store.db or postgresql://user@host/name",
    "secrets_dir": "must name a folder that exists",
    "destinations": "must name a file that exists",
    "callback_url": "must be an address such as https://hooks.example.com, without user, query or fragment",
    "callback_key": _KEY,
    "callback_key_previous": "must be base64 of at least 32 random bytes, or not set",
    "suppression_key": _KEY,
    "suppression_key_previous": "must be keys in base64, of at least 32 random bytes each, separated by commas",
    "bounce_address": "must be an address such as bounces@mail.example.com, with 21 ASCII letters, digits, '.', '-' "
    "and '_' at most before its '@'",
    "inbound_key": _KEY,
    "encryption_keys": "must be keys in base64, of at least 32 random bytes each, separated by commas",
    "encryption_keys_file": "must name a file that exists",
    "codec_origins": "must be origins such as https://temporal.example.com, separated by commas, without paths",
    "api_origins": "must be origins such as https://shop.example.com, separated by commas, without paths",
    "temporal_ui": "must be an address such as https://temporal.example.com, without user, query or fragment",
    "test_recipients": "must be e-mail addresses, @ and a domain, numbers such as +33612345678, destinations or hosts, "
    "separated by commas",
    "retention": "must be ages from 1d to 10y such as deliveries=180d,responses=30d,entries=2y, separated by commas: "
    "of deliveries, responses, entries, claims (32d at least), passages (2d) and operations, each once",
    "platform_timezone": "must be a time zone's IANA name such as Europe/Paris",
}


def parse_key(value: SecretStr) -> bytes:
    """The key that a setting holds."""
    return _bytes(value.get_secret_value())


def parse_keys(value: SecretStr) -> list[bytes]:
    """The keys that a setting of several holds."""
    return [_bytes(text) for text in value.get_secret_value().split(",")]


def parse_origins(value: str | None) -> list[str]:
    """The origins that a setting of several names."""
    return [text.strip() for text in (value or "").split(",") if text.strip()]


def _sentences(error: ValidationError) -> list[str]:
    names = dict.fromkeys(str(detail["loc"][0]) for detail in error.errors(include_input=False, include_context=False))
    return [f"{PREFIX}{name.upper()} {_WANTED[name]}" for name in names]


MIN_KEY: Final = 32
"""Bytes of a key (NIST SP 800-107: as long as the hash)."""


def _is_key(text: str) -> bool:
    return len(_bytes(text)) >= MIN_KEY


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b""


_ORIGIN: Final = re.compile(r"https?://[a-z0-9.-]+(?::[0-9]{1,5})?", re.ASCII)  # as browsers write it: in lower case
_RECIPIENT: Final = re.compile(r"\+[0-9]{6,15}|[^\s,@]*@[^\s,@]+|[A-Za-z0-9._-]+")
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


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: "Europe" is a folder of the zone database
        return False
    return True


_GOOD: Final[dict[str, Callable[[str], bool]]] = {
    # Only what a typing mistake looks like: which databases can be used is the store's own business.
    "store": lambda text: bool(re.match(r"[a-z][a-z0-9+]*://", text)),
    "callback_url": _is_callback_url,
    "callback_key": _is_key,
    "callback_key_previous": _is_key,
    "suppression_key": _is_key,
    "suppression_key_previous": lambda text: all(map(_is_key, text.split(","))),
    "bounce_address": lambda text: bool(_BOUNCES.fullmatch(text)),
    "inbound_key": _is_key,
    "encryption_keys": lambda text: all(map(_is_key, text.split(","))),
    "codec_origins": lambda text: all(map(_ORIGIN.fullmatch, parse_origins(text))),
    "api_origins": lambda text: all(map(_ORIGIN.fullmatch, parse_origins(text))),
    "temporal_ui": _is_address,
    "test_recipients": lambda text: all(_RECIPIENT.fullmatch(one.strip()) for one in text.split(",")),
    "retention": _is_retention,
    "platform_timezone": _is_zone,
}
