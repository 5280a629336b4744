"""The outcomes of a batch's items after a 2xx, the same in journeys and cases."""

from __future__ import annotations

import json
from collections.abc import Sequence

from activities.outcome import Outcome
from activities.webhook import outcome
from activities.webhook.http.exchange import Response
from scenario.model.batch import BatchCall
from scenario.responses.item_results import ItemAnswer, UnreadableResultsError


def item_outcomes(
    batch: BatchCall, response: Response, identifiers: Sequence[str]
) -> tuple[Sequence[ItemAnswer], str | None]:
    """Return the outcome of each item, and a note if the response cannot be read: all are unknown then."""
    if batch.results is None:
        return [ItemAnswer("delivered") for _ in identifiers], None
    why = "it did not arrive completely, or is too large"
    try:
        if response.complete:
            answer = json.loads(response.body.decode("utf-8-sig")) if response.body.strip() else None
            return batch.results.read(answer, identifiers), None
    except UnreadableResultsError as error:
        why = str(error)
    except (ValueError, RecursionError):
        why = "it is not JSON"
    why = f"the response does not say what became of the items: {why}"
    return [ItemAnswer("unknown", why) for _ in identifiers], why


def is_deferred(item: ItemAnswer) -> bool:
    """Return True if an item was refused for now: a request with its status would be retried until the deadline."""
    return item.status is not None and outcome.of_status(item.status).outcome is Outcome.RETRY


def not_delivered(destination: str, word: str, reason: str | None) -> str:
    """Return the sentence about a contact whose item was refused, or has an unknown outcome."""
    said = "may not have taken" if word == "unknown" else "refused"
    sentence = f"{destination} {said} this contact's item of a batch"
    return f"{sentence}: {reason}" if reason else sentence
