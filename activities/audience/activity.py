"""The activity that records a change of membership. `activities.audience.sync` sends it."""

from __future__ import annotations

from datetime import UTC, datetime

from typing_extensions import override

from activities.attempt import ChannelActivity
from activities.attempt_context import AttemptContext
from activities.audience.formats import identify, request_of, settings_of
from activities.channel_registry import AUDIENCE
from activities.interface import Delivery, Sent
from scenario.steps.audience import Audience
from scenario.type_guards import mapping_at


class Memberships(ChannelActivity[None]):
    """Records contacts that join or leave an audience."""

    channel = AUDIENCE

    @override
    async def send(self, delivery: Delivery, context: AttemptContext) -> Sent:
        async with self.attempt(delivery, context) as attempt:
            step = await self._content.step_of(delivery, Audience, "an audience")
            attempt.destination = step.to
            settings = settings_of(self._context.routes.named(step.to).named, step.to, delivery.name)
            at = datetime.fromtimestamp(delivery.decided, UTC) if delivery.decided else attempt.now
            memberships = self._context.memberships
            if step.op == "add":
                contact = mapping_at(delivery.data, "contact")
                member = identify(settings, step.to, delivery.contact, contact)
                request_of(settings, step.to, step.audience, step.op, [member])  # raises if a setting is missing
                await attempt.may_leave()
                note = await memberships.add(step.to, step.audience, delivery.contact, member, at)
            else:
                await attempt.may_leave()
                note = await memberships.remove(step.to, step.audience, delivery.contact, at)
            attempt.delivered(202, note=note)
        return attempt.sent
