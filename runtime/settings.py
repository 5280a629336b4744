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
"""Start of every variable's name."""


class Settings(BaseSettings):
    """Settings of a deployment. An empty variable counts as not set.

    Values that may hold a password are `SecretStr`. `activities.channels` validates `smtp`, `mail_from`,
    `mail_from_allowed` and `sms`.

    Attributes:
        smtp: ``smtp://user:password@host:587`` (STARTTLS) or ``smtps://…:465``. None: e-mail steps are held.
        mail_from: Sender of e-mails, ``Name <address>`` or an address.
        mail_from_allowed: Domains and addresses, beside the sender's domain, that a scenario may use as sender.
        sms: ``twilio://sid:token@?from=+33…`` or ``local:``. None: SMS steps are held.
        destinations: Path of ``destinations.yaml``.
        policies: Path of ``policies.yaml``. Commands that do not need it ignore a missing file.
        callback_url: Public URL of the gateway, see `runtime.callback`; https, or http on this machine.
        callback_key: Key of callback tokens: at least 32 random bytes, as base64.
        inbound_key: Key that a mail server presents when it submits bounces: at least 32 random bytes, as base64.
        encryption_keys: Keys that wrap contacts' keys, as base64, separated by commas, the newest first; see
            `runtime.encryption`. None: nothing is encrypted.
        codec_origins: Origins of Temporal's UI that may decode payloads, separated by commas.
        api_origins: Origins of other sites whose scripts may call the API, separated by commas.
        test_recipients: Recipients of test messages, separated by commas, see `gateway.trial_messages`. None: anyone.

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
            # Only names and our sentences are passed on: pydantic's text could quote a password.
            raise SettingsError("; ".join(_sentences(error))) from None
        for sentence in unknown_names(set(os.environ) - _told):
            logger.warning("%s", sentence)
        _told.update(os.environ)

    @property
    def has_default_store(self) -> bool:
        """True if the store is not configured: any process may then create the local one."""
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
    """Return the key in a setting."""
    return _bytes(value.get_secret_value())


def parse_keys(value: SecretStr) -> list[bytes]:
    """Return the keys in a setting of several."""
    return [_bytes(text) for text in value.get_secret_value().split(",")]


def parse_origins(value: str | None) -> list[str]:
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


_ORIGIN: Final = re.compile(r"https?://[a-z0-9.-]+(?::[0-9]{1,5})?", re.ASCII)  # lower case, as browsers send it
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
    # Only catches typing errors; the store checks which databases are supported.
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
