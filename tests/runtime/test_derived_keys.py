"""Processes tell by which names their keys go, and nothing of the keys."""

from __future__ import annotations

import base64

import pytest
from pydantic import SecretStr

from runtime.certificates import measuring_keys
from runtime.derived_keys import AddressHashes, key_names
from runtime.settings import Settings
from runtime.telemetry import metrics
from scenario.errors import BadRecipient
from tests.factories import present
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
    with measuring_keys(settings):
        assert {setting for setting, _ in now(metrics.KEY)} == {"SCENARIO_SUPPRESSION_KEY"}
        assert len(now(metrics.KEY)) == 3
    assert now(metrics.KEY) == {}


KEY, OLD, OLDER = bytes(range(32)), bytes(range(1, 33)), bytes(range(2, 34))
ADDRESS = "ada@example.com"


def base64_of(*keys: bytes) -> str:
    return ",".join(base64.b64encode(key).decode() for key in keys)


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"SCENARIO_{name.upper()}", raising=False)


def test_an_address_has_one_hash_whatever_its_spelling() -> None:
    hashes = AddressHashes([KEY])
    # Another value here would make every suppression on record unfindable.
    assert hashes.of("email", ADDRESS) == ("8bf9098904d3493a8179b5461c06ac4a8a6a838589c9a8c9e3f38e58a7230645",)
    assert hashes.of("email", " ADA@Example.COM ") == hashes.of("email", ADDRESS)
    assert hashes.of("sms", "+33 6 12 34 56 78") == hashes.of("sms", "0033612345678")
    assert hashes.of("email", "ada@example.org") != hashes.of("email", ADDRESS)
    assert AddressHashes([OLD]).of("email", ADDRESS) != hashes.of("email", ADDRESS)


def test_keys_that_were_in_use_still_find_it() -> None:
    found = AddressHashes([KEY, OLD, OLDER]).of("email", ADDRESS)
    assert found == tuple(hashed for key in (KEY, OLD, OLDER) for hashed in AddressHashes([key]).of("email", ADDRESS))


def test_what_is_no_address_has_no_hash() -> None:
    with pytest.raises(BadRecipient, match=r"^the e-mail address is malformed$"):
        AddressHashes([KEY]).of("email", "ada")


def test_keys_come_from_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert AddressHashes.configured(Settings()) is None
    monkeypatch.setenv("SCENARIO_SUPPRESSION_KEY_PREVIOUS", base64_of(OLD, OLDER))
    assert AddressHashes.configured(Settings()) is None, "nothing is written under a key that was"
    monkeypatch.setenv("SCENARIO_SUPPRESSION_KEY", base64_of(KEY))
    hashes = present(AddressHashes.configured(Settings()))
    assert hashes.of("email", ADDRESS) == AddressHashes([KEY, OLD, OLDER]).of("email", ADDRESS)
    assert repr(hashes) == "AddressHashes(3 keys)"
