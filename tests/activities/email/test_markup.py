"""CSS at the elements, for readers that know no other."""

from typing import Any

import pytest

from activities.email import markup
from activities.email.markup import inlined
from scenario.errors import TemplateError


def test_styles_are_inlined_and_kept():
    html = inlined("<html><head><style>p{color:red} @media print{p{color:blue}}</style></head><p>x</p></html>")
    assert '<p style="color: red;">' in html
    assert "@media print" in html


def test_styles_are_never_fetched(tmp_path: Any):
    (tmp_path / "a.css").write_text("p{color:red}")
    for href in (f"file://{tmp_path}/a.css", f"{tmp_path}/a.css", "http://127.0.0.1:9/a.css"):
        link = f'<link rel="stylesheet" href="{href}"><style>@import url("{href}"); b{{top:0}}</style><p>x</p>'
        assert "color: red" not in inlined(link)


def test_html_without_styles_is_left_alone():
    assert inlined("<p>x") == "<p>x"


def test_styles_that_are_malformed_cost_only_themselves():
    assert "color: red" in inlined("<style>p{color:red} b{{{ </style><p>x</p>")


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


def test_styles_do_not_make_an_e_mail_of_any_size():
    with pytest.raises(TemplateError, match="more than 500,000 characters"):
        inlined(f"<style>p{{color:{'r' * 1000}}}</style>{'<p>x' * 1000}")
