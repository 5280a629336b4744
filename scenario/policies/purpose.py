"""What a scenario is for, by which most policies hold or do not."""

from __future__ import annotations

from typing import Final, Literal

Purpose = Literal["marketing", "transactional"]
"""Transactional messages are what the contact has asked for: they keep no quiet hours, count towards no cap, need no
subscription, and nobody is held out of them."""
MARKETING: Final = "marketing"
TRANSACTIONAL: Final = "transactional"
