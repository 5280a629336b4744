"""What a step keeps of a response that was made up or given: what a worker would keep of it."""

from __future__ import annotations

import json
from typing import Any

from activities.redaction import KnownSecrets
from activities.webhook.http.exchange import Response
from activities.webhook.saved_response import Kept, kept
from scenario.model.parts import Save


def keep(save: Save, value: Any) -> Kept:
    """What a step keeps of a response, as a worker decides it.

    Args:
        save: What the step says about it.
        value: The response, as JSON has it.
    """
    body = json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass")
    return kept(save, Response(200, {}, body), KnownSecrets())
