"""The agreement of all processes on the order of the platform's dates."""

from __future__ import annotations

from runtime.errors import SettingsError
from runtime.settings import Settings
from runtime.store import Store


async def agree_on_dates(settings: Settings, store: Store, *, change: bool = False) -> None:
    """Raise SettingsError if another process read the platform's dates in another order, unless `change` allows it.

    A journey keeps the order of its admission. Two orders at the same time would read the same date in two ways.
    """
    own = settings.platform_dates or ""
    kept = await store.agree("platform_dates", own, change=change)
    if kept != own:
        raise SettingsError(
            f"SCENARIO_PLATFORM_DATES is {own or 'not set'} here, and was {kept or 'not set'} in the last process that "
            "used this store: use the same value, or start with --change-dates to change it"
        )
