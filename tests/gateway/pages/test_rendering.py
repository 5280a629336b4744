"""Words of pages."""

from datetime import timedelta
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from markupsafe import Markup

from gateway.pages.rendering import labelled, relative, sentence, to_contact, to_journey, with_visible_characters
from tests.factories import NOW


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("give a reason", "Give a reason."),
        ("no worker answered: try again?", "No worker answered: try again?"),
        ("vip-birthday/7: no worker answered", "vip-birthday/7: no worker answered."),
        ("reward is entered by 'abandoned_cart'", "reward is entered by 'abandoned_cart'."),
        ("reward@2 is not published", "reward@2 is not published."),
    ],
)
def test_a_message_begins_with_a_capital_unless_an_id_begins_it(words: str, shown: str):
    assert sentence(words) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (12.5, "in 12 s"),
        (-0.4, "now"),
        (-59, "59 s ago"),
        *((-70 - later, "2 min ago") for later in (0, 30, 49)),
        (-200, "4 min ago"),
        (7300, "in 2 h"),
        (-86_400, ""),
    ],
)
def test_a_moment_within_a_day_is_told_by_its_distance(seconds: float, shown: str):
    assert relative(NOW + timedelta(seconds=seconds), NOW) == shown


@pytest.mark.parametrize("name", ["..", ".", "%2e%2e", "a/../b", "a b/\U0001f384?#'\"", "..a/%2F/."])
def test_every_id_has_an_address_that_browsers_keep(name: str):
    for address, prefix in ((to_contact(name), "/contacts"), (to_journey(f"sale/{name}/K"), "/journeys/sale/")):
        # As a browser: the path without its segments of dots, also if these are encoded.
        kept = urlsplit(urljoin("https://x.example.com/", address.replace("%2e", ".").replace("%2E", ".")))
        assert f"{kept.path}?{kept.query}".rstrip("?") == address
        assert unquote(kept.path).startswith(prefix)
        assert name in (unquote(kept.path).removeprefix("/contacts/"), unquote(kept.query).removeprefix("id=")) or (
            unquote(kept.path) == f"/journeys/sale/{name}/K"
        )


def test_each_cell_has_the_heading_of_its_column():
    rows = Markup('<tr class="x"><th scope="row"><a>1</a></th><td class="number">2</td></tr><tr><td>3</td></tr>')
    assert labelled(rows, ['The "first"', "#Count"]) == (
        '<tr class="x"><th data-label="The &#34;first&#34;" scope="row"><a>1</a></th>'
        '<td data-label="Count" class="number">2</td></tr><tr><td data-label="The &#34;first&#34;">3</td></tr>'
    )


@pytest.mark.parametrize(
    ("html", "shown"),
    [
        (
            "<p>\u202eevil\u202c a\x07\u200b\ufeff</p>",
            "<p>&lt;U+202E&gt;evil&lt;U+202C&gt; a&lt;U+0007&gt;&lt;U+200B&gt;&lt;U+FEFF&gt;</p>",
        ),
        ('<input value="\u202ea">\u202e', '<input value="\u202ea">&lt;U+202E&gt;'),
        ("<textarea>\u202e<</textarea>", "<textarea>\u202e<</textarea>"),
        ("a\u200db \U0001f469\u200d\U0001f680", "a&lt;U+200D&gt;b \U0001f469\u200d\U0001f680"),
        ("<p>a\tb\n\u00e9</p>", "<p>a\tb\n\u00e9</p>"),
    ],
)
def test_characters_that_deceive_the_eye_are_named_in_texts(html: str, shown: str):
    assert with_visible_characters(html) == shown
