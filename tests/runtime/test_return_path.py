"""Return paths: what they prove, and to whom."""

import pytest
from pydantic import SecretStr

from runtime.errors import SettingsError
from runtime.public_links import ReturnPaths
from runtime.settings import Settings

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
DELIVERY = "msg_00112233445566778899aabbccddeeff"
PATHS = ReturnPaths("bounces@mail.example.com", [KEY])
PATH = PATHS.of(DELIVERY, "zoe@example.com")


def token(path: str, paths: ReturnPaths = PATHS) -> str:
    [found] = paths.tokens(path.encode())
    return found


def test_a_return_path_shows_nothing_and_fits_into_an_address():
    local, _, domain = PATH.partition("@")
    assert (len(local), domain) == (50, "mail.example.com")
    assert local.startswith("bounces+")
    assert "zoe" not in PATH
    assert PATHS.of(DELIVERY, "zoe@example.com") == PATH, "the same in every attempt"
    assert len(ReturnPaths(f"{'b' * 21}@a.b", [KEY]).of(DELIVERY, "zoe@example.com").partition("@")[0]) == 64


@pytest.mark.parametrize(
    ("path", "address", "delivery"),
    [
        (PATH, "zoe@example.com", DELIVERY),
        (PATH.upper(), "ZOE@Example.COM", DELIVERY),
        (f"<{PATH}>", "zoe@example.com", DELIVERY),
        (PATH, "eve@example.com", None),
        (PATHS.of(DELIVERY, "eve@example.com"), "zoe@example.com", None),
        (PATH.replace("bounces+a", "bounces+b"), "zoe@example.com", None),
        (ReturnPaths("bounces@mail.example.com", [OTHER]).of(DELIVERY, "zoe@example.com"), "zoe@example.com", None),
    ],
)
def test_it_proves_that_a_delivery_went_to_an_address(path: str, address: str, delivery: str | None):
    assert PATHS.proven(token(path), address) == delivery


@pytest.mark.parametrize(
    "text",
    ["bounces@mail.example.com", PATH.replace("mail.", "post."), PATH.replace("+", "+a"), f"x{PATH}", "bounces+@mail"],
)
def test_other_addresses_are_none(text: str):
    assert list(PATHS.tokens(text.encode())) == []


def test_a_key_that_was_in_use_is_still_known():
    assert ReturnPaths("bounces@mail.example.com", [OTHER, KEY]).proven(token(PATH), "zoe@example.com") == DELIVERY


def test_it_needs_the_key_of_suppressions():
    with pytest.raises(SettingsError, match="needs SCENARIO_SUPPRESSION_KEY"):
        ReturnPaths.configured(Settings(bounce_address="bounces@mail.example.com"))
    assert ReturnPaths.configured(Settings(suppression_key=SecretStr("A" * 44))) is None


@pytest.mark.parametrize("address", ["bounces", "a+b@c.d", f"{'b' * 22}@a.b", "é@a.b", "a@b c", "<a@b.c>", ".a@b.c"])
def test_a_bad_address_is_said(address: str):
    with pytest.raises(SettingsError, match="SCENARIO_BOUNCE_ADDRESS must be an address such as"):
        Settings(bounce_address=address)
