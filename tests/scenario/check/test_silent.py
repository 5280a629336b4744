"""Mistakes that would go out in silence are warnings, and warnings that are meant are accepted at their line."""

import pytest

from scenario.check.check import check

LONG = "x" * 1_601
HOOK = "webhook: w, url: https://h.example/, body: {a: b}"
WARNED: tuple[tuple[str, str | None], ...] = (
    (f"- {{sms: a, text: {LONG}}}", "length"),
    (f"- {{sms: a, text: '{LONG[2:]}{{{{ contact.firstname }}}}'}}", None),
    (f"- {{sms: a, text: '{LONG}{{{{ contact.firstname }}}}'}}", "length"),
    (f"- {{sms: a, text: '{{% if contact.language == \"fr\" %}}{LONG}{{% else %}}b{{% endif %}}'}}", None),
    (f"- {{{HOOK}, headers: {{Authorization: Bearer sk_live_abc}}}}", "literal-secret"),
    (f"- {{{HOOK}, headers: {{authorization: abc}}}}", "literal-secret"),
    (f"- {{{HOOK}, headers: {{X-Token: sk_test_abc}}}}", "literal-secret"),
    (f"- {{{HOOK}, headers: {{X-Api-Key: k1}}}}", "literal-secret"),
    (f"- {{{HOOK}, headers: {{X-Kind: bearer of news}}}}", None),
    ("- {repeat: {every: 1d, times: 3}, steps: [{wait: 3d}, {sms: a, text: t}]}", "round"),
    ("- {repeat: {every: 1d, times: 3}, steps: [{wait: 12h}, {wait: 13h}, {sms: a, text: t}]}", "round"),
    ("- {repeat: {every: 1d, times: 3}, steps: [{wait: 1d}, {sms: a, text: t}]}", None),
    ("- {repeat: {every: 1d, times: 3}, steps: [{if: order.card_code == 'a', then: [{wait: 3d}]}]}", None),
    (
        "- {repeat: {every: 1d, times: 3}, steps: "
        "[{if: order.total_price > 5, then: [{wait: 3d}], else: [{wait: 2d}]}, {sms: a, text: t}]}",
        "round",
    ),
    ("- {sms: a, text: “Hello”}", "quotes"),
    ("- {email: a, subject: «Hello», text: t}", "quotes"),
    ("- {email: a, subject: Say “Hello” to Ann, text: t}", None),
    ("- {sms: a, text: '{{ order.items[0].title }}'}", "unknown-field"),
    ("- {if: contact.custom.vip == '1', then: [{wait: 1d}]}", "custom-type"),
    ("- {if: \"'yes' != order.custom.gift\", then: [{wait: 1d}]}", "custom-type"),
    ("- {if: contact.custom.orders_count > '5', then: [{wait: 1d}]}", "custom-type"),
    ("- {if: contact.custom.vip == true and contact.custom.n > 5, then: [{wait: 1d}]}", None),
    ("- {if: contact.custom.zip == '75001' and contact.custom.since > '2026-01-01', then: [{wait: 1d}]}", None),
    ("- {sms: a, text: '{% if contact.custom.vip == \"TRUE\" %}a{% endif %}b'}", "custom-type"),
)  # fmt: skip


def warnings(steps: str) -> list[str]:
    text = f"scenario: a\ntrigger: order\npurpose: transactional\nsteps:\n{steps}\n"
    found = check(text).findings
    assert all(one.severity == "warning" for one in found), found
    return [one.code for one in found]


@pytest.mark.parametrize(("steps", "code"), WARNED)
def test_what_would_go_out_in_silence_is_told(steps: str, code: str | None) -> None:
    assert warnings(steps) == [code] * (code is not None)


def test_a_field_of_another_platform_is_told_by_its_name_here() -> None:
    text = "scenario: a\ntrigger: order\nsteps: [{sms: a, text: '{{ order.items[0].title }} {{ contact.tz }}'}]\n"
    assert [one.message for one in check(text).findings] == [
        "'order' has no field 'items', which is called 'products' here, unless the engine sends one",
        "'contact' has no field 'tz', which is called 'timezone' here, unless the engine sends one",
    ]


@pytest.mark.parametrize(
    "written",
    [
        "- sms: a\n  text: “Hello”  # check: ignore quotes",
        "- sms: a\n  text: “Hello” # check: ignore length, quotes",
        "- sms: a\n  # check: ignore quotes\n  text: “Hello”",
        "- sms: a\n  text: |  # check: ignore unknown-field\n    Hello\n    {{ order.items }}",
        "- repeat: {every: 1d, times: 3}  # check: ignore round\n  steps: [{wait: 3d}, {sms: a, text: t}]",
    ],
)
def test_a_warning_is_accepted_at_its_line(written: str) -> None:
    assert warnings(written) == []


@pytest.mark.parametrize(
    ("written", "codes"),
    [
        ("- sms: a  # check: ignore quotes\n  text: “Hello”", ["quotes"]),
        ("- sms: a\n  text: “Hello”  # check: ignore length", ["quotes"]),
        ("- sms: a\n  text: |\n    # check: ignore unknown-field\n    {{ order.items }}", ["unknown-field"]),
    ],
)
def test_a_comment_accepts_what_it_names_and_no_more(written: str, codes: list[str]) -> None:
    assert warnings(written) == codes


def test_an_error_is_not_accepted() -> None:
    step = "- {sms: a, text: '{{ order.products.name }}'}  # check: ignore list-field"
    text = f"scenario: a\ntrigger: order\nsteps:\n{step}\n"
    assert [one.code for one in check(text).findings] == ["list-field"]


def test_which_event_is_meant_can_be_said() -> None:
    text = (
        "scenario: a\ntrigger: event\npurpose: transactional\nsteps:\n- wait_for: friend.ordered\n- sms: a\n"
        "  text: '{{ event.contact_id }}'{}\n"
    )
    assert [one.code for one in check(text.replace("{}", "")).findings] == ["which-event"]
    assert check(text.replace("{}", "  # check: ignore which-event")).findings == ()
