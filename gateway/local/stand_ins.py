"""Secrets for a machine where nothing is sent: every name has one, and nobody's real one is read."""

from __future__ import annotations

from runtime.secrets import Secrets
from runtime.settings import Settings


def stand_in(name: str) -> str:
    """What stands in for a secret."""
    return f"stand-in-{name}"


class StandIns(Secrets):
    """Has a secret for whoever asks, and lists those that somebody has asked for."""

    def __init__(self) -> None:
        super().__init__(Settings(secrets_dir=None))
        self._made = _Made()

    def _variables(self) -> dict[str, str]:
        return self._made


class _Made(dict[str, str]):
    def __missing__(self, name: str) -> str:
        self[name] = value = stand_in(name)
        return value
