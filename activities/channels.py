"""The configured channels of a process, from the settings of e-mail, SMS and callbacks.

`runtime.settings` passes these settings unchanged, because only their channels can judge them. Processes that send
check them at their start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from activities.channel import adapters
from activities.suppressions import address_seal
from runtime.callback import Callbacks
from runtime.derived_keys import AddressHashes, suppression_keys
from runtime.errors import SettingsError
from runtime.return_path import ReturnPaths
from runtime.sealed_token import SealedToken
from runtime.settings import Settings
from runtime.unsubscribing import Unsubscribing

Made = TypeVar("Made")


@dataclass(frozen=True)
class Channels:
    """Connections of channels, and makers of links and return paths.

    Attributes:
        connections: Open connections by channel. A channel that is not configured has none.
        callbacks: Makes `journey.callback_url`, if configured.
        unsubscribing: Makes `journey.unsubscribe_url`, if configured.
        hashes: Hashes addresses for suppressions, if configured.
        seal: Seals addresses in reports to the platform. Configured together with `hashes`.
        return_paths: Return paths of e-mails. If None, bounces go to the sender.
    """

    connections: Mapping[str, Any] = field(default_factory=dict[str, Any])
    callbacks: Callbacks | None = None
    unsubscribing: Unsubscribing | None = None
    hashes: AddressHashes | None = None
    seal: SealedToken | None = None
    return_paths: ReturnPaths | None = None

    def connection(self, channel: str) -> Any:
        """Return a channel's connection, or None if it has none."""
        return self.connections.get(channel)

    async def close(self, within: float) -> None:
        """Close all connections, waiting at most `within` seconds for each server."""
        for connection in reversed(list(self.connections.values())):
            await connection.close(within)

    @property
    def sentence(self) -> str:
        """A log line of what is configured, without addresses and secrets."""
        words: dict[str, bool] = {}
        for name, channel in adapters().items():
            connection = self.connection(name)
            words[channel.label(connection)] = connection is not None or not channel.setting
        words |= {
            "callbacks": self.callbacks is not None,
            "suppressions": self.hashes is not None,
            "bounces": self.return_paths is not None,
            "unsubscribing": self.unsubscribing is not None,
        }
        there = ", ".join(word for word, configured in words.items() if configured)
        missing = ", ".join(word for word, configured in words.items() if not configured)
        return f"configured: {there}" + (f"; not configured: {missing}" if missing else "")


def channels_of(settings: Settings, inbox: Path) -> Channels:
    """Return the channels that the settings configure. Nothing is connected.

    Args:
        settings: The process's settings.
        inbox: Folder for messages of the SMS provider ``local:``.

    Raises:
        SettingsError: One or more settings are wrong. The message names the variables, and shows no value.
    """
    wrong: list[str] = []

    def judged(made: Callable[[], Made | None]) -> Made | None:
        try:
            return made()
        except SettingsError as error:
            wrong.append(str(error))
            return None

    made = {name: judged(partial(channel.connect, settings, inbox)) for name, channel in adapters().items()}
    keys = suppression_keys(settings)
    found = Channels(
        connections={name: connection for name, connection in made.items() if connection is not None},
        callbacks=judged(lambda: Callbacks.configured(settings)),
        unsubscribing=Unsubscribing.configured(settings),
        hashes=AddressHashes.configured(settings),
        seal=address_seal(keys) if keys else None,
        return_paths=judged(lambda: ReturnPaths.configured(settings)),
    )
    if wrong:
        raise SettingsError("; ".join(wrong))
    return found
