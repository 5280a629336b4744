"""Whatever the spelling in which a receiver repeats what it was sent, nothing of it is kept."""

from __future__ import annotations

import base64
import html
import json
import random
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from html.entities import codepoint2name
from itertools import product
from typing import Final
from urllib.parse import quote, unquote, unquote_plus

import pytest

from activities.redaction import MASK, NestedTooDeeply, credentials, excerpt, known, masked, readable, short
from runtime.public_links import Subscriber, Unsubscribing


def redact(text: str, secrets: tuple[str, ...] = ()) -> str:
    return readable(text.encode(errors="replace"), secrets)


CALLBACK = "c1.AQBrLoGQ" + "aA0_-" * 20
UNSUBSCRIBE = Unsubscribing("https://a.example", [bytes(32)]).url(Subscriber("email", "", "3", "ann@example.com"))
LINK = UNSUBSCRIBE.rpartition("/")[2]
BEFORE_LINKS = ("", "/", "%2F", "%2f", r"\/", r"\u002f", "https://a.example/callbacks/", '"', "<https://a.example/u/")
CUT_IN_A_CHARACTER = ("%", "%C", "%C3", "%C3%", "%C3%9", "%25C3", "%25C3%259")
# A text, what is shown of it, and the known secrets.
MASKED: list[tuple[str, str, tuple[str, ...]]] = [
    ("no such user ann.b+news@shop.example.com.", f"no such user {MASK}.", ()),
    ("<zoë@exämple.fr>", f"<{MASK}>", ()),
    ("call +33 6 12 34 56 78 now", f"call {MASK} now", ()),
    ("%2B33612345678", MASK, ()),
    ('{"phone": "0612345678"}', f'{{"phone": "{MASK}"}}', ()),
    ("tel:+1-202-555-0143", f"tel:{MASK}", ()),
    ('"to":["33612345678","33698765432"]', f'"to":["{MASK}","{MASK}"]', ()),
    ("+1234567", MASK, ()),
    ("mail%22%3A%22%2B33612345678%22", f"mail%22%3A%22{MASK}%22", ()),
    ("tel%3D0612345678%26", f"tel%3D{MASK}%26", ()),
    *((f"{before}{CALLBACK}&x", f"{before}{MASK}&x", ()) for before in BEFORE_LINKS),
    *((f"refused: {before}{LINK} is bad", f"refused: {before}{MASK} is bad", ()) for before in BEFORE_LINKS),
    ("route u1 to u12", "route u1 to u12", ()),
    ("answer", "answer", ("a\udcff/b",)),  # no text, as a variable of the environment may hold it
    ("v1 MfKQ9r8GKYqrTwjU", f"v1 {MASK}", ("whsec_MfKQ9r8GKYqrTwjU",)),
    ("x tokentoken-long y", f"x {MASK} y", ("token", "tokentoken-long", "")),
    # Short ones are masked only where they are words of their own.
    ("ok, k: 'k'", f"ok, {MASK}: '{MASK}'", ("k",)),
    ("sent, resent, sent-1, sent_at %73ent", f"{MASK}, resent, sent-1, sent_at {MASK}", ("sent",)),
    ("xs3cret-ward", f"x{MASK}ard", ("s3cret-w",)),
    *((f"key=geheim-1234-{end}", f"key={MASK}", ("geheim-1234-ß",)) for end in CUT_IN_A_CHARACTER),
]


@pytest.mark.parametrize(("text", "shown", "secrets"), MASKED)
def test_what_is_masked(text: str, shown: str, secrets: tuple[str, ...]):
    assert redact(text, secrets) == shown


def test_a_credential_is_masked_as_it_was_sent():
    templates = {
        "Authorization": "Basic {{ secrets.PAIR | base64_encode }}",
        "X-Order": "{{ order.external_id }}",
        "X-Short": "{{ secrets.A }}",
    }
    headers = {"Authorization": "Basic enVlOnB3MTIz", "X-Order": "CGX00094", "X-Short": "Z", "webhook-id": "msg_0123"}
    assert list(credentials(templates, headers)) == ["Basic enVlOnB3MTIz", "enVlOnB3MTIz", "Z"]


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


# ---- spellings: what is kept is searched with decoders of the standard library

BEFORE, AFTER = '{"message": "you sent ', '", "status": 503, "at": "2026-03-01T10:00:00Z"}'
"""Around what is planted: it has to stay."""
Spell = Callable[[random.Random, str], str]
Read = Callable[[str], list[str]]


def as_json(chance: random.Random, text: str) -> str:
    """As JSON writers do, each character as one of them might."""

    def one(character: str) -> str:
        plain = json.dumps(character, ensure_ascii=False)[1:-1]
        units = character.encode("utf-16-be").hex()
        escaped = "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
        ways = [plain, plain, plain.replace("/", "\\/"), escaped, escaped.upper().replace("\\U", "\\u")]
        return chance.choice(ways)

    return "".join(map(one, text))


def as_html(chance: random.Random, text: str) -> str:
    made = ""
    for character in reversed(text):
        number = ord(character)
        ways = [f"&#{number};", f"&#x{number:x};", f"&#X{number:X};", html.escape(character), html.escape(character)]
        ways += [f"&{codepoint2name[number]};"] if number in codepoint2name else []
        way = chance.choice(ways)
        if way.startswith("&#") and not re.match("[0-9A-Za-z;]", made):
            way = chance.choice([way, way.removesuffix(";")])
        made = way + made
    return made


def as_url(chance: random.Random, text: str) -> str:
    def one(character: str) -> str:
        encoded = "".join(f"%{byte:02x}" for byte in character.encode())
        ways = [quote(character, safe="/!'()*:@,;="), quote(character, safe=""), encoded, encoded.upper()]
        return chance.choice([*ways, "+"] if character == " " else ways)

    return "".join(map(one, text))


def as_base64(chance: random.Random, text: str) -> str:
    before = chance.choice(["", "u:", "x", "Bearer ", "Zoé ", '{"auth": "'])
    encode = chance.choice([base64.b64encode, base64.urlsafe_b64encode])
    made = encode(f"{before}{text}{chance.choice(['', ' ', ' and more'])}".encode()).decode()
    return chance.choice([made, made.rstrip("="), f"auth/{made}", f"{made}/x"])


def as_hex(chance: random.Random, text: str) -> str:
    made = f"{chance.choice(['', 'u:', 'Bearer '])}{text}".encode().hex()
    return chance.choice([made, made.upper(), f"0x{made}", f"f{made}"])


def read_json(text: str) -> list[str]:
    def one(found: re.Match[str]) -> str:
        try:
            return json.loads(f'"{found[0]}"')
        except ValueError:
            return found[0]

    return [re.sub(r"(?:\\u[0-9a-fA-F]{4})+|\\.", one, text)]


def read_html(text: str) -> list[str]:
    return [html.unescape(text)]


def read_url(text: str) -> list[str]:
    return [unquote(text), unquote_plus(text)]


def read_base64(text: str) -> list[str]:
    runs = re.findall(r"[A-Za-z0-9+/_-]{6,}", text)
    return [_bytes(run[at:], base64.b64decode, 4, "A") for run in runs for at in range(4)]


def _bytes(run: str, decode: Callable[[str], bytes], group: int, fill: str) -> str:
    run = run.replace("-", "+").replace("_", "/")
    return decode(run + fill * (-len(run) % group)).decode(errors="replace")


def read_hex(text: str) -> list[str]:
    runs = re.findall(r"[0-9a-fA-F]{6,}", text)
    return [_bytes(run[at:], bytes.fromhex, 2, "0") for run in runs for at in range(2)]


ESCAPES: Final[dict[str, tuple[Spell, Read]]] = {
    "json": (as_json, read_json),
    "html": (as_html, read_html),
    "url": (as_url, read_url),
}
CODES: Final[dict[str, tuple[Spell, Read]]] = {"base64": (as_base64, read_base64), "hex": (as_hex, read_hex)}
LAYERS: Final = ESCAPES | CODES

ORDERS: Final = [
    [*code, *escaped]
    for code in ([], *([name] for name in CODES))
    for escaped in ([], *([name] for name in ESCAPES), *map(list, product(ESCAPES, ESCAPES)))
]
"""Every code within every one or two escapes, the innermost first."""
PRINTABLE: Final = "".join(map(chr, range(32, 127)))


def spelled(text: str, spellings: Sequence[str], chance: random.Random) -> str:
    for name in spellings:
        text = LAYERS[name][0](chance, text)
    return text


def read(text: str, spellings: Sequence[str]) -> str:
    """All that a text says to a reader who undoes the layers, the last first."""
    told = text
    for name in reversed(spellings):
        told = "\n".join([told, *LAYERS[name][1](told)])
    return told


def a_secret(chance: random.Random) -> str:
    return f"{chance.choice(PRINTABLE[1:])}{''.join(chance.sample(PRINTABLE, chance.randint(6, 22)))}~"


@pytest.mark.parametrize("spellings", ORDERS, ids="-".join)
def test_a_secret_is_masked_in_every_spelling(spellings: list[str]) -> None:
    planted_secrets = ["pl4nted+Secret", "100%25\\u0041&lt;", 's3/cr&t"x', "(a b)'/c", "Zoë d'été 1", *[""] * 7]
    for number, given in enumerate(planted_secrets):
        chance = random.Random(f"{spellings} {number}")
        secret = given or a_secret(chance)
        planted = spelled(secret, spellings, chance)
        shown = readable(f"{BEFORE}{planted}{AFTER}".encode(), (secret,))
        saved = masked([BEFORE, f"[{planted}]", AFTER], known((secret,)))
        for kept in (shown, *saved):
            assert secret.lower() not in read(kept, spellings).lower().replace("\u00a0", " ")
        if shown != MASK:  # what is nested too deeply is not shown at all
            assert shown.startswith(BEFORE)
            assert MASK in shown
            assert len(f"{BEFORE}{planted}{AFTER}") > 2048 or shown.endswith(AFTER)
        assert (saved[0], saved[2]) == (BEFORE, AFTER)
        assert MASK in saved[1]


PERSONAL: Final = (
    *("ann.b+news@shop.example.com", "o_brien@example.fr", "zoe@example.museum", "+33612345678", "0612345678"),
    *("+33 6 12 34 56 78", "06.12.34.56.78", "(555) 123\u20114567"),
)


@pytest.mark.parametrize("spellings", ORDERS, ids="-".join)
def test_addresses_and_numbers_are_masked_in_every_spelling(spellings: list[str]) -> None:
    for personal in PERSONAL:
        planted = spelled(personal, spellings, random.Random(f"{spellings} {personal}"))
        shown = readable(f"{BEFORE}{planted}{AFTER}".encode())
        assert personal.lower() not in read(shown, spellings).lower()
        assert shown.startswith(BEFORE)
        assert len(f"{BEFORE}{planted}{AFTER}") > 2048 or shown.endswith(AFTER)


@pytest.mark.parametrize("spellings", [[], *([name] for name in LAYERS)], ids="-".join)
def test_no_half_of_a_secret_is_left_where_its_spelling_is_cut(spellings: list[str]) -> None:
    for secret in ("s3cret-word/a+b", "zoe's s3cret", "0123456789abcdef"):
        whole = f"you sent {spelled(secret, spellings, random.Random(secret))}"
        for end in range(len(whole)):
            shown = readable(whole[:end].encode(), (secret,))
            assert secret[:8].lower() not in read(shown, spellings).lower()


@pytest.mark.parametrize(
    "echo",
    [
        r"pl4nted\u002BSecret",
        r"PL4NTED\U002BSECRET",
        r"pl4nted\\u002bSecret",
        "pl4nted%252BSecret",
        "pl4nted%u002BSecret",
        r"pl4nted\x2bSecret",
        "pl4nted&#0043Secret",
        "pl4nted&plus;Secret",
        "pl4nted&PLUS;Secret",
        "pl4nted Secret",
        "pl4nted\u00a0Secret",
        base64.encodebytes(b"Authorization: Bearer 0123456789 pl4nted+Secret, and so on").decode(),
        base64.b64encode(b"pl4nted+Secret").hex(),
        "pl4nted+Secret".encode("utf-16-le").decode(),
        "pl4nted&#" + "0" * 40 + "43;Secret",
        "\\x" + b"pl4nted+Secret".hex(),  # PostgreSQL's bytea
    ],
)
def test_what_writers_make_of_a_secret_is_known(echo: str) -> None:
    shown = readable(f"you sent <{echo}>, sorry".encode(), ("pl4nted+Secret",))
    assert MASK in shown
    assert (shown.startswith("you sent <"), shown.endswith(">, sorry")) == (True, True)


@pytest.mark.parametrize("secret", ["cGw0bnRlZA/+==", "cGw0bnRlZA_-", "cGw0bnRlZA/+a="])
def test_a_secret_that_is_base64_is_known_in_either_alphabet_and_without_its_end(secret: str):
    for one in (
        secret.rstrip("="),
        secret.replace("/", "_").replace("+", "-"),
        secret.replace("_", "/").replace("-", "+"),
    ):
        assert readable(f"you sent <{one}>".encode(), (secret,)).startswith(f"you sent <{MASK}")


def test_the_names_of_short_secrets_are_known():
    assert short({"PIN": "8841907", "TOKEN": "s3cret-w", "A": "k", "NONE": ""}) == ["A", "PIN"]


@pytest.mark.parametrize(
    "text",
    [
        *("", "order 12345678 not found", "at 2026-01-01T10:00:00Z", "at 2026-01-01 10:00:00"),
        *("error 503 after 15000 ms", "version 1.2.3, commit 4fc0cfb1", "@nobody and a@b", "10.0.0.1:8080"),
        '{"took": 15.25, "retry": false, "next": null, "error": "NullPointerException"}',
        "<html><body><h1>503 Service&nbsp;Unavailable</h1> &copy; 2026 a &amp; b</body></html>",
        "https://api.example.com/v1/orders/CGX0094?status=sent&fields=id%2Cname&q=50%25+off",
        r"C:\Users\shop\new\table.txt \u00e9t\u00e9 \"quoted\" 100% sure & glad",
        '{"at": "2026-01-01T10:00:00+01:00", "uuid": "550e8400-e29b-41d4-a716-446655440000", "ip": "10.0.0.1"}',
        "été, Σίσυφος, İstanbul, 🎁, ﬁ, \u00a0, ß",
        '{"sizes": [36, 38, 40, 42, 44, 46, 48], "mac": "3c:22:fb:41:00:9a", "q": "a=2B&b=41"}',
    ],
)
def test_text_in_which_nothing_was_planted_stays_as_it_is(text: str) -> None:
    hidden = known(("s3cret-word/a+b", "pw:1", "k9", "é"))
    assert excerpt(text.encode(), hidden) == text
    assert masked([text, "", text], hidden) == [text, "", text]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", f"sha256 {MASK}"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJvcmRlciJ9", f"{MASK}.{MASK}"),
        ("data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAE=", f"data:image/png;base64,{MASK}"),
        ("https://a.example/api/v1/keys/dBjftJeZ4CVPmBxkrqcQKyBj", f"https://a.example/api/v1/keys/{MASK}"),
    ],
)
def test_an_excerpt_shows_no_long_run_of_base64_or_hex(text: str, shown: str) -> None:
    assert excerpt(text.encode(), known(())) == shown
    assert masked([text], known(())) == [text]


@pytest.mark.parametrize("break_", ["\n", "\r\n"])
def test_a_secret_is_masked_across_lines_of_base64(break_: str) -> None:
    secret = "pl_live_9fK2xQ7a"
    for before in range(38, 60):  # a line holds 57 bytes
        lines = base64.encodebytes(b"x" * before + secret.encode()).decode().strip().replace("\n", break_)
        for shown in (redact(lines, (secret,)), *masked([lines], known((secret,)))):
            assert MASK in shown
            assert re.fullmatch(r"=*", shown.rpartition(MASK)[2]), shown


@pytest.mark.parametrize(
    ("secret", "body"),
    [
        ("ab/cd+ef12==", b"a=1&key=ab%2Fcd%2Bef12%3D%3D&b=2"),
        ('p"a/s\\sword1', json.dumps({"key": 'p"a/s\\sword1'}).encode()),
        ("Mot-d\u2019été-1", json.dumps({"key": "Mot-d\u2019été-1"}).encode()),
        ("pass&<word>1", b"<b>pass&amp;&lt;word&gt;1</b>"),
    ],
)
def test_a_secret_is_masked_in_an_encoded_body_that_escapes_it(secret: str, body: bytes) -> None:
    for text in (base64.b64encode(body).decode(), body.hex()):
        assert MASK in masked([text], known((secret,)))[0]


def test_a_secret_is_masked_at_the_beginning_of_bytes_of_postgresql() -> None:
    secret = "pl_live_9fK2xQ7a"
    assert secret.encode().hex()[2:] not in masked([rf"\x{secret.encode().hex()}"], known((secret,)))[0]


def test_texts_that_are_masked_together_stay_apart() -> None:
    texts = ["", "a", "", "\ufffd\x00", "\U0010ffff\ue000", "\\", "&", "%", "\n", "s3cret-", "word"]
    assert masked([*texts, "s3cret-word", *texts], known(("s3cret-word",))) == [*texts, MASK, *texts]


def test_no_text_is_read_more_often_than_there_are_bounds_for() -> None:
    nested = base64.b64encode(base64.b64encode(base64.b64encode(base64.b64encode(b"s3cret@b.co " * 400)))).decode()
    runs = (
        *("%25", "&amp;", "\\u005c", "\\u0032\\u0035", "\\", "&", "%", "@", "aGVsbG8g", "VVVV", "3131", "+1", "c1.A"),
        *("s3cret", "112,", "70:", "=41", "1", "a", "a.", "+", "1 ", "(", "a@", "%40", "p\u200b", "\\053"),
    )
    for text in (nested, "&#" + "0" * 32_000, *(run * (32_000 // len(run)) for run in runs)):
        began = time.thread_time()
        with suppress(NestedTooDeeply):
            masked([text], known(("s3cret-word",)))
        assert len(readable(text.encode(), ("s3cret-word",))) <= 2048
        assert time.thread_time() - began < 2, text[:20]  # it grows with the length, not with its square


PAGE: Final = "".join(
    f'<a href="https://shop.example/o?id={number}&amp;q=a%20b%26c&amp;next=https%3A%2F%2Fx.example%2F%3Fa%3D1%2526b">'
    f"Zo&eacute; &lt;{number}&gt; C:\\temp\\new &nbsp;</a>\n"
    for number in range(30)
)


@pytest.mark.parametrize(
    "page",
    [
        PAGE,
        json.dumps({"error": json.dumps({"page": json.dumps({"html": PAGE})})}),
        json.dumps({"page": html.escape(json.dumps(quote(PAGE)))}),
        html.escape(json.dumps({"html": PAGE})),
        quote(quote(json.dumps({"html": PAGE}))),
    ],
)
def test_what_honest_programs_send_is_read_through(page: str):
    assert readable(page.encode()) == page[:2048]
    assert masked([page], known(("pl4nted+Secret",))) == [page]


def test_nothing_is_shown_of_what_is_nested_too_deeply() -> None:
    for nested in ("%" + "25" * 16 + "41", "&" + "amp;" * 30 + "lt;", "\\" * 64 + "n"):
        assert readable(f"lorem {nested} ipsum".encode()) == MASK
        with pytest.raises(NestedTooDeeply):
            masked([nested], known(()))


TWICE: Final[tuple[Callable[[str], str], ...]] = (
    lambda text: base64.b64encode(text.encode()).decode(),
    lambda text: base64.b64encode(text.encode()).decode().rstrip("="),
    lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    lambda text: text.encode().hex(),
    lambda text: text.encode().hex().upper(),
    lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    str,
)
SEPARATORS: Final = [*(" ", "\n", "\r\n", "\t", "; ", '","', " == ", ""), *"|,;:.-_/+=&"]


@pytest.mark.parametrize(
    "secret", ["Bearer pl4nted-Secret/One==", "s3cretTOKENvalue99", "Zürich-p4ss_word+long/enough"]
)
def test_a_secret_that_comes_twice_is_masked_twice(secret: str) -> None:
    hidden = known((secret,))
    for first, second, separator in product(TWICE, TWICE, SEPARATORS):
        kept = excerpt(f"{first(secret)}{separator}{second(secret)}".encode(), hidden)
        assert not re.search(r"\w{4}", kept), (separator, kept)
