"""Splio's blacklist API."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from activities.channel_registry import SMS
from activities.webhook.presets import Rejection

_CODE: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_DUPLICATE: Final = "touchpoint_already_exist"


class _Reply(BaseModel):
    failures: list[Any] = []
    successes: list[Any] | None = None


class SplioBlacklist:
    """The requests ``POST /data/blacklists/{email|cellphone}`` with ``{"data": [touchpoint]}``, and their responses.

    The status is 200, 207 (some were accepted) or 400 (none was). The content has ``successes`` and
    ``failures[{touchpoint, error, error_key}]``. The API has only one list.
    """

    def path(self, channel: str) -> str:
        return f"/data/blacklists/{'cellphone' if channel == SMS.name else channel}"

    def body(self, address: str) -> bytes:
        return json.dumps({"data": [address]}, ensure_ascii=False).encode()

    def rejection(self, content: Any, address: str) -> Rejection | None:
        try:
            reply = _Reply.model_validate(content)
        except ValidationError:
            return None
        if not reply.failures or address in (reply.successes or ()):
            return None
        codes = tuple(sorted({_code(failure) for failure in reply.failures}))
        return Rejection(codes == (_DUPLICATE,), codes)


def _code(failure: Any) -> str:
    match failure:
        case {"error_key": code} if _CODE.fullmatch(str(code)):
            return str(code)
        case _:
            return "unknown"


BLACKLIST: Final = SplioBlacklist()
