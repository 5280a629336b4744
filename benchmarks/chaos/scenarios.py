"""The scenarios, destinations and policies of the run, and its contacts."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from scenario.steps.delivery import delivery_id
from service.client import Entered

STEPS: Final = ("first", "second", "third")
"""The webhooks of both versions."""
LAST_STEP: Final = "fourth"
"""The webhook that only the second version has."""
CHANGED: Final = "Changed"
"""Prefix of a changed first name."""
PLANTED: Final = "Planted"
"""Part of each contact's first name, which must not be stored unencrypted."""
_WEBHOOK: Final = """
  - webhook: {step}
    to: shop
    path: /{step}
    body: {{name: "{{{{ contact.firstname }}}}", contact: "{{{{ contact.id }}}}", step: {step}}}
    timeout: 2s
    retry: {{initial_interval: 1s, backoff_coefficient: 1.5, maximum_interval: 3s}}
"""
_BEGINNING: Final = """
scenario: chaos
trigger: segment
exit: [{event: gone}]
steps:
  - wait_for: told
    for: 1h
    else: [{exit: not told}]
  - if: contact.id != ""
    then: [{wait: 1s}]
"""
_END: Final = """
  - switch: contact.language
    cases:
      fr:
        - sms: french
          text: "Bonjour {{ contact.firstname }}"
          retry: {initial_interval: 1s, maximum_interval: 2s}
    else:
      - email: english
        subject: "{{ contact.firstname }}"
        text: Hello
        retry: {initial_interval: 1s, maximum_interval: 2s}
  - split: {a: 50, b: 50}
    branches: {a: [{wait: 1s}], b: [{wait: 2s}]}
  - repeat: {every: 1s, times: 1}
    steps: [{wait: 1s}]
"""
FIRST_VERSION: Final = _BEGINNING + "".join(_WEBHOOK.format(step=step) for step in STEPS) + _END
SECOND_VERSION: Final = FIRST_VERSION + _WEBHOOK.format(step=LAST_STEP)
OFFER: Final = "\nscenario: offer\ntrigger: segment\nentry: {again: always}\nsteps:" + _WEBHOOK.format(step="offer")
"""The scenario of the campaign: its lines are sent without journeys."""
OLD: Final = "scenario: old\ntrigger: segment\nentry: {again: always}\nsteps: [{wait: 1d}]\n"
"""The scenario of the old rows."""
SHOP: Final = """
destinations:
  shop:
    url: http://127.0.0.1:PORT/hooks
    ports: [PORT]
    allow_http: true
    allow_private: true
    breaker: {pause: 2s}
"""
AGES: Final = "deliveries=1d,responses=1d,entries=1d,claims=32d,passages=2d"

# ---- quiet hours

_QUIET_ZONE: Final = "Etc/GMT-11"
"""The zone, eleven hours ahead of UTC, of the contacts who enter in quiet hours."""
_QUIET_HOURS_AHEAD: Final = 11
QUIET_SECONDS: Final = 100
"""Minimum seconds of quiet hours after the beginning."""


def quiet_end(now: datetime) -> datetime:
    """Return the end of the quiet hours of the contacts in `_QUIET_ZONE`: a whole minute."""
    return (now + timedelta(seconds=QUIET_SECONDS + 60)).replace(second=0, microsecond=0)


def policies_text(end: datetime) -> str:
    """Return policies under which it is quiet in `_QUIET_ZONE` until this time in UTC. Elsewhere it is far away."""
    until = end + timedelta(hours=_QUIET_HOURS_AHEAD)
    hours = f'quiet_hours: {{from: "{until - timedelta(hours=1):%H:%M}", to: "{until:%H:%M}"}}'
    return f"{hours}\ncaps: [{{name: week, at_most: 100, per: 7d}}]\n"


# ---- contacts


def contact_id(number: int) -> str:
    return f"contact-{number:05}"


def number_of(contact: str) -> int:
    return int(contact.rpartition("-")[2])


def _telephone(contact: str) -> str:
    return f"+336{number_of(contact):08}"


def id_of_number(telephone: str) -> str:
    """Return the id of the contact who has this telephone number."""
    return contact_id(int(telephone.removeprefix("+336")))


def gets_text(contact: str) -> bool:
    """Return True if the contact gets a text message, not an e-mail."""
    return number_of(contact) % 2 == 0


def make_entry(contact: str, *, quiet: bool = False) -> dict[str, Any]:
    """Return an entry of a contact, who may live where it is quiet."""
    who = {
        "id": contact,
        "firstname": f"{PLANTED}-{contact}",
        "language": "fr" if gets_text(contact) else "en",
        "email": "planted@example.com",
        "cellphone": _telephone(contact),
        **({"timezone": _QUIET_ZONE} if quiet else {}),
    }
    return {"scenario": "chaos", "contact": who, "trigger": {"type": "segment"}}


def write_audience(path: Path, lines: int) -> None:
    """Write the file of a campaign for `OFFER`."""
    entries = ({**make_entry(f"offer-{number:05}"), "scenario": "offer"} for number in range(1, lines + 1))
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries), "utf-8")


def message_step(contact: str) -> str:
    """Return the step by which the contact gets a text message or an e-mail."""
    return "french" if gets_text(contact) else "english"


def ids_of(journey: Entered, steps: Iterable[str]) -> set[str]:
    """Return the ids of a journey's deliveries of these steps."""
    return {delivery_id(journey.id, journey.run_id, step, 0) for step in steps}
