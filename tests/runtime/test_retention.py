"""Ages, as the setting and the command line say them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gateway.providers.effects import STALE
from runtime.errors import SettingsError
from runtime.retention import NATURAL, RetentionError, format_ages, parse_ages
from runtime.settings import Settings
from runtime.store.api_access import KEPT
from scenario.policies.caps import LONGEST
from scenario.policies.suppression import SOFT_SPAN

DAY = timedelta(days=1)


def test_ages_are_durations_and_years() -> None:
    ages = parse_ages("entries=2y, deliveries=180d,responses=26w,")
    assert ages == {"entries": 730 * DAY, "deliveries": 180 * DAY, "responses": 182 * DAY}
    assert format_ages(ages) == "deliveries=180d,responses=182d,entries=730d"
    assert parse_ages(format_ages(ages)) == ages


ROWS = "deliveries, responses, entries, claims, passages, operations, events, each once, with its age: entries=2y"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "give retention periods: deliveries=180d,responses=30d,entries=2y"),
        ("suppressions=1y", f"'suppressions=1y' is not one of {ROWS}"),
        ("entries=1y,entries=2y", f"'entries=2y' is not one of {ROWS}"),
        ("entries", "'' is not an age of entries: from 1d to 10y, such as 90d, 26w or 2y"),
        ("entries=-3d", "'-3d' is not an age of entries: from 1d to 10y, such as 90d, 26w or 2y"),
        ("entries=11y", "'11y' is not an age of entries: from 1d to 10y, such as 90d, 26w or 2y"),
        ("claims=31d", "'31d' is not an age of claims: from 32d to 10y, such as 90d, 26w or 2y"),
    ],
)
def test_what_is_wrong_is_said(text: str, sentence: str) -> None:
    with pytest.raises(RetentionError) as caught:
        parse_ages(text)
    assert str(caught.value) == sentence


def test_the_setting_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCENARIO_RETENTION", "entries=2y")
    assert Settings().retention == "entries=2y"
    monkeypatch.setenv("SCENARIO_RETENTION", "claims=3d")
    with pytest.raises(SettingsError, match=r"^SCENARIO_RETENTION must be ages from 1d .*claims \(32d at least\)"):
        Settings()


def test_nothing_is_forgotten_while_it_counts() -> None:
    assert NATURAL["claims"] > LONGEST
    assert NATURAL["soft_bounces"] > 2 * SOFT_SPAN
    assert NATURAL["provider_events"] > STALE
    assert NATURAL["answers"] >= KEPT
