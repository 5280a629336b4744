"""Names of the keys in the settings. They reveal nothing of the keys, but show differences between processes."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from pydantic import SecretStr

from runtime.settings import Settings, keys_in
from runtime.suppression import derived
from runtime.telemetry import metrics

_LABEL: Final = b"scenario-runner key name"


def key_names(settings: Settings) -> list[tuple[str, str]]:
    """Return the setting and the name of each key that signs callbacks or hashes suppressed addresses."""
    values: tuple[tuple[str, SecretStr | None], ...] = (
        ("SCENARIO_CALLBACK_KEY", settings.callback_key),
        ("SCENARIO_CALLBACK_KEY", settings.callback_key_previous),
        ("SCENARIO_SUPPRESSION_KEY", settings.suppression_key),
        ("SCENARIO_SUPPRESSION_KEY", settings.suppression_key_previous),
    )
    return [
        (setting, hashlib.sha256(derived(key, _LABEL)).hexdigest()[:8])
        for setting, value in values
        if value is not None
        for key in keys_in(value)
    ]


@contextmanager
def measured_keys(settings: Settings) -> Generator[None]:
    """Measure which keys this process has."""
    names = key_names(settings)
    metrics.KEY.reads(lambda: [(name, 1.0) for name in names])
    try:
        yield
    finally:
        metrics.KEY.reads(None)
