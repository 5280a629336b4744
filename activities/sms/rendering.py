"""A text message as it would be sent: a pure function of the published step and its data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scenario import liquid
from scenario.errors import Aborted, TemplateError
from scenario.steps.sms import Sms


def number_in(data: Mapping[str, Any]) -> str:
    """Return the contact's mobile number as it is written.

    Raises:
        Aborted: It has none.
    """
    contact: Any = data.get("contact") or {}
    if not (written := str(contact.get("cellphone") or "").strip()):
        raise Aborted("the contact has no mobile number")
    return written


def render(step: Sms, data: dict[str, Any]) -> str:
    """Return the text: a function of the published step and the delivery, and of nothing else.

    Raises:
        TemplateError: A template fails on this data, or leaves nothing.
        Aborted: A template says that nothing should be sent.
    """
    if not isinstance(step.text, str):
        # Publishing puts the file's content in its place.
        raise TemplateError("the file of the SMS was not published with it: publish the scenario again")
    try:
        body = liquid.render_text(step.text, data).strip()
    except TemplateError as error:
        raise error.within("the SMS's text") from None
    if not body:
        raise TemplateError("the SMS's text: nothing is left of it for this contact; {% abort %} skips a message")
    return body
