"""Processes tell by which names their keys go, and nothing of the keys."""

from __future__ import annotations

import base64

from pydantic import SecretStr

from runtime.certificates import measured_keys
from runtime.derived_keys import key_names
from runtime.settings import Settings
from runtime.telemetry import metrics
from tests.measured import now

KEYS = [base64.b64encode(bytes([number]) * 32).decode() for number in range(3)]


def test_each_key_has_a_name_that_stays_when_it_becomes_the_previous_one() -> None:
    before = Settings(callback_key=SecretStr(KEYS[0]), suppression_key=SecretStr(KEYS[0]))
    after = Settings(callback_key=SecretStr(KEYS[1]), callback_key_previous=SecretStr(KEYS[0]))
    (callback, name), suppression = key_names(before)
    assert (callback, suppression) == ("SCENARIO_CALLBACK_KEY", ("SCENARIO_SUPPRESSION_KEY", name))
    assert len(name) == 8
    assert (callback, name) in key_names(after)
    assert len(set(key_names(after))) == 2
    assert key_names(Settings()) == []


def test_they_are_measured() -> None:
    settings = Settings(suppression_key=SecretStr(KEYS[0]), suppression_key_previous=SecretStr(f"{KEYS[1]},{KEYS[2]}"))
    with measured_keys(settings):
        assert {setting for setting, _ in now(metrics.KEY)} == {"SCENARIO_SUPPRESSION_KEY"}
        assert len(now(metrics.KEY)) == 3
    assert now(metrics.KEY) == {}
