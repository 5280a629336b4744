"""Whatever the spellings in which a receiver sends back what it was sent, nothing of it is kept.

What is planted is spelled in layers, each over the one before. What is kept is then searched with decoders of the
standard library, which know the layers and nothing of how the masking works.
"""

from __future__ import annotations

import base64
import html
import json
import random
import re
import string
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from html.entities import codepoint2name
from typing import Final
from urllib.parse import quote, unquote, unquote_plus
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from activities.redaction import MASK, excerpt, known, masked, readable, short
from activities.spellings import TooManyReadings
from runtime.callback import Callbacks

BEFORE, AFTER = '{"message": "you sent ', '", "status": 503, "at": "2026-03-01T10:00:00Z"}'
"""Around what is planted: it has to stay."""
TOKEN: Final = (
    Callbacks("https://hooks.example.com", [b"k" * 32])
    .url("planted/4718", str(UUID(int=2**127 + 12345)), "msg_" + "c0ffee42" * 4, datetime(2026, 3, 1, tzinfo=UTC))
    .rpartition("/")[2]
)

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


def as_anything(chance: random.Random, text: str) -> str:
    """One character as JSON, the next as HTML or in a URL."""
    plain = string.ascii_letters + string.digits
    ways = (as_json, as_html, as_url)
    return "".join(one if one in plain and chance.random() < 0.7 else _closed(chance, ways, one) for one in text)


def _closed(chance: random.Random, ways: Sequence[Spell], character: str) -> str:
    made = chance.choice(ways)(chance, character)
    made = quote(character, safe="") if made in {character, "+"} else made
    return f"{made};" if made.startswith("&") and not made.endswith(";") else made


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


def read_anything(text: str) -> list[str]:
    return [read_json(html.unescape(unquote(text)))[0], unquote(html.unescape(read_json(text)[0]))]


def read_base64(text: str) -> list[str]:
    runs = re.findall(r"[A-Za-z0-9+/_-]{6,}", text)
    return [_bytes(run[at:], base64.b64decode, 4, "A") for run in runs for at in range(4)]


def _bytes(run: str, decode: Callable[[str], bytes], group: int, fill: str) -> str:
    run = run.replace("-", "+").replace("_", "/")
    return decode(run + fill * (-len(run) % group)).decode(errors="replace")


def read_hex(text: str) -> list[str]:
    runs = re.findall(r"[0-9a-fA-F]{6,}", text)
    return [_bytes(run[at:], bytes.fromhex, 2, "0") for run in runs for at in range(2)]


LAYERS: Final[dict[str, tuple[Spell, Read]]] = {
    "json": (as_json, read_json),
    "html": (as_html, read_html),
    "url": (as_url, read_url),
    "anything": (as_anything, read_anything),
    "base64": (as_base64, read_base64),
    "hex": (as_hex, read_hex),
}
CASES: Final[tuple[Callable[[str], str], ...]] = (str, str.upper, str.lower, str.swapcase)

layers = st.lists(st.sampled_from(sorted(LAYERS)), max_size=3).filter(lambda names: names.count("anything") <= 1)
secrets = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=8, max_size=24).filter(
    lambda text: text == text.strip() and len(set(text)) > 4
)


def spelled(text: str, spellings: Sequence[str], chance: random.Random) -> str:
    for name in spellings:
        text = LAYERS[name][0](chance, text)
    return text


def read(text: str, spellings: Sequence[str]) -> str:
    """All that a text says to who undoes the layers, the last first."""
    told = text
    for name in reversed(spellings):
        told = "\n".join([told, *LAYERS[name][1](told)])
    return told


def digits(text: str) -> str:
    """A text whose numbers are written without separators."""
    return re.sub(r"(?<=[0-9])[^0-9A-Za-z\n]{1,2}(?=[0-9])", "", text)


@settings(max_examples=400)
@given(secrets, layers, st.sampled_from(CASES), st.randoms(use_true_random=False))
@example("pl4nted+Secret", ["json"], str, random.Random(1))
@example("pl4nted+Secret", ["url", "url"], str, random.Random(1))
@example("100%25\\u0041&lt;", ["json", "url"], str, random.Random(1))
def test_a_secret_is_masked_in_every_spelling(
    secret: str, spellings: list[str], case: Callable[[str], str], chance: random.Random
):
    planted = spelled(case(secret), spellings, chance)
    shown = readable(f"{BEFORE}{planted}{AFTER}".encode(), (secret,))
    try:
        saved = masked([BEFORE, f"[{planted}]", AFTER], known((secret,)))
    except TooManyReadings:  # then nothing of the response is kept
        saved = [BEFORE, MASK, AFTER]

    for kept in (shown, *saved):
        assert secret.lower() not in read(kept, spellings).lower().replace("\u00a0", " ")
    if shown != MASK:  # nothing is shown of what has too many readings
        assert shown.startswith(BEFORE)
        assert MASK in shown
        assert len(f"{BEFORE}{planted}{AFTER}") > 2048 or shown.endswith(AFTER)
    assert (saved[0], saved[2]) == (BEFORE, AFTER)
    assert MASK in saved[1]


@settings(max_examples=200)
@given(
    st.sampled_from(
        [
            *("ann.b+news@shop.example.com", "o_brien@example.fr", "zoe@example.museum", "+33612345678", "0612345678"),
            *(
                "+33 6 12 34 56 78",
                '"to": "+33\u00a06\u00a012\u202f34\u202f56 78',
                "06.12.34.56.78",
                "(555) 123\u20114567",
            ),
            f"/{TOKEN}",
        ]
    ),
    layers,
    st.sampled_from(CASES),
    st.randoms(use_true_random=False),
)
def test_addresses_and_numbers_are_masked_in_every_spelling(
    personal: str, spellings: list[str], case: Callable[[str], str], chance: random.Random
):
    is_token = TOKEN in personal
    planted = spelled(personal if is_token else case(personal), spellings, chance)
    personal = personal.removeprefix('"to": ')
    shown = readable(f"{BEFORE}{planted}{AFTER}".encode())

    said = read(shown, spellings)
    assert personal.lower() not in said.lower()
    if personal[-1].isdigit() and not is_token:
        assert re.sub("[^0-9]", "", personal) not in digits(said)
    if shown != MASK:  # nothing is shown of what has too many readings
        assert shown.startswith(BEFORE)
        assert len(f"{BEFORE}{planted}{AFTER}") > 2048 or shown.endswith(AFTER)
    if is_token:
        assert TOKEN not in read(masked([planted], known(()))[0], spellings)


@settings(max_examples=100)
@given(
    st.sampled_from(["s3cret-word/a+b", "zoe's s3cret", "0123456789abcdef"]),
    st.lists(st.sampled_from(sorted(LAYERS)), max_size=2),
    st.integers(0, 400),
    st.randoms(use_true_random=False),
)
def test_no_half_of_a_secret_is_left_where_its_spelling_is_cut(
    secret: str, spellings: list[str], cut: int, chance: random.Random
):
    whole = f"you sent {spelled(secret, spellings, chance)}"
    shown = readable(whole[: len(whole) - cut].encode(), (secret,))
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
        "pl4nted&#x" + "0" * 40 + "2b;Secret",
        "\\x" + b"pl4nted+Secret".hex(),  # PostgreSQL's bytea
        "\\\\x" + b"u:pl4nted+Secret".hex(),
        json.dumps({"type": "Buffer", "data": list(b"u:pl4nted+Secret, and so on")}),
        str(list(b"pl4nted+Secret")),
        "; ".join(map(str, b"pl4nted+Secret")),
        ", ".join(map(hex, b"pl4nted+Secret")),
        " ".join(f"0X{byte:02X}" for byte in b"u:pl4nted+Secret"),
        b"pl4nted+Secret".hex(":"),
        b"pl4nted+Secret".hex(" ").upper(),
        "pl4nted=2BSecret",
        "pl4nt=\r\ned=2BSec=\nret",
        r"pl4nted\053Secret",
        "pl4n\u200bted+Sec\u00adret",
        r"pl4n\u200bted+Sec\u0000ret",
    ],
)
def test_what_writers_make_of_a_secret_is_known(echo: str):
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


@pytest.mark.parametrize(
    ("secret", "text", "shown"),
    [
        ("k", "ok, k: 'k'", f"ok, {MASK}: '{MASK}'"),
        ("sent", "sent, resent, sent-1, sent_at %73ent", f"{MASK}, resent, sent-1, sent_at {MASK}"),
        ("s3cret-w", "xs3cret-ward", f"x{MASK}ard"),
    ],
)
def test_a_short_secret_is_masked_only_where_it_is_a_word_of_its_own(secret: str, text: str, shown: str):
    assert readable(text.encode(), (secret,)) == shown


def test_the_names_of_short_secrets_are_known():
    assert short({"PIN": "8841907", "TOKEN": "s3cret-w", "A": "k", "NONE": ""}) == ["A", "PIN"]


INNOCENT: Final = [
    '{"id": "msg_0123456789abcdef0123456789abcdef", "took": 15.25, "retry": false, "next": null}',
    "<html><body><h1>503 Service&nbsp;Unavailable</h1> &copy; 2026 a &amp; b</body></html>",
    "https://api.example.com/v1/orders/CGX0094?status=sent&fields=id%2Cname&q=50%25+off",
    "sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJvcmRlciJ9.dBjftJeZ4CVP-mBxkrqcQKyBjLQbE3wWJdVXlPKW2z0",
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
    r"C:\Users\shop\new\table.txt \u00e9t\u00e9 \"quoted\" 100% sure & glad",
    '{"at": "2026-01-01T10:00:00+01:00", "uuid": "550e8400-e29b-41d4-a716-446655440000", "ip": "10.0.0.1"}',
    "été, Σίσυφος, İstanbul, 🎁, ﬁ, \u00a0, ß",
    '{"sizes": [36, 38, 40, 42, 44, 46, 48], "mac": "3c:22:fb:41:00:9a", "q": "a=2B&b=41", "zero": "a\u200bb"}',
]


@pytest.mark.parametrize("text", INNOCENT)
def test_text_in_which_nothing_was_planted_stays_as_it_is(text: str):
    hidden = known(("s3cret-word/a+b", "pw:1", "k9", "é"))
    assert excerpt(text.encode(), hidden) == text
    assert masked([text, "", text], hidden) == [text, "", text]


@settings(max_examples=200)
@given(st.lists(st.text(max_size=40), max_size=8))
def test_texts_that_are_masked_together_stay_apart(texts: list[str]):
    texts = [text.encode(errors="replace").decode() for text in texts]
    secret = "s3cret-word"
    shown = masked([*texts, secret, *texts], known((secret,)))
    assert shown == [*texts, MASK, *texts]


@pytest.mark.parametrize(
    "text",
    [
        *("%25" * 6000, "&amp;" * 4000, "\\u005c" * 3000, "\\" * 16_000, "&" * 16_000, "%" * 16_000, "@" * 16_000),
        *("aGVsbG8g" * 2000, "VVVV" * 4000, "3131" * 4000, "+1" * 8000, "c1.A" * 5000, "s3cret" * 2600),
        base64.b64encode(base64.b64encode(base64.b64encode(base64.b64encode(b"s3cret@b.co " * 400)))).decode(),
        "\\u0032\\u0035" * 1300,
        *(
            "112," * 4000,
            "70:" * 5000,
            "=41" * 5000,
            "1" * 16_000,
            "p\u200b" * 8000,
            "\\053" * 4000,
            "&#0" + "0" * 16_000,
        ),
    ],
)
def test_no_text_is_read_more_often_than_there_are_bounds_for(text: str):
    """Where the time grew with the square of the length, this would take longer than any test may."""
    with suppress(TooManyReadings):
        assert len(masked([text * 4], known(("s3cret-word",)))) == 1
    assert len(readable((text * 4).encode(), ("s3cret-word",))) <= 2048


NESTED: Final = (
    *(
        "%" + "25" * 16 + "41",
        "%" + "25" * 400 + "41",
        "&" + "amp;" * 30 + "lt;",
        "\\" * 64 + "n",
        "\\u005c" * 40 + "u0041",
    ),
    *("%2525252541\\\\\\\\u0041&amp;amp;amp;" * 9, "%26amp%253B" * 12, "\\u0025\\u0032\\u0035" * 20, "&#37;25" * 40),
    *("%25\\u0026amp;" * 30, "\\\\u0025%5Cu0026%26amp;#92;" * 20),
)
"""Escapes within escapes, as fill up the time that a text may be read for."""
CONTACT: Final = json.dumps(
    {"email": "jane.doe@example.com", "tel": "+33612345678", "auth": "pl4nted+Secret", "to": TOKEN}
)


@settings(max_examples=50)
@given(
    st.lists(st.sampled_from(NESTED), min_size=1, max_size=4),
    st.integers(0, 3600),
    layers,
    st.randoms(use_true_random=False),
)
@example(["%" + "25" * 16 + "41"], 3600, [], random.Random(1))
def test_what_cannot_be_read_through_is_not_kept(
    nested: list[str], more: int, spellings: list[str], chance: random.Random
):
    """A text that is nested so deep that its reading is given up hides nothing that stands in it."""
    around = (*nested, "lorem " * (more // 6))
    planted = spelled(CONTACT, spellings[:1], chance)
    shown = readable("".join((planted, *around)).encode(), ("pl4nted+Secret",))
    try:
        saved = masked([planted, *around], known(("pl4nted+Secret",)))[0]
    except TooManyReadings:
        saved = ""
    for one in ("jane.doe@example.com", "33612345678", "pl4nted+Secret", TOKEN):
        assert one.lower() not in read(shown, spellings[:1]).lower()
    for one in ("pl4nted+Secret", TOKEN):
        assert one.lower() not in read(saved, spellings[:1]).lower()


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


def test_nothing_is_shown_of_what_cannot_be_read_through():
    text = "".join(NESTED) * 4
    assert readable(text.encode()) == MASK
    with pytest.raises(TooManyReadings):
        masked([text], known(("pl4nted+Secret",)))


TWICE: Final[dict[str, Callable[[str], str]]] = {
    "Base64": lambda text: base64.b64encode(text.encode()).decode(),
    "Base64 without padding": lambda text: base64.b64encode(text.encode()).decode().rstrip("="),
    "Base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "upper-case hex": lambda text: text.encode().hex().upper(),
    "escaped": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "plain": lambda text: text,
}
SEPARATORS: Final = (
    " ",
    "\n",
    "\r\n",
    "\t",
    "|",
    ",",
    ";",
    "; ",
    ":",
    ".",
    "-",
    "_",
    "/",
    "+",
    "=",
    "&",
    '","',
    " == ",
    "",
)


@pytest.mark.parametrize("second", TWICE)
@pytest.mark.parametrize("first", TWICE)
@pytest.mark.parametrize(
    "secret", ["Bearer pl4nted-Secret/One==", "s3cretTOKENvalue99", "Zürich-p4ss_word+long/enough"]
)
def test_a_secret_that_comes_twice_is_masked_twice(secret: str, first: str, second: str) -> None:
    hidden = known((secret,))
    for separator in SEPARATORS:
        kept = excerpt(f"{TWICE[first](secret)}{separator}{TWICE[second](secret)}".encode(), hidden)
        assert not re.search(r"\w{4}", kept), (separator, kept)
