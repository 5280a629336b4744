"""The purpose of a scenario."""

from __future__ import annotations

from typing import Final, Literal

Purpose = Literal["marketing", "transactional"]
"""Transactional messages are requested by the contact: quiet hours, caps, subscriptions and the holdout do not apply.
"""
MARKETING: Final = "marketing"
TRANSACTIONAL: Final = "transactional"
