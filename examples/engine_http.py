"""An automation engine that knows HTTP and nothing else: it lets a contact in, tells an event, and asks why.

    scenario dev                                      # servers, a worker and the API; prints a key
    scenario publish examples/post-purchase.yaml
    SCENARIO_API=http://127.0.0.1:8080 SCENARIO_API_KEY=sr_… python examples/engine_http.py

It needs Python alone. The requests are the same in every language; see docs/integrate/api.md.
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

SAMPLE: Final = Path(__file__).parent / "entries" / "post-purchase.json"
AGAIN: Final = {429, 502, 503, 504}
"""Worth trying again, as is every response with a Retry-After: there are too many requests, or something is out."""


class Answered(Exception):
    """The API refused the request; its problem says why (RFC 9457)."""

    def __init__(self, problem: dict[str, Any]) -> None:
        self.problem = problem
        super().__init__(f"{problem['title']}: {problem['detail']}")


def call(method: str, path: str, body: object = None, *, key: str | None = None, patience: float = 60.0) -> Any:
    """Makes a request, again and again until it is answered.

    Args:
        method: HTTP's.
        path: Behind ``/v1``.
        body: Becomes JSON.
        key: Identifies the request. Made twice with one key, it is done once, and the second gets the first's
            answer: so a request whose answer was lost is simply made again.
        patience: Seconds.
    """
    headers = {
        "authorization": f"Bearer {os.environ['SCENARIO_API_KEY']}",
        "content-type": "application/json",
        "prefer": "wait=10",  # of entries: until it is known whether the contact comes in
    }
    if key is not None:
        headers["idempotency-key"] = key
    request = urllib.request.Request(  # noqa: S310 - the address is the operator's
        os.environ["SCENARIO_API"] + "/v1" + path,
        None if body is None else json.dumps(body).encode(),
        headers,
        method=method,
    )
    end = time.monotonic() + patience
    pause = 0.2
    while True:
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            later = error.headers.get("retry-after")
            if (later is None and error.code not in AGAIN) or time.monotonic() > end:
                raise Answered(json.load(error)) from None
            wait = float(later or pause)
        except OSError:  # no server, or the answer was lost: with a key, it is safe to ask again
            if time.monotonic() > end or (key is None and method == "POST"):
                raise
            wait = pause
        time.sleep(wait)
        pause = min(pause * 2, 5.0)


def main(entry: dict[str, Any]) -> None:
    """Lets the entry's contact in, tells that the order was delivered, and asks what became of it."""
    order = str(entry["trigger"]["order"]["external_id"])
    # Named by all that makes it this request and no other: another scenario is entered by the same order, perhaps.
    key = f"{entry['scenario']}/{order}"
    entered = call("POST", "/entries", entry, key=key)
    # As if the answer had been lost: the same request again is the same journey.
    assert call("POST", "/entries", entry, key=key) == entered  # noqa: S101
    sys.stdout.write(f"{entered['journey']}\n")

    # The event has its own id: sent twice under one id, it counts once.
    event = {
        "journey": entered["journey"],
        "name": "order.delivered",
        "properties": {"order_id": order},
        "id": f"delivered-{order}",
    }
    call("POST", "/events", event)

    # What became of the contact, in plain words.
    contact = quote(str(entry["contact"]["id"]), safe="")
    told = call("GET", f"/contacts/{contact}/why?scenario={quote(entry['scenario'])}")
    for happening in told["entries"][0]["happenings"]:
        sys.stdout.write(f"{happening['at']}  {happening['step'] or ''}  {happening['words']}\n")


if __name__ == "__main__":
    if not {"SCENARIO_API", "SCENARIO_API_KEY"} <= os.environ.keys():
        sys.exit("set SCENARIO_API and SCENARIO_API_KEY: 'scenario dev' prints both")
    try:
        main(json.loads(SAMPLE.read_text(encoding="utf-8")))
    except Answered as answered:
        sys.exit(str(answered))
