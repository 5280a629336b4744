"""Styles at the elements of an HTML e-mail, and the plain text that is made of it."""

from typing import Any

import pytest

from activities.email import markup
from activities.email.markup import inlined, plain
from scenario.errors import LimitExceeded, TemplateError


def test_styles_are_inlined_and_kept():
    html = inlined("<html><head><style>p{color:red} @media print{p{color:blue}}</style></head><p>x</p></html>")
    assert '<p style="color: red;">' in html
    assert "@media print" in html
    assert "color: red" in inlined("<style>p{color:red} b{{{ </style><p>x</p>"), "a malformed one costs only itself"
    assert inlined("<p>x") == "<p>x"


def test_styles_are_never_fetched(tmp_path: Any):
    (tmp_path / "a.css").write_text("p{color:red}")
    for href in (f"file://{tmp_path}/a.css", f"{tmp_path}/a.css", "http://127.0.0.1:9/a.css"):
        link = f'<link rel="stylesheet" href="{href}"><style>@import url("{href}"); b{{top:0}}</style><p>x</p>'
        assert "color: red" not in inlined(link)


class Panic(BaseException):
    """What a panic in Rust becomes."""


@pytest.mark.parametrize("error", [markup.css_inline.InlineError("secret"), Panic("secret")])
def test_styles_that_cannot_be_inlined_are_a_mistake_with_a_name(monkeypatch: pytest.MonkeyPatch, error: BaseException):
    class Failing:
        def inline(self, html: str) -> str:
            raise error

    monkeypatch.setattr(markup, "_INLINER", Failing())
    with pytest.raises(TemplateError, match=r"^the styles cannot be inlined$"):
        inlined("<style></style>")


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("", ""),
        ("  \n ", ""),
        ("Hello", "Hello\n"),
        ("<p>One</p><p>Two</p>", "One\n\nTwo\n"),
        ("<p>One\n  and   a half</p>\n\n<p>Two</p>", "One and a half\n\nTwo\n"),
        ("<div>One</div><div>Two</div>", "One\nTwo\n"),
        ("One<br>Two<br/><br>Three", "One\nTwo\n\nThree\n"),
        ("<h1>Merci&nbsp;Zoé</h1>&eacute;t&#233;", "Merci\xa0Zoé\n\nété\n"),
        ("<ul><li>1 × Cap</li><li>2 × <b>Mug</b></li></ul>", "- 1 × Cap\n- 2 × Mug\n"),
        ('<a href="https://shop.example/o/1?a=1&amp;b=2">your order</a>.',
         "your order (https://shop.example/o/1?a=1&b=2).\n"),
        ('<a href="https://shop.example">https://shop.example</a>', "https://shop.example\n"),
        ('<a href="mailto:help@shop.example">help@shop.example</a>', "help@shop.example\n"),
        ('<a href="tel:+331">call us</a>', "call us (+331)\n"),
        ('<a href="#top">top</a> <a name="x">here</a> <a href="javascript:x()">no</a>', "top here no\n"),
        ('<a href="https://shop.example"><img src="x.png" alt="Shop"></a>', "Shop (https://shop.example)\n"),
        ('<a href="https://shop.example"><img src="x.png"></a>', "https://shop.example\n"),
        ('<a href="https://shop.example"><p>One</p><p>Two</p></a>', "One\n\nTwo\n\n(https://shop.example)\n"),
        ("<table><tr><td>Cap</td><td>10 €</td></tr><tr><td>Mug</td><td>5 €</td></tr></table>", "Cap 10 €\nMug 5 €\n"),
        ("<html><head><title>T</title><style>p{}</style></head><body><p>Seen</p><script>x</script></body></html>",
         "Seen\n"),
        ("<head><title>T</title><body>Seen", "Seen\n"),
        ("<!-- not seen --><!--[if mso]><p>Outlook</p><![endif]-->Seen", "Seen\n"),
        ("</a></p></ul>Seen<a>", "Seen\n"),
        ("caf\u200b\u00ade", "cafe\n"),
        ("1 < 2 & 3 &lt; 4", "1 < 2 & 3 < 4\n"),
    ],
)  # fmt: skip
def test_html_reads_as_text(html: str, text: str):
    assert plain(html) == text


def test_a_line_of_many_pieces_is_read():
    html = "<div>" * 200 + "<b>x</b> " * 10_000 + "<p>Hello <a href='https://shop.example'>there</a></p>" * 1000
    text = plain(html)
    assert text.startswith("x x x x")
    assert text.count("there (https://shop.example)") == 1000


def test_elements_have_a_depth():
    assert plain("<div>" * 254 + "x") == "x\n"  # in html and body
    with pytest.raises(LimitExceeded, match=r"^elements are nested more than 256 levels deep: is one not closed\?$"):
        plain("<div>" * 255 + "x")


def test_a_text_has_a_length_however_often_the_address_of_a_link_is_written():
    link = f'<p><a href="http://{"x" * 9_993}">'
    assert len(plain(link + "<p>y" * 48)) < 500_000
    with pytest.raises(LimitExceeded, match=r"^as plain text it has more than 500,000 characters$"):
        plain(link + "<p>y" * 50)
