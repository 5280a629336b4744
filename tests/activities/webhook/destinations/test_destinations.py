"""What a destination adds to each attempt: headers and keys, from secrets as they are at that moment."""

from datetime import UTC, datetime, timedelta

import pytest

from activities.webhook.destinations.destinations import CredentialsError, Destination, Destinations
from activities.webhook.destinations.form import SigningForm
from scenario.http.destinations import KnownDestination, KnownDestinations

KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOW = datetime(2026, 11, 1, tzinfo=UTC)
PAST, FUTURE = NOW - timedelta(days=1), NOW + timedelta(days=1)


def signer(key: str, until: datetime | None = None) -> SigningForm:
    return SigningForm.model_validate({"key": key, **({"until": until.isoformat()} if until else {})})


WAX = Destination(
    name="wax",
    url="https://api.wax.example",
    headers={"Authorization": "Bearer {{ secrets.TOKEN }}", "X-House": "one"},
    header_secrets=("TOKEN",),
    signing=(signer("NEW"), signer("OLD", FUTURE)),
)


def test_headers_are_made_of_the_secrets_that_there_are():
    assert WAX.rendered_headers({"TOKEN": "t0p"}) == {"Authorization": "Bearer t0p", "X-House": "one"}
    assert not any(word in repr(WAX) for word in ("api.wax.example", "Bearer")), (
        "a destination shows no URL and no header"
    )


MISSING = (
    "destination wax needs the secret TOKEN, which is not set: set SCENARIO_SECRET_TOKEN, "
    "or a file of that name under SCENARIO_SECRETS_DIR"
)
MALFORMED = (
    "the header 'Authorization' of destination wax cannot be made of its secrets (TOKEN): "
    "check whether they hold line breaks, leading or trailing spaces, or non-ASCII characters"
)


@pytest.mark.parametrize(
    ("secrets", "sentence"),
    [
        ({}, MISSING),
        ({"TOKEN": ""}, MISSING),
        *(({"TOKEN": value}, MALFORMED) for value in ("p4ss\r\nX-Evil: 1", "p4ssé", "p4ss ")),
    ],
)
def test_a_header_s_secret_that_is_missing_or_malformed_is_named_and_not_shown(secrets: dict[str, str], sentence: str):
    with pytest.raises(CredentialsError) as caught:
        WAX.rendered_headers(secrets)
    assert str(caught.value) == sentence
    assert "p4ss" not in str(caught.value)


@pytest.mark.parametrize("secret", ["a b", "a?b", "a#b", "é", "a\n", "%2", "{{ x }}"])
def test_a_secret_that_cannot_stand_in_a_url_is_named(secret: str):
    hook = Destination(name="wax", url="https://x.example/services/{{ secrets.HOOK }}")
    with pytest.raises(CredentialsError, match=r"^the secret HOOK cannot stand in the URL of destination wax: "):
        hook.rendered_url({"HOOK": secret})


def test_all_live_keys_sign():
    assert len(WAX.keys({"NEW": KEY, "OLD": KEY}, NOW)) == 2
    assert len(WAX.keys({"NEW": KEY}, FUTURE)) == 1, "the secret of the other may be taken away"
    assert Destination(name="a", url="https://x.example").keys({}, NOW) == []


@pytest.mark.parametrize(
    ("signing", "secrets", "sentence"),
    [
        ((signer("NEW"), signer("OLD", FUTURE)), {"NEW": KEY},
         "destination wax needs the secret OLD, which is not set"),
        ((signer("NEW"),), {"NEW": "whsec_c2hvcnQ="}, "the secret NEW cannot sign for destination wax: "
         "a shared signing secret has 24 to 64 bytes; this one has 5."),
        ((signer("NEW"),), {"NEW": "p4ss"}, "the secret NEW cannot sign for destination wax: a signing key starts with "
         "'whsec_' (shared secret) or 'whsk_' (Ed25519 private key)."),
        ((signer("NEW", PAST), signer("OLD", PAST)), {"NEW": KEY, "OLD": KEY},
         "all signing keys of destination wax have expired: set a new one"),
    ],
)  # fmt: skip
def test_nothing_leaves_unsigned_that_ought_to_be_signed(
    signing: tuple[SigningForm, ...], secrets: dict[str, str], sentence: str
):
    with pytest.raises(CredentialsError) as caught:
        Destination(name="wax", url="https://x.example", signing=signing).keys(secrets, NOW)
    assert str(caught.value).startswith(sentence)
    assert "p4ss" not in str(caught.value)


def test_a_book_lists_what_scenarios_have_to_know_and_grants_no_secret_that_signs():
    other = Destination(name="other", url="https://x.example", signing=(signer("X"),), secrets=("A", "NEW"))
    book = Destinations({"wax": WAX, "other": other}, public_secrets=("B", "X"))
    assert book.listing == KnownDestinations(
        {"wax": KnownDestination(tuple(WAX.headers)), "other": KnownDestination(secrets=frozenset({"A"}))},
        frozenset({"B"}),
    )
