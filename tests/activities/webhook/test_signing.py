import base64
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from standardwebhooks import Webhook

from activities.webhook.signing import Key, SigningKeyError, headers

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER = "whsec_" + base64.b64encode(bytes(range(100, 124))).decode()
BODY = '{"name": "Zoë", "quantity": 2}'.encode()
ID = "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W"


def now() -> datetime:
    return datetime.now(UTC)


def test_the_signature_is_the_specification_s_own_example():
    key = Key.parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    made = headers(
        [key], "msg_p5jXN8AQM9LWM0D4loKWxJek", datetime.fromtimestamp(1614265330, UTC), b'{"test": 2432232314}'
    )
    assert made == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        "idempotency-key": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    }


@pytest.mark.parametrize("secret", [SECRET, OTHER])
def test_while_two_keys_are_live_a_receiver_with_either_accepts_it(secret: str):
    made = headers([Key.parse(SECRET), Key.parse(OTHER)], ID, now(), BODY)
    assert len(made["webhook-signature"].split(" ")) == 2
    Webhook(secret).verify(BODY, made)
    assert set(headers([], ID, now(), BODY)) == made.keys() - {"webhook-signature"}, "without a live key"


@pytest.mark.parametrize("whole", [False, True], ids=["seed", "seed and public half"])
def test_an_asymmetric_signature_is_verified_by_the_public_key(whole: bool):
    private = Ed25519PrivateKey.generate()
    raw = private.private_bytes_raw() + (private.public_key().public_bytes_raw() if whole else b"")
    made = headers([Key.parse("whsk_" + base64.b64encode(raw).decode())], ID, now(), BODY)
    scheme, _, signature = made["webhook-signature"].partition(",")
    message = f"{ID}.{made['webhook-timestamp']}.".encode() + BODY
    assert scheme == "v1a"
    private.public_key().verify(base64.b64decode(signature), message)


def b64(count: int) -> str:
    return base64.b64encode(bytes(count)).decode()


@pytest.mark.parametrize(
    "text",
    [
        *("whsec_", "whsec", f"whpk_{b64(32)}", f"WHSEC_{b64(32)}", f"whsec_{b64(32)[:10]}!{b64(32)[10:]}"),
        *(f"whsec_{text}" for text in (b64(23), b64(65), b64(32).rstrip("="), b64(32)[:-4] + "-_A=", b64(24) + "====")),
        *(f"whsec_{text}" for text in (b64(32)[:-2] + "B=", f" {b64(32)}", b64(32) + "\n", f"é{b64(32)}")),
        *(f"whsk_{b64(size)}" for size in (31, 33, 64)),
    ],
)
def test_a_key_that_is_not_quite_one_is_refused_without_quoting_it(text: str):
    with pytest.raises(SigningKeyError) as caught:
        Key.parse(text)
    assert b64(20)[:12] not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_key_does_not_show_itself():
    assert SECRET[6:] not in repr(Key.parse(SECRET))
    assert repr(bytes(range(32))) not in repr(Key.parse(SECRET))
    for count in (24, 64):  # the shortest and the longest
        assert Key.parse("whsec_" + b64(count))


@pytest.mark.parametrize("bad", ["", "a.b", "a b", "é", "a\r\nx: y"])
def test_an_id_that_makes_the_signed_text_ambiguous_is_a_mistake(bad: str):
    with pytest.raises(ValueError):
        headers([], bad, now(), BODY)
    with pytest.raises(ValueError):
        headers([], ID, now().replace(tzinfo=None), BODY)
