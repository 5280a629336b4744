"""Words of pages, the first page, and what the script gets when it refreshes a part of one."""

import json
from datetime import timedelta
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from markupsafe import Markup

from gateway.pages.rendering import labelled, relative, sentence, to_contact, to_journey, with_visible_characters
from tests.factories import NOW
from tests.gateway.pages.conftest import SITE, Site
from tests.gateway.pages.test_journeys import PAGE
from tests.gateway.pages.test_operations import WAX
from tests.journey import HELD
from tests.search import Search


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


HTMX = {"hx-request": "true"}


async def test_only_the_region_is_sent_and_only_if_it_has_changed(operator: Site, temporal: Search):
    temporal.hold(WAX, 4)
    page = await operator.get("/held")
    (headers,) = page.values("[hx-headers]", "hx-headers")
    known = HTMX | json.loads(headers)
    same = await operator.browser.get("/held", headers=known)
    assert (same.status_code, same.content) == (304, b"")
    temporal.hold(WAX)
    operator.client.services.refresh()
    other = await operator.browser.get("/held", headers=known)
    assert other.text.strip().startswith('<div id="held" hx-get="/held"')
    assert other.text.strip().endswith("</div>")
    assert "5 journeys" not in page.text()
    assert '<strong class="figure">5</strong> journeys' in other.text


async def test_the_parts_of_a_journey_are_sent_together(operator: Site):
    operator.client.views["a/7/K1"] = HELD
    (headers,) = (await operator.get(PAGE)).values("[hx-headers]", "hx-headers")
    same = await operator.browser.get(PAGE, headers=HTMX | json.loads(headers))
    assert same.status_code == 304, "but for the tokens of its forms"
    parts = await operator.browser.get(PAGE, headers=HTMX)
    assert [part in parts.text for part in ('<div id="now"', '<div id="operate"', '<div id="course"', "<main")] == [
        *[True] * 3,
        False,
    ]


async def test_the_token_of_forms_differs_in_each_compressed_page_and_is_good(operator: Site):
    answer = await operator.browser.get("/held", headers={"accept-encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    first, second = [(await operator.get("/held")).token for _ in range(2)]
    assert first != second
    for token, status in ((first, 422), (second, 422), (first[:-1] + "g", 403), (first[:64] + second[64:], 403)):
        form = {"token": token, "operation": "retry", "scenario": "a", "step": "hook"}
        answer = await operator.browser.post("/held/operation", data=form, headers={"origin": SITE})
        assert answer.status_code == status
