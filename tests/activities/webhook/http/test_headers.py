import pytest

from activities.outcome import Outcome
from activities.webhook.errors import RefusedError
from activities.webhook.http.exchange import MAX_HEADERS, authored, sendable
from scenario.errors import TemplateError
from scenario.http.headers import FRAMING, MAX_VALUE
from scenario.liquid import check_header_name
from tests.activities.webhook.casefiles import table


def refusal(headers: dict[str, str]) -> str:
    with pytest.raises(RefusedError) as caught:
        authored(headers)
    assert caught.value.verdict.outcome is Outcome.PERMANENT
    return str(caught.value)


@pytest.mark.parametrize("name", table("response_cases.json", "headers", "reject_names"))
def test_no_listed_bad_name_is_sent(name: str):
    refusal({name: "x"})


@pytest.mark.parametrize("value", table("response_cases.json", "headers", "reject_values"))
def test_no_listed_bad_value_is_sent(value: str):
    refusal({"x-ok": value})


def test_a_refused_value_is_not_quoted():
    assert "hunter2" not in refusal({"authorization": "hunter2\n"})


@pytest.mark.parametrize("value", table("response_cases.json", "headers", "accept_values"))
def test_every_listed_good_value_is_sent(value: str):
    assert authored({"x-ok": value}) == {"x-ok": value}


@pytest.mark.parametrize("name", ["Host", "x-google-y", "X-Goog-Z", "X_Goog_Z", "Content_Length", "cf_ray", "X-Ok"])
def test_what_the_check_lets_pass_is_sent(name: str):
    try:
        check_header_name(name)
    except TemplateError:
        assert name in refusal({name: "x"})
    else:
        assert authored({name: "x"}) == {name.lower(): "x"}


@pytest.mark.parametrize("value", ["", "a", "a b", "a\tb", "~" * MAX_VALUE, "!#$%&'*+.^_`|~"])
def test_values_at_the_edge_of_what_is_allowed(value: str):
    assert sendable({"x-ok": value}) == {"x-ok": value}


@pytest.mark.parametrize("value", [" ", "\t", "a\t", "~" * (MAX_VALUE + 1), "a\x00", "a\x1b[31m", "a\u0085b", "a\n"])
def test_values_just_past_the_edge(value: str):
    refusal({"x-ok": value})


def test_names_that_come_twice_or_are_too_many_are_refused():
    assert "twice" in refusal({"X-A": "1", "x-a": "2"})
    assert "more than" in refusal({f"x-{number}": "v" for number in range(MAX_HEADERS + 1)})


@pytest.mark.parametrize("name", sorted(FRAMING))
def test_not_even_we_set_what_frames_a_message(name: str):
    with pytest.raises(RefusedError):
        sendable({name: "1"})


def test_our_own_headers_go_out():
    assert sendable({"webhook-id": "x", "traceparent": "y"}) == {"webhook-id": "x", "traceparent": "y"}
