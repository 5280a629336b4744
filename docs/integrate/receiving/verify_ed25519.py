import base64
import time

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

TOLERANCE = 300  # seconds that a request may be old, or ahead of your clock


class Refused(Exception):
    """The request does not come from the sender, or not now: answer 401."""


def verify(headers, body, public_keys):
    """Returns the id of a genuine request. public_keys: all that you accept, "whpk_…"."""
    identifier = headers.get("webhook-id") or ""
    timestamp = headers.get("webhook-timestamp") or ""
    given = (headers.get("webhook-signature") or "").split()
    if not (identifier and timestamp.isascii() and timestamp.isdigit()):
        raise Refused("not a signed webhook")
    message = f"{identifier}.{timestamp}.".encode() + body
    keys = [Ed25519PublicKey.from_public_bytes(base64.b64decode(key.removeprefix("whpk_"))) for key in public_keys]
    if not any(fits(signature, key, message) for signature in given for key in keys):
        raise Refused("no signature fits")
    if abs(time.time() - int(timestamp)) > TOLERANCE:
        raise Refused("too old, or not yet")
    return identifier


def fits(signature, key, message):
    version, _, encoded = signature.partition(",")
    if version != "v1a":
        return False
    try:
        key.verify(base64.b64decode(encoded, validate=True), message)
    except (InvalidSignature, ValueError):
        return False
    return True
