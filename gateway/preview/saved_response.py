"""The saved form of a made-up or given response."""

from __future__ import annotations

import json
from typing import Any

from activities.redaction import KnownSecrets
from activities.webhook.http.exchange import Response
from activities.webhook.saved_response import SavedResponse, save_response
from scenario.model.parts import Save


def keep(save: Save, value: Any) -> SavedResponse:
    """Return what a worker would save of a response.

    Args:
        save: The step's `save`.
        value: The response as JSON data.
    """
    body = json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass")
    return save_response(save, Response(200, {}, body), KnownSecrets())
