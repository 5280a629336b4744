"""URLs: where a request goes is the template's to say, what it says is data."""

from typing import Any

import pytest

from scenario.errors import TemplateError
from scenario.liquid import render_path, render_url
from scenario.liquid.sinks.request import check_path, find_origin

DATA: dict[str, Any] = {
    "id": "a/b?c#d e",
    "nothing": None,
    "empty": "",
    "dot": ".",
    "dots": "..",
    "host": "evil.example.net",
    "flag": True,
    "empty_list": [],
    "long": "x" * 10,
}


@pytest.mark.parametrize(
    ("source", "url"),
    [
        ("https://h.example.com", "https://h.example.com"),
        ("http://localhost:8080/x", "http://localhost:8080/x"),
        ("https://[2001:db8::1]:8443/x", "https://[2001:db8::1]:8443/x"),
        ("https://müller.example/ü", "https://müller.example/%C3%BC"),
        ("https://h.example.com/{{ id }}", "https://h.example.com/a%2Fb%3Fc%23d%20e"),
        ("https://h.example.com?q={{ id }}&e={{ empty }}", "https://h.example.com?q=a%2Fb%3Fc%23d%20e&e="),
        ("https://h.example.com/#{{ id }}", "https://h.example.com/#a%2Fb%3Fc%23d%20e"),
        ("https://h.example.com/x{{ empty }}/", "https://h.example.com/x/"),
        ("https://h.example.com/{{ dot }}x/{{ dots }}{{ long }}", "https://h.example.com/.x/..xxxxxxxxxx"),
        ("https://h.example.com//double//{{ long }}", "https://h.example.com//double//xxxxxxxxxx"),
        ("https://h.example.com/{{ id | url_encode }}", "https://h.example.com/a%2Fb%3Fc%23d+e"),
        ("https://h.example.com/{{ id | url_param_escape }}", "https://h.example.com/a%2Fb%3Fc%23d%20e"),
        ("https://h.example.com/{% if flag %}a{% else %}b{% endif %}", "https://h.example.com/a"),
        ("https://h.example.com/a{% for i in empty_list %}/{{ i }}{% endfor %}/b", "https://h.example.com/a/b"),
        ("https://h.example.com/{% if nothing %}x{% endif %}?a=/{% if nothing %}x{% endif %}/", "https://h.example.com/?a=//"),
        ("https://h.example.com/%7Euser/%E2", "https://h.example.com/%7Euser/%E2"),
        ("  https://h.example.com/a\n  ", "https://h.example.com/a"),
        ("https://h.example.com/a\n?b={{ long }}\n", "https://h.example.com/a?b=xxxxxxxxxx"),
        ("{% assign x = id | upcase %}\nhttps://h.example.com/{{ x }}", "https://h.example.com/A%2FB%3FC%23D%20E"),
        ("{% comment %}where{% endcomment %}https://h.example.com/", "https://h.example.com/"),
    ],
)  # fmt: skip
def test_values_are_encoded(source: str, url: str) -> None:
    assert render_url(source, DATA) == url


@pytest.mark.parametrize(
    "source",
    [
        "{{ host }}", "https://{{ host }}/x", "https://h.example.com{{ id }}",
        "https://h.example.com{% if flag %}.evil.net{% endif %}/x", "https://h.example.com:{{ id }}/x",
        "https://h.example.com@evil.example.net/", "https://user:secret@h.example.com/",
        "{% if flag %}https://a.example.com/{% else %}https://b.example.com/{% endif %}",
        "{{ empty }}https://h.example.com/", "ftp://h.example.com/", "//h.example.com/", "/orders", "https:///x",
        "https:\\\\h.example.com\\x", "https://h.example.com\\@evil.example.net/", "", "   ",
        "https://h.example.com:65536/", "https://h.example.com:٤٤٣/",
    ],
)  # fmt: skip
def test_the_host_is_plain_text(source: str) -> None:
    with pytest.raises(TemplateError) as caught:
        find_origin(source)
    assert caught.value.line is not None
    with pytest.raises(TemplateError):
        render_url(source, DATA)


@pytest.mark.parametrize(
    ("source", "column"),
    [
        ("https://h.example.com/{{ empty }}", 23), ("https://h.example.com/{{ nothing }}/orders", 23),
        ("https://h.example.com/{{ dots }}/x", 23), ("https://h.example.com/x/{{ dot }}?a=1", 25),
        ("https://h.example.com/x/.{{ dot }}/", 26), ("https://h.example.com/{{ empty }}{{ nothing }}", 23),
        ("https://h.example.com/{% echo empty %}", 26), ("https://h.example.com/a/../b", 1),
        ("https://h.example.com/a/%2e%2E/b", 1), ("https://h.example.com/a b", 1),
        ("https://h.example.com/{{ missing }}", 26), ("https://h.example.com/v1/{{ '../admin' }}", 26),
        ("https://h.example.com/v1/{{ 'a/..' }}/x", 26), ("https://h.example.com/v1/{{ 'a\\\\..' }}/x", 26),
        ("https://h.example.com/v1/{{ dots }};v=1/x", 26), ("https://h.example.com/v1/a%2F..%2fb", 1),
        ("https://h.example.com/{% cycle empty %}/x", 1),
        ("https://h.example.com/{% if nothing %}{{ nothing }}{% endif %}/orders", 63),
        ("https://h.example.com/{% for i in empty_list %}{{ i }}/{% endfor %}/x?y=/", 68),
        ("https://h.example.com/\n{% if nothing %}x{% endif %}\n{% if nothing %}y{% endif %}/b", 29),
    ],
)  # fmt: skip
def test_a_path_keeps_its_parts(source: str, column: int) -> None:
    with pytest.raises(TemplateError) as caught:
        render_url(source, DATA)
    assert caught.value.column == column


def test_the_origin_is_known_without_rendering() -> None:
    assert find_origin("https://h.example.com:8443/x/{{ id }}") == "https://h.example.com:8443"


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("/orders/{{ id }}", "/orders/a%2Fb%3Fc%23d%20e"), ("orders", "/orders"),
        ("{{ long }}/x?y={{ id }}", "/xxxxxxxxxx/x?y=a%2Fb%3Fc%23d%20e"), ("?q={{ empty }}", "?q="), ("", ""),
    ],
)  # fmt: skip
def test_a_path_lies_beneath_its_destination(source: str, path: str) -> None:
    assert render_path(source, DATA) == path


@pytest.mark.parametrize("source", ["https://evil.example.net/", "//evil.example.net/", " //evil"])
def test_a_path_is_no_url(source: str) -> None:
    with pytest.raises(TemplateError, match="continues the destination's URL"):
        check_path(source)


@pytest.mark.parametrize("source", ["/../x", "/x/./y", "{{ dots }}/x", "{{ empty }}", "/{{ empty }}/{{ host }}"])
def test_a_path_cannot_climb(source: str) -> None:
    with pytest.raises(TemplateError):
        render_path(source, DATA)
