from ipaddress import ip_network
from typing import Any

import pytest

from activities.webhook.errors import RefusedError
from activities.webhook.http.access import Access
from activities.webhook.http.target import MAX_URL, parse
from tests.activities.webhook.casefiles import table

STRICT = Access()
INSIDE = Access(allow_private=True, allow_http=True, ports=(80, 443, 8080))


def refusal(url: str, access: Access = STRICT) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
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
        "",
        "https",
        "https:a.example",
        "https:/a.example/",
        "https://a.example/#top",
        "https://a.example/x y",
        "https://a.example/x\ty",
        "https://a.example/x\ny",
        "https://a.example\\x",
        "https://user@a.example/",
        "https://user:password@a.example/",
        "https://a.example:/",
        "https://a.example:0/",
        "https://a.example:+443/",
        "https://a.example:４４３/",
        "https://bücher.example/",
        "https://１２７.0.0.1/",
        "https://127。0。0。1/",
        "https://ⓔxample.com/",
        "https://a..example/",
        "https://.a.example/",
        "https://-a.example/",
        "https://a-.example/",
        "https://" + "a" * 64 + ".example/",
        "https://" + ".".join(["a" * 60] * 5) + "/",
        "https://a.example/" + "x" * MAX_URL,
        "https://a.example/x/../y",
        "https://a.example/x/./y",
        "https://a.example/..",
        "https://a.example/%2e%2E/x",
        "https://a.example/.%2e?x",
        "https://a.example/v1/..%2F..%2fadmin",
        "https://a.example/v1/x%2f..%2Fy",
        "https://a.example/v1/x%5c%2e%2E%5Cy",
        "https://a.example/v1/..;/admin",
        "https://a.example/v1/x%2F..",
        "https://a.example/v1/..%3Bx",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://1.2.3.0x4/",
        "https://1.2.3.4./",
        "https://01.02.03.04/",
        "https://1.2.3/",
        "https://[::ffff:1.2.3.4%25eth0]/",
        "https://[1::2::3]/",
        "https://intranet/",
        "https://db.internal/",
        "https://LOCALHOST/",
        "https://x.localhost/",
        "https://printer.local/",
        "http://a.example/",
        "file:///etc/passwd",
    ],
)
def test_what_readers_of_urls_disagree_about_is_refused(url: str):
    assert refusal(url).word == "refused_url"


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1/", "https://[::1]/", "https://169.254.169.254/x", "https://10.0.0.1/"]
)
def test_a_literal_address_is_judged_before_anything_is_dialled(url: str):
    assert refusal(url).word == "refused_address"


def test_operations_open_ports_plain_http_and_inner_names():
    assert parse("http://queue.local:8080/x", INSIDE).origin == "http://queue.local:8080"
    assert parse("http://10.0.0.1/x", INSIDE).port == 80
    assert parse("https://[fd12::1]:8080/x", INSIDE).origin == "https://[fd12::1]:8080"
    assert refusal("http://10.0.0.1:81/", INSIDE).word == "refused_url"
    assert refusal("http://169.254.169.254/", INSIDE).word == "refused_address"


def test_a_network_by_name_opens_inner_names_too():
    access = Access(allow_cidr=(ip_network("10.0.0.0/8"),))
    assert parse("https://queue.internal/", access).host == "queue.internal"
    assert refusal("https://192.168.0.1/", access).word == "refused_address"


def test_a_refusal_never_quotes_the_url():
    for url in ("https://u:hunter2@a.example/", "https://a.example/hunter2/../x", "ftp://a.example/hunter2"):
        assert "hunter2" not in str(refusal(url))
        assert "a.example" not in str(refusal(url))
