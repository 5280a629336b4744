"""Which channels a process is set up for: the one place that judges the settings of e-mail, SMS and answers.

`runtime.settings` hands them over as they are, since what a mail server's or a provider's address may look like is the
channel's own matter. Whoever sends asks here, before anything else is waited for; commands that send nothing do not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import SecretStr

from activities.email.smtp import Mailer, mailer_from
from activities.sms.configured import provider_from
from activities.sms.provider import Provider
from activities.telling import address_seal
from runtime.callback import Callbacks
from runtime.derived_keys import suppression_keys
from runtime.errors import SettingsError
from runtime.return_path import ReturnPaths
from runtime.sealed_token import SealedToken
from runtime.settings import Settings
from runtime.suppression import AddressHashes
from runtime.unsubscribing import Unsubscribing

Channel = TypeVar("Channel")


@dataclass(frozen=True)
class Channels:
    """What messages leave by, and what their answers come back by.

    Attributes:
        mailer: Sends e-mail, or None where it is not configured.
        provider: Sends SMS, or None where none is configured.
        callbacks: Makes `journey.callback_url`, or None where it is not configured.
        unsubscribing: Makes `journey.unsubscribe_url`, or None where it is not configured.
        hashes: Know suppressed addresses, or None where they are not configured.
        seal: Seals those that the platform is told of, or None as with `hashes`.
        return_paths: Where e-mails bounce to, or None where they bounce to their sender.
    """

    mailer: Mailer | None = None
    provider: Provider | None = None
    callbacks: Callbacks | None = None
    unsubscribing: Unsubscribing | None = None
    hashes: AddressHashes | None = None
    seal: SealedToken | None = None
    return_paths: ReturnPaths | None = None

    async def close(self, within: float) -> None:
        """Closes connections.

        Args:
            within: Seconds that others may take to answer.
        """
        if self.provider:
            await self.provider.close()
        if self.mailer:
            await self.mailer.close(within)

    @property
    def sentence(self) -> str:
        """Which of them are configured, for the log: no address, no secret."""
        words = {
            "webhooks": True,
            "e-mail": self.mailer is not None,
            f"SMS ({self.provider.name})" if self.provider else "SMS": self.provider is not None,
            "callbacks": self.callbacks is not None,
            "suppressions": self.hashes is not None,
            "bounces": self.return_paths is not None,
            "unsubscribing": self.unsubscribing is not None,
        }
        there = ", ".join(word for word, configured in words.items() if configured)
        missing = ", ".join(word for word, configured in words.items() if not configured)
        return f"configured: {there}" + (f"; not configured: {missing}" if missing else "")


def channels_of(settings: Settings, inbox: Path) -> Channels:
    """Those of the settings. Nothing is connected to.

    Args:
        settings: Of the process.
        inbox: Where the SMS provider ``local:`` puts messages.

    Raises:
        SettingsError: One or more of them cannot be used. The message names the variables, and shows no value.
    """
    wrong: list[str] = []

    def judged(made: Callable[[], Channel | None]) -> Channel | None:
        try:
            return made()
        except SettingsError as error:
            wrong.append(str(error))
            return None

    keys = suppression_keys(settings)
    found = Channels(
        mailer=judged(lambda: mailer_from(_text(settings.smtp), settings.mail_from, settings.mail_from_allowed)),
        provider=judged(lambda: provider_from(_text(settings.sms), inbox)),
        callbacks=judged(lambda: Callbacks.configured(settings)),
        unsubscribing=Unsubscribing.configured(settings),
        hashes=AddressHashes.configured(settings),
        seal=address_seal(keys) if keys else None,
        return_paths=judged(lambda: ReturnPaths.configured(settings)),
    )
    if wrong:
        raise SettingsError("; ".join(wrong))
    return found


def _text(value: SecretStr | None) -> str | None:
    return None if value is None else value.get_secret_value()
