"""Words of pages."""

from __future__ import annotations

import pytest

from gateway.pages.rendering import sentence


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("give a reason", "Give a reason."),
        ("no worker answered: try again?", "No worker answered: try again?"),
        ("vip-birthday/7: no worker answered", "vip-birthday/7: no worker answered."),
        ("reward is entered by 'abandoned_cart'", "reward is entered by 'abandoned_cart'."),
        ("reward@2 is not published", "reward@2 is not published."),
    ],
)
def test_a_message_begins_with_a_capital_unless_an_id_begins_it(words: str, shown: str) -> None:
    assert sentence(words) == shown
