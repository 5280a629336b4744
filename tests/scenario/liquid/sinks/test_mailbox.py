"""Senders and reply addresses with data in their names."""

import pytest

from scenario.liquid import render_mailbox
from scenario.recipients import BadAddress, Mailbox, parse_sender

ADDRESS = "news@shop.example"
NAMES = [
    "Zoé",
    'O\'Brien "La Zo"',
    '"La Zo" Brien',
    '"',
    "back\\slash",
    'ends\\"',
    "a <b@c.example>",
    "a, b; c",
    ">",
    "",
    "<",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("source", "written"),
    [
        (f"{{{{ name }}}} <{ADDRESS}>", "{}"),
        (f'"{{{{ name }}}}" <{ADDRESS}>', "{}"),
        (f'"{{{{ name }}}} at \\"Shop\\"" <{ADDRESS}>', '{} at "Shop"'),
        (f"Shop {{{{ name }}}} Paris<{ADDRESS}>", "Shop {} Paris"),
        (f'Shop "{{{{ name }}}}" <{ADDRESS}>', 'Shop "{}"'),
        (f'{{% if true %}}"{{% echo name %}}"{{% endif %}} <{ADDRESS}>', "{}"),
        ('"{% cycle name %}" <{{ address }}>', "{}"),
    ],
)
def test_a_name_of_data_stays_the_name(source: str, written: str, name: str):
    rendered = render_mailbox(source, {"name": name, "address": ADDRESS})
    assert parse_sender(rendered) == Mailbox(ADDRESS, written.format(name).strip())


def test_line_breaks_in_a_name_are_spaces():
    assert render_mailbox('"{{ name }}" <a@b.example>', {"name": "A\r\nBcc: x@y.example"}) == (
        '"A Bcc: x@y.example" <a@b.example>'
    )


@pytest.mark.parametrize("sender", ["Shop <a@b.example>", '"The \\"Shop\\"" <a@b.example>', "a@b.example", ""])
def test_data_may_be_a_whole_sender(sender: str):
    assert render_mailbox(" {{ sender }} ", {"sender": sender}) == sender


@pytest.mark.parametrize("source", ['O\'Neil "Shop" <a@b.example>', r'"a \\ \"b\"" <a@b.example>', "a@b.example"])
def test_a_sender_without_data_is_unchanged(source: str):
    assert render_mailbox(source, {}) == source


def test_data_in_the_address_cannot_add_another_one():
    with pytest.raises(BadAddress):
        parse_sender(render_mailbox("Shop <{{ to }}>", {"to": "a@b.example>, <c@d.example"}))
