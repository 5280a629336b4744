"""Normalised and hashed members of audiences, compared with the platforms' own libraries where these are installed."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from scenario.errors import TemplateError
from scenario.liquid import render_text

ADDRESSES = {
    "A.B+c@Googlemail.com": ("ab@googlemail.com", "a.b+c@googlemail.com"),
    " zoe.roux@gmail.com\t": ("zoeroux@gmail.com", "zoe.roux@gmail.com"),
    "Zoé.Roux+shop@exämple.fr": ("zoé.roux+shop@exämple.fr", "zoé.roux+shop@exämple.fr"),
}
"""Addresses as Google and as Meta normalise them."""
NUMBERS = {
    "+33 6 12 34 56 78": ("+33612345678", "33612345678"),
    "+44 (0)20 7946-0958": ("+442079460958", "442079460958"),
}
PACKAGES = ("google-ads-datamanager-util==0.4.0", "facebook-business==26.0.3")
OFFICIAL = """
import hashlib, json, sys
from facebook_business.adobjects.serverside.normalize import Normalize
from google.ads.datamanager_util import Formatter
from google.ads.datamanager_util.format import Encoding
google, (addresses, numbers) = Formatter(), json.load(sys.stdin)
print(json.dumps([
    [[google.process_email_address(one, Encoding.HEX), Normalize.normalize("em", one, True)] for one in addresses],
    [[google.process_phone_number(one, Encoding.HEX), Normalize.normalize("ph", one, True)] for one in numbers],
]))
"""


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def members(kind: str, values: list[str]) -> list[list[str]]:
    """The hashes of values for Google and for Meta."""
    template = (
        "{% for one in values %}{{ one | audience_KIND: 'google' }} {{ one | audience_KIND: 'meta' }};{% endfor %}"
    )
    text = render_text(template.replace("KIND", kind), {"values": values})
    return [one.split(" ") for one in text.split(";")[:-1]]


@pytest.mark.parametrize(("kind", "values"), [("email", ADDRESSES), ("phone", NUMBERS)])
def test_each_platform_gets_the_hash_of_what_it_normalises_to(kind: str, values: dict[str, tuple[str, str]]):
    assert members(kind, [*values]) == [[digest(google), digest(meta)] for google, meta in values.values()]


@pytest.mark.parametrize("number", ["06 12 34 56 78", "0033612345678"])
def test_a_national_number_needs_its_country(number: str):
    assert render_text("{{ number | audience_phone: 'meta' }}", {"number": number}) == ""
    hashed = render_text("{{ number | audience_phone: 'meta', 'FR' }}", {"number": number})
    assert hashed == digest("33612345678")


@pytest.mark.parametrize(
    "value", ["", "zoe", "zoe@", "@gmail.com", "a b@gmail.com", "a@b@c.fr", "zoe@localhost", "+.+@gmail.com"]
)
def test_what_is_no_address_has_no_hash(value: str):
    assert render_text("{{ value | audience_email: 'google' }}", {"value": value}) == ""


def test_another_platform_is_a_mistake():
    with pytest.raises(TemplateError, match="'audience_email' takes a platform: 'google' or 'meta'"):
        render_text("{{ 'a@b.fr' | audience_email: 'tiktok' }}", {})


@pytest.mark.nightly
def test_the_platforms_own_libraries_hash_the_same(tmp_path: Path):
    # In an environment of their own: nothing else needs them.
    subprocess.run(["uv", "venv", "--quiet", "--python", sys.executable, tmp_path], check=True)
    python = tmp_path / "bin" / "python"
    subprocess.run(["uv", "pip", "install", "--quiet", "--python", python, *PACKAGES], check=True)
    numbers = [ours for ours, _ in NUMBERS.values()]  # in E.164, which both expect
    asked = json.dumps([[*ADDRESSES], numbers])
    told = subprocess.run([python, "-c", OFFICIAL], input=asked, capture_output=True, text=True, check=True)
    assert json.loads(told.stdout) == [members("email", [*ADDRESSES]), members("phone", numbers)]
