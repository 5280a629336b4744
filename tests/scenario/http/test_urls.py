from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, Literal

import pytest

from scenario.http.urls import MAX_URL, Access, AddressKind, UrlError, canonical, classify, is_dotted, parse, permitted
from scenario.liquid.lint import lint
from scenario.liquid.shapes import Roots, Value
from tests.activities.webhook.casefiles import table

STRICT = Access()
INSIDE = Access(allow_private=True, allow_http=True, ports=(80, 443, 8080))


def refusal(url: str, access: Access = STRICT) -> UrlError:
    with pytest.raises(UrlError) as caught:
        parse(url, access)
    return caught.value


@pytest.mark.parametrize("case", table("ssrf_cases.json", "cases", kind="url"))
def test_every_listed_url_is_judged_as_expected(case: dict[str, Any]):
    if case["expect"] == "allow":
        assert parse(case["input"], STRICT).url == case["input"]
    else:
        refusal(case["input"])


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("https://a.example", "https://a.example/"),
        ("HTTPS://A.Example:443/Path", "https://a.example/Path"),
        ("https://a.example?x=1", "https://a.example/?x=1"),
        ("https://a.example./x", "https://a.example/x"),
        ("https://a.example/%7Ex%2f?q=%41+%20", "https://a.example/%7Ex%2f?q=%41+%20"),
        ("https://a.example/é/{id}?q=[ü]|100%", "https://a.example/%C3%A9/%7Bid%7D?q=%5B%C3%BC%5D%7C100%25"),
        ("https://a.example//x/...//y.", "https://a.example//x/...//y."),
        ("https://a.example/x?p=../..", "https://a.example/x?p=../.."),
        ("https://a.example/a%2Fb..%2F.c/x..y/...;z", "https://a.example/a%2Fb..%2F.c/x..y/...;z"),
        ("https://[2606:4700:4700:0:0:0:0:1111]/x", "https://[2606:4700:4700::1111]/x"),
        ("https://1.1.1.1/x", "https://1.1.1.1/x"),
        ("https://a_b.example/x", "https://a_b.example/x"),
    ],
)
def test_what_is_sent_is_the_url_in_its_usual_form(url: str, sent: str):
    target = parse(url, STRICT)
    assert target.url == sent
    assert parse(sent, STRICT).url == sent


@pytest.mark.parametrize(
    "url",
    [
        "", "https", "https:a.example", "https:/a.example/", "https://a.example/#top", "https://a.example/x y",
        "https://a.example/x\ty", "https://a.example/x\ny", "https://a.example\\x", "https://user@a.example/",
        "https://user:password@a.example/", "https://a.example:/", "https://a.example:0/", "https://a.example:+443/",
        "https://a.example:４４３/", "https://bücher.example/", "https://１２７.0.0.1/", "https://127。0。0。1/",
        "https://ⓔxample.com/", "https://a..example/", "https://.a.example/", "https://-a.example/",
        "https://a-.example/", "https://" + "a" * 64 + ".example/", "https://" + ".".join(["a" * 60] * 5) + "/",
        "https://a.example/" + "x" * MAX_URL, "https://a.example/x/../y", "https://a.example/x/./y",
        "https://a.example/..", "https://a.example/%2e%2E/x", "https://a.example/.%2e?x",
        "https://a.example/v1/..%2F..%2fadmin", "https://a.example/v1/x%2f..%2Fy",
        "https://a.example/v1/x%5c%2e%2E%5Cy", "https://a.example/v1/..;/admin", "https://a.example/v1/x%2F..",
        "https://a.example/v1/..%3Bx", "https://2130706433/", "https://0x7f.1/", "https://1.2.3.0x4/",
        "https://1.2.3.4./", "https://01.02.03.04/", "https://1.2.3/", "https://[::ffff:1.2.3.4%25eth0]/",
        "https://[1::2::3]/", "https://intranet/", "https://db.internal/", "https://LOCALHOST/",
        "https://x.localhost/", "https://printer.local/", "http://a.example/", "file:///etc/passwd",
    ],
)  # fmt: skip
def test_what_readers_of_urls_disagree_about_is_refused(url: str):
    assert not refusal(url).is_address


def test_operations_open_ports_plain_http_and_inner_names():
    assert parse("http://queue.local:8080/x", INSIDE).origin == "http://queue.local:8080"
    assert parse("http://10.0.0.1/x", INSIDE).port == 80
    assert parse("https://[fd12::1]:8080/x", INSIDE).origin == "https://[fd12::1]:8080"
    assert not refusal("http://10.0.0.1:81/", INSIDE).is_address
    assert refusal("http://169.254.169.254/", INSIDE).is_address


def test_a_network_by_name_opens_inner_names_too():
    access = Access(allow_cidr=(ip_network("10.0.0.0/8"),))
    assert parse("https://queue.internal/", access).host == "queue.internal"
    assert refusal("https://192.168.0.1/", access).is_address


def test_a_refusal_never_quotes_the_url():
    for url in ("https://u:hunter2@a.example/", "https://a.example/hunter2/../x", "ftp://a.example/hunter2"):
        assert "hunter2" not in str(refusal(url))
        assert "a.example" not in str(refusal(url))


INWARD = [
    "kubernetes", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "vault.internal", "x.localhost",
    "printer.local", "router.home.arpa", "nas.home", "nas.lan", "wiki.intranet", "wiki.corp", "wiki.private",
    "smtp.mail", "hidden.onion", "Host.LocalDomain.",
]  # fmt: skip


@pytest.mark.parametrize("host", INWARD)
def test_a_name_that_only_leads_inwards_is_refused_as_a_name_unless_a_destination_opens_it(host: str):
    refused = refusal(f"https://{host}/")
    assert (str(refused), refused.openable) == ("its host is a name that only leads inside a network", True)
    assert parse(f"https://{host}/", INSIDE).host == host.lower().rstrip(".")


@pytest.mark.parametrize("host", ["svc.example.com", "x.svc.ms", "local.example.com", "home-arpa.com", "arpa.example"])
def test_a_public_name_that_only_looks_like_one_is_called(host: str):
    assert parse(f"https://{host}/", STRICT).host == host


@pytest.mark.parametrize(
    ("url", "openable"),
    [
        ("http://a.example/", True), ("https://a.example:8443/", True), ("https://10.0.0.1/", True),
        ("https://192.0.2.1/", True), ("https://169.254.169.254/", False), ("https://a.example:65536/", False),
        ("ftp://a.example/", False), ("https://u@a.example/", False), ("https://127.0.0.1/", True),
        ("https://[::1]/", True),
    ],
)  # fmt: skip
def test_it_is_told_whether_operations_may_open_it_to_a_destination(url: str, openable: bool):
    refused = refusal(url)
    # A literal address is judged before anything is dialled.
    assert (refused.openable, refused.is_address) == (openable, "[" in url or url.count(".") == 3)


NAMES = Roots({"a": Value("text")})


def refused(url: str, kind: Literal["url", "path"] = "url") -> list[str]:
    """What the check before publishing says of a URL that a scenario writes."""
    return [found.message for found in lint(url, kind=kind, schema=NAMES) if found.severity == "error"]


@pytest.mark.parametrize("case", table("ssrf_cases.json", "cases", kind="url"))
def test_the_check_says_what_every_delivery_would_be_refused_for(case: dict[str, Any]):
    url = case["input"]
    if url in (" https://example.com/", "https://example.com/\x00"):
        pytest.skip("what is rendered has no blank there, and YAML has no NUL")
    assert bool(refused(url)) is (case["expect"] == "deny")


@pytest.mark.parametrize("url", ["https://svc.lan", "http://a.example", "https://a.example:8443", "https://10.0.0.1"])
@pytest.mark.parametrize(
    "rest",
    [
        "",
        "/",
        "/x/{{ a }}",
        "/{% if a %}x{% endif %}/y",
        "/{% assign b = 1 %}{{ b }}",
        "/{% raw %}{{{% endraw %}",
        "?{{ a }}",
    ],
)
def test_what_data_fill_in_hides_no_refusal(url: str, rest: str):
    (message,) = refused(f"{url}{rest}")
    assert message.startswith("every delivery is refused: ")
    assert message.endswith("; operators can allow it for a destination: then write 'to' instead of 'url'")


@pytest.mark.parametrize(
    ("url", "kind", "messages"),
    [
        ("https://a.example/{{ a }}", "url", []),
        ("https://a.example/{% if a %}x{% else %}?y{% endif %}", "url", []),
        ("https://a.example/{% if a %}x?y={% endif %}/../z", "url", []),
        ("https://a.example/{% comment %}#{% endcomment %}x", "url", []),
        ("https://a.example/{% raw %}{{{% endraw %}", "url", []),
        ("https://u:p@a.example/", "url", ["a URL cannot contain a user name: put credentials into a header"]),
        (f"/x/{'é' * 1400}", "path", ["every delivery is refused: it is longer than 8000 characters"]),
        ("/x/{{ a }}", "path", []),
        ("?x={{ a }}", "path", []),
    ],
)
def test_what_may_well_be_called_is_not_refused_by_the_check(
    url: str, kind: Literal["url", "path"], messages: list[str]
):
    assert refused(url, kind) == messages


# ---- paths that would lead elsewhere, and paths that only look so


DOTTED = ["/.", "/..", "/a/../b", "/a/./b", "/%2E%2e/b", "/a%2F..", "/a%5c%2e./b", "/..%2Fa", "/..;/a", "/x/..%3By"]
PLAIN = ["/", "//", "/a..b", "/...", "/.well-known/x", "/a%2Fb..%2F.c", "/x..y/...;z", "/a%2F.%2Fb", "/%252E%252E"]


def test_a_part_of_dots_leads_elsewhere_and_other_dots_are_characters_like_any() -> None:
    assert [path for path in (*DOTTED, "", *PLAIN) if is_dotted(path)] == DOTTED


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
