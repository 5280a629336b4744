"""What journeys and activities agree on."""

import pytest

from activities.interface import fairness_key


@pytest.mark.parametrize(
    ("destination", "key"),
    [("wax", "wax"), ("a" * 70, "a" * 64), ("é" * 40, "é" * 32), ("a" + "é" * 40, "a" + "é" * 31)],
)
def test_a_long_destination_has_as_much_of_its_name_as_the_server_takes(destination: str, key: str):
    assert fairness_key(destination) == key
