"""The offset between this machine's clock and another one, as one exchange of messages bounds it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ClockOffset:
    """Bounds of the seconds by which this machine's clock is ahead of another; negative if it is behind.

    The other side read its clock between a request and its answer. A slow network widens the bounds, but never looks
    like a wrong clock.
    """

    lower: float
    upper: float

    @classmethod
    def between(cls, asked: float, answered: float, theirs: float) -> ClockOffset:
        """Return the bounds of one exchange.

        Args:
            answered: This machine's time at the answer. A clock that was set back in between proves nothing.
        """
        return cls(min(asked, answered) - theirs, max(asked, answered) - theirs)

    @property
    def certain(self) -> float:
        """The offset that is certain: the bound nearer to 0, or 0 if the clocks may agree."""
        return max(self.lower, 0.0) or min(self.upper, 0.0)
