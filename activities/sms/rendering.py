"""Renders a text message: a pure function of the published step and its data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scenario import liquid
from scenario.errors import Aborted, TemplateError
from scenario.steps.sms import Sms


def number_in(data: Mapping[str, Any]) -> str:
    """Return the contact's mobile number as written.

    Raises:
        Aborted: There is none.
    """
    contact: Any = data.get("contact") or {}
    if not (written := str(contact.get("cellphone") or "").strip()):
        raise Aborted("the contact has no mobile number")
    return written


def render(step: Sms, data: dict[str, Any]) -> str:
    """Render the text.

    Raises:
        TemplateError: A template fails, or its output is empty.
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
