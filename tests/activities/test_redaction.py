import pytest

from activities.redaction import MASK, credentials, known, masked, readable
from runtime.unsubscribing import Subscriber, Unsubscribing


def redact(text: str, secrets: tuple[str, ...] = ()) -> str:
    return readable(text.encode(errors="replace"), secrets)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no such user ann.b+news@shop.example.com.", f"no such user {MASK}."),
        ("q=ann%40example.com&x=1", f"q={MASK}&x=1"),
        ("<zoë@exämple.fr>", f"<{MASK}>"),
        ("call +33 6 12 34 56 78 now", f"call {MASK} now"),
        ("+33612345678", MASK),
        ("%2B33612345678", MASK),
        ('{"phone": "0612345678"}', f'{{"phone": "{MASK}"}}'),
        ("06.12.34.56.78", MASK),
        ("(555) 123-4567", MASK),
        ("tel:+1-202-555-0143", f"tel:{MASK}"),
        ('"to":["33612345678","33698765432"]', f'"to":["{MASK}","{MASK}"]'),
        ("+1234567", MASK),
        ("mail%22%3A%22%2B33612345678%22", f"mail%22%3A%22{MASK}%22"),
        ("tel%3D0612345678%26", f"tel%3D{MASK}%26"),
    ],
)
def test_addresses_and_numbers_are_masked(text: str, shown: str):
    assert redact(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "order 12345678 not found",
        "at 2026-01-01T10:00:00Z",
        "at 2026-01-01 10:00:00",
        "request 550e8400-e29b-41d4-a716-446655440000",
        "error 503 after 15000 ms",
        "version 1.2.3, commit 4fc0cfb1",
        "@nobody and a@b",
        "10.0.0.1:8080",
    ],
)
def test_what_an_operator_needs_stays(text: str):
    assert redact(text) == text


@pytest.mark.parametrize(
    "echo",
    [
        'Bearer s3/cr&t"x',
        "token=s3%2Fcr%26t%22x",
        r'{"auth": "s3/cr&t\"x"}',
        r'{"auth": "s3\/cr&t\"x"}',
        "czMvY3ImdCJ4",
        "token=s3/cr%26t%22x",
        "token=s3%2fcr%26t%22x",
        "<p>s3/cr&amp;t&quot;x</p>",
        '<p>s3/cr&amp;t"x</p>',
    ],
)
def test_a_secret_is_masked_however_it_is_echoed(echo: str):
    shown = redact(echo, ('s3/cr&t"x',))
    assert MASK in shown
    assert "s3" not in shown
    assert "czMv" not in shown


@pytest.mark.parametrize("echo", ["(a%20b)'%2Fc", "%28a+b%29%27%2Fc", "(a b)&#39;/c", "(a b)&#x27;/c", "(a b)'/c"])
def test_a_secret_with_blanks_and_quotes_is_masked_too(echo: str):
    assert redact(f"x={echo}", ("(a b)'/c",)) == f"x={MASK}"


def test_a_secret_that_is_no_text_stands_in_nobodys_way():
    """As a variable of the environment may hold it."""
    assert redact("answer", ("a\udcff/b",)) == "answer"


def test_a_signing_key_is_masked_without_its_prefix_too():
    assert redact("v1 MfKQ9r8GKYqrTwjU", ("whsec_MfKQ9r8GKYqrTwjU",)) == f"v1 {MASK}"


def test_a_credential_is_masked_as_it_was_sent():
    templates = {
        "Authorization": "Basic {{ secrets.PAIR | base64_encode }}",
        "X-Order": "{{ order.external_id }}",
        "X-Short": "{{ secrets.A }}",
    }
    headers = {"Authorization": "Basic enVlOnB3MTIz", "X-Order": "CGX00094", "X-Short": "Z", "webhook-id": "msg_0123"}
    assert list(credentials(templates, headers)) == ["Basic enVlOnB3MTIz", "enVlOnB3MTIz", "Z"]


def test_a_secret_inside_another_leaves_nothing_of_either():
    assert redact("x tokentoken-long y", ("token", "tokentoken-long", "")) == f"x {MASK} y"


def test_masking_comes_before_cutting():
    body = b"x" * 2044 + b"hunter2-hunter2"
    shown = readable(body, ["hunter2-hunter2"])
    assert len(shown) <= 2048
    assert "hunt" not in shown
    assert "ann" not in readable(b"." * 2046 + b" ann@example.com")


@pytest.mark.parametrize("times", [1, 400])
def test_no_half_of_a_secret_is_left_where_a_receiver_or_we_cut(times: int):
    secret = "hunter2-hunter2-hunter2-hunter2"
    shown = readable((secret * times)[:-3].encode(), [secret])
    assert "hunt" not in shown
    assert readable(b"the hunter", [secret]) == f"the {MASK}"
    assert readable(b"the hunt", [secret]) == "the hunt"


def test_a_terminal_obeys_nothing_that_a_receiver_sent():
    assert readable(b"a\x1b[2Jb\x00\r\n\tc\x9b\xff" + "\u202egnp".encode()) == "a[2Jb\n\tc\ufffd\ufffdgnp"


@pytest.mark.parametrize("run", ["1", "a", "a.", "+", "1 ", "(", "a@", "%40"])
def test_a_long_run_of_the_same_character_comes_to_an_end(run: str):
    """Where the time grew with the square of the length, this would take longer than any test may."""
    assert len(redact(run * 400_000, ("s3cret/a-word",))) <= 2048
    assert len(masked([run * 16_000], known(("s3cret/a-word",)))[0]) <= len(run) * 16_000


@pytest.mark.parametrize("before", ["", "/", "%2F", "%2f", r"\/", r"\u002f", "https://a.example/callbacks/", '"'])
def test_a_callback_address_is_masked_however_its_slashes_are_written(before: str):
    token = "c1.AQBrLoGQ" + "aA0_-" * 20
    assert redact(f"{before}{token}&x") == f"{before}{MASK}&x"


@pytest.mark.parametrize("before", ["", "%2F", r"\u002f", "https://a.example/u/", '"', "<https://a.example/u/"])
def test_an_address_for_unsubscribing_is_masked_too(before: str):
    url = Unsubscribing("https://a.example", [bytes(32)]).url(Subscriber("email", "", "3028687", "ann@example.com"))
    assert redact(f"refused: {before}{url.rpartition('/')[2]} is bad") == f"refused: {before}{MASK} is bad"
    assert redact("route u1 to u12") == "route u1 to u12"
