"""Stand-ins for secrets, for a machine that sends nothing."""

from __future__ import annotations

from runtime.secrets import Secrets
from runtime.settings import Settings


def stand_in(name: str) -> str:
    return f"stand-in-{name}"


class StandIns(Secrets):
    """Has a stand-in for every name, and records the requested names."""

    def __init__(self) -> None:
        super().__init__(Settings(secrets_dir=None))
        self._made = _Made()

    def _variables(self) -> dict[str, str]:
        return self._made


class _Made(dict[str, str]):
    def __missing__(self, name: str) -> str:
        self[name] = value = stand_in(name)
        return value
