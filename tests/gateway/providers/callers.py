"""Calls as the providers make them, signed by keys of our own."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final
from urllib.parse import urlencode

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_curve
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from gateway.providers.app import providers_of
from gateway.providers.provider import Call, NotNow
from runtime.settings import Settings

URL: Final = "https://hooks.example.com/scenario"
TOPIC: Final = "arn:aws:sns:eu-west-1:123456789012:mail"
CERTIFICATE: Final = (
    "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-010a507c1833636cd94bdb98bd93083a.pem"
)
SECRET: Final = "s3cret"
ID: Final = f"msg_{'0a' * 16}"


@cache
def rsa() -> RSAPrivateKey:
    return generate_private_key(65537, 2048)


@cache
def curve() -> EllipticCurvePrivateKey:
    return generate_curve(SECP256R1())


@cache
def certificate(key: RSAPrivateKey, days: int = 30) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    dated = made.not_valid_before(now - timedelta(days=60)).not_valid_after(now + timedelta(days=days))
    return dated.sign(key, SHA256()).public_bytes(Encoding.PEM)


class Amazon:
    """Serves the certificate and confirms subscriptions.

    Attributes:
        asked: The URLs that were fetched.
    """

    def __init__(self, pem: bytes | None = None) -> None:
        self.asked: list[str] = []
        self._pem = pem

    async def fetch(self, url: str) -> bytes:
        self.asked.append(url)
        if url not in (CERTIFICATE, CERTIFICATE.replace("010a", "020a")) and "Action=ConfirmSubscription" not in url:
            raise NotNow("status 404")
        return self._pem or certificate(rsa())


def settings() -> Settings:
    key = curve().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    secret = SecretStr(f"old, {SECRET}")
    return Settings(
        events_ses=TOPIC,
        events_sendgrid=SecretStr(base64.b64encode(key).decode()),
        events_mailgun=secret,
        events_postmark=secret,
        events_brevo=secret,
        events_whatsapp=secret,
        events_whatsapp_verify=SecretStr("t0ken"),
        sms=SecretStr(f"twilio://AC1:{SECRET}@?from=Shop"),
    )


def providers(amazon: Amazon | None = None) -> Any:
    return providers_of(settings(), (amazon or Amazon()).fetch)


Signed = Callable[..., Call]


def hex_digest(secret: str, text: bytes) -> str:
    return hmac.digest(secret.encode(), text, hashlib.sha256).hex()


def sns(payload: Any, key: RSAPrivateKey | None = None, version: str = "2", **changed: Any) -> Call:
    """As docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message-verify-message-signature.html has it."""
    message = {
        "Type": "Notification",
        "MessageId": hashlib.sha256(json.dumps(payload).encode()).hexdigest()[:36],
        "TopicArn": TOPIC,
        "Message": json.dumps(payload),
        "Timestamp": "2026-03-29T00:45:00.000Z",
        "SignatureVersion": version,
        "SigningCertURL": CERTIFICATE,
        **changed,
    }
    names = ("Message", "MessageId", "SubscribeURL", "Subject", "Timestamp", "Token", "TopicArn", "Type")
    left_out = ("SubscribeURL", "Token") if message["Type"] == "Notification" else ("Subject",)
    signed = "".join(f"{name}\n{message[name]}\n" for name in names if name in message and name not in left_out)
    algorithm = {"1": SHA1, "2": SHA256}.get(version, SHA256)()
    message["Signature"] = base64.b64encode((key or rsa()).sign(signed.encode(), PKCS1v15(), algorithm)).decode()
    return Call(f"{URL}/inbound/events/ses", {}, json.dumps(message).encode())


def sendgrid(payload: Any, key: EllipticCurvePrivateKey | None = None, stamp: str = "1774744900") -> Call:
    body = json.dumps(payload).encode() + b"\r\n"
    signature = base64.b64encode((key or curve()).sign(stamp.encode() + body, ECDSA(SHA256()))).decode()
    lead = "x-twilio-email-event-webhook"
    return Call(f"{URL}/inbound/events/sendgrid", {f"{lead}-signature": signature, f"{lead}-timestamp": stamp}, body)


def mailgun(payload: Any, secret: str = SECRET, stamp: str = "1774744900", token: str = "") -> Call:
    token = token or hashlib.sha256(json.dumps(payload).encode()).hexdigest()[:50]
    signature = {"timestamp": stamp, "token": token, "signature": hex_digest(secret, (stamp + token).encode())}
    body = json.dumps({"signature": signature, **payload}).encode()
    return Call(f"{URL}/inbound/events/mailgun", {}, body)


def postmark(payload: Any, secret: str = SECRET) -> Call:
    pair = base64.b64encode(f"postmark:{secret}".encode()).decode()
    return Call(f"{URL}/inbound/events/postmark", {"authorization": f"Basic {pair}"}, json.dumps(payload).encode())


def brevo(payload: Any, secret: str = SECRET) -> Call:
    headers = {"authorization": f"Bearer {secret}"}
    return Call(f"{URL}/inbound/events/brevo", headers, json.dumps(payload).encode())


def whatsapp(payload: Any, secret: str = SECRET) -> Call:
    body = json.dumps(payload).encode()
    return Call(f"{URL}/inbound/events/whatsapp", {"x-hub-signature-256": f"sha256={hex_digest(secret, body)}"}, body)


def twilio(payload: Any, secret: str = SECRET, url: str = f"{URL}/inbound/events/twilio?delivery={ID}") -> Call:
    what = url + "".join(name + payload[name] for name in sorted(payload))
    signature = base64.b64encode(hmac.digest(secret.encode(), what.encode(), hashlib.sha1)).decode()
    return Call(url, {"x-twilio-signature": signature}, urlencode(payload).encode())


CALLERS: Final[Mapping[str, Signed]] = {
    "ses": sns,
    "sendgrid": sendgrid,
    "mailgun": mailgun,
    "postmark": postmark,
    "brevo": brevo,
    "whatsapp": whatsapp,
    "twilio": twilio,
}
