"""All processes read the platform's dates in the same order."""

from __future__ import annotations

import pytest

from runtime.errors import SettingsError
from runtime.platform_dates import agree_on_dates
from runtime.settings import Settings
from runtime.store import Store

UNSET, DMY, MDY = (Settings(platform_dates=order) for order in (None, "dmy", "mdy"))


@pytest.mark.parametrize(("first", "second"), [(UNSET, DMY), (DMY, UNSET), (DMY, MDY)])
async def test_a_process_with_another_order_does_not_start(store: Store, first: Settings, second: Settings) -> None:
    await agree_on_dates(first, store)
    await agree_on_dates(first, store)
    here, before = second.platform_dates or "not set", first.platform_dates or "not set"
    with pytest.raises(SettingsError, match=f"SCENARIO_PLATFORM_DATES is {here} here, and was {before} in the last"):
        await agree_on_dates(second, store)
    await agree_on_dates(second, store, change=True)
    await agree_on_dates(second, store)
    with pytest.raises(SettingsError, match="--change-dates"):
        await agree_on_dates(first, store)
