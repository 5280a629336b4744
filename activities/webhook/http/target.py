"""The URL of a delivery, read by the rules of `scenario.http.urls`, in the words of an attempt's failures."""

from __future__ import annotations

from activities.webhook.errors import RefusedError
from scenario.http import urls
from scenario.http.access import Access
from scenario.http.urls import Target


def parse(url: str, access: Access) -> Target:
    """The URL as it will be sent.

    Args:
        url: Absolute, as configured and rendered.
        access: What the destination may reach.

    Raises:
        RefusedError: ``refused_url`` or ``refused_address``, with a reason that does not quote the URL.
    """
    try:
        return urls.parse(url, access)
    except urls.UrlError as error:
        refused = error
    if refused.is_address:
        raise RefusedError("refused_address")
    raise RefusedError("refused_url", detail=refused.reason)
