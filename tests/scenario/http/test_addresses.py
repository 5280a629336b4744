from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

import pytest

from scenario.http.urls import Access, AddressKind, canonical, classify, permitted
from tests.activities.webhook.casefiles import table

PUBLIC_ONLY = Access()
PRIVATE = Access(allow_private=True)


@pytest.mark.parametrize("case", table("ssrf_cases.json", "cases", kind="ip"))
def test_every_listed_address_is_judged_as_expected(case: dict[str, Any]):
    assert permitted(case["input"], PUBLIC_ONLY) is (case["expect"] == "allow")


_BORDERS = {
    "0.255.255.255": "1.0.0.0", "10.255.255.255": "11.0.0.0", "10.0.0.0": "9.255.255.255",
    "100.64.0.0": "100.63.255.255", "100.127.255.255": "100.128.0.0", "127.0.0.0": "126.255.255.255",
    "127.255.255.255": "128.0.0.0", "169.254.0.0": "169.253.255.255", "169.254.255.255": "169.255.0.0",
    "172.16.0.0": "172.15.255.255", "172.31.255.255": "172.32.0.0", "192.0.0.0": "191.255.255.255",
    "192.0.2.255": "192.0.3.0", "192.168.0.0": "192.167.255.255", "192.168.255.255": "192.169.0.0",
    "198.18.0.0": "198.17.255.255", "198.19.255.255": "198.20.0.0", "203.0.113.0": "203.0.112.255",
    "224.0.0.0": "223.255.255.255", "2001:1ff:ffff::": "2001:200::", "2001:db8::": "2001:db7:ffff::",
    "2002::": "2001:ffff::", "2002:ffff::": "2003::", "3fff::": "3ffe:ffff::", "1fff:ffff::": "2000::",
    "4000::": "3fff:1000::",
}  # fmt: skip


@pytest.mark.parametrize(("denied", "allowed"), _BORDERS.items())
def test_both_sides_of_each_border(denied: str, allowed: str):
    assert (permitted(denied, PUBLIC_ONLY), permitted(allowed, PUBLIC_ONLY)) == (False, True)


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("93.184.216.34", AddressKind.PUBLIC), ("10.1.2.3", AddressKind.PRIVATE), ("127.0.0.1", AddressKind.PRIVATE),
        ("::1", AddressKind.PRIVATE), ("fd12::1", AddressKind.PRIVATE), ("192.0.2.1", AddressKind.SPECIAL),
        ("64:ff9b::1.1.1.1", AddressKind.SPECIAL), ("::127.0.0.1", AddressKind.SPECIAL),
        ("0.0.0.0", AddressKind.NEVER), ("::", AddressKind.NEVER), ("169.254.169.254", AddressKind.NEVER),
        ("100.100.100.200", AddressKind.NEVER), ("fd00:ec2::254", AddressKind.NEVER),
        ("fe80::1%eth0", AddressKind.NEVER), ("ff02::1", AddressKind.NEVER),
    ],
)  # fmt: skip
def test_the_kinds_of_addresses(address: str, kind: AddressKind):
    assert classify(address) is kind
    assert permitted(address, PRIVATE) is (kind in {AddressKind.PUBLIC, AddressKind.PRIVATE})


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "169.254.169.254", "100.100.100.200", "224.0.0.1", "fe80::1", "::", "::ffff:169.254.169.254",
        "::ffff:0:169.254.169.254", "::169.254.169.254", "64:ff9b::169.254.169.254", "64:ff9b:1::169.254.169.254",
        "2002:a9fe:a9fe::1",
    ],
)  # fmt: skip
def test_no_setting_opens_what_is_never_right(address: str):
    everything = Access(allow_private=True, allow_cidr=(IPv4Network("0.0.0.0/0"), IPv6Network("::/0")))
    assert not permitted(address, everything)


@pytest.mark.parametrize(
    ("network", "inside", "outside"),
    [
        ("10.2.0.0/16", "10.2.3.4", "10.3.0.1"),
        ("10.2.0.0/16", "::ffff:10.2.3.4", "::ffff:10.3.0.1"),
        ("198.18.0.0/15", "198.18.0.1", "192.0.2.1"),
        ("fd12:3456::/32", "fd12:3456::1", "fd12:3457::1"),
        ("64:ff9b::/96", "64:ff9b::8.8.8.8", "64:ff9b::10.0.0.1"),
        ("64:ff9b::/96", "64:ff9b::1.1.1.1", "64:ff9b::169.254.169.254"),
        ("64:ff9b:1::/48", "64:ff9b:1:2::1.1.1.1", "64:ff9b:1:2::10.0.0.1"),
        ("2002::/16", "2002:808:808::1", "2002:a00:1::1"),
    ],
)
def test_a_network_by_name_opens_just_that_network(network: str, inside: str, outside: str):
    access = Access(allow_cidr=(ip_network(network),))
    assert (permitted(inside, access), permitted(outside, access)) == (True, False)


def test_a_mapped_address_is_the_address_in_it():
    assert canonical("::ffff:8.8.8.8") == ip_address("8.8.8.8")
    assert permitted("::ffff:8.8.8.8", PUBLIC_ONLY)
    assert not permitted("::ffff:7f00:1", PUBLIC_ONLY)


@pytest.mark.parametrize("text", ["", "example.com", "0x7f000001", "127.1", "1.2.3.4.5", "2130706433"])
def test_what_is_no_numeric_address_is_not_judged(text: str):
    with pytest.raises(ValueError):
        permitted(text, PUBLIC_ONLY)
