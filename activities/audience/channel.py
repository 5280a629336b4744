"""The channel of audiences. Its message is the request that a platform would get for this contact alone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final

from typing_extensions import override

from activities.audience.formats import identify, identify_loosely, request_of, settings_of
from activities.channel import (
    Arrival,
    AttemptReply,
    ChannelActivity,
    ChannelAdapter,
    LocalServers,
    RenderContext,
    SendContext,
    TestReply,
    Unsendable,
    shorten,
)
from activities.interface import Delivery, Sent
from activities.outcome import Judgement, Outcome, Verdict
from activities.webhook.channel import RenderedRequest, masked_parts
from activities.webhook.errors import RefusedError
from activities.webhook.http.exchange import sent_headers
from activities.webhook.presets import with_own_headers
from scenario.errors import NotConfigured
from scenario.steps.audience import Audience
from scenario.steps.base import Row
from scenario.steps.delivery import Send
from scenario.type_guards import mapping_at

if TYPE_CHECKING:
    from activities.attempt_context import AttemptContext


@dataclass(frozen=True)
class RenderedChange(RenderedRequest):
    """The request for one member."""

    attempt_headers: tuple[str, ...] = ("webhook-id", "webhook-timestamp", "idempotency-key")

    @override
    def defect(self, row: Row) -> str:
        del row  # a pure function of the destination
        return ""


class AudienceChannel(ChannelAdapter[RenderedChange, None]):
    """Audiences: a change of membership is recorded, and sent together with others."""

    title: ClassVar[str] = "audiences"
    errors: ClassVar[frozenset[str]] = frozenset()
    success: ClassVar[int] = 202

    @override
    def render(
        self, step: Audience, delivery: Delivery, data: dict[str, Any], context: RenderContext
    ) -> RenderedChange:
        found = context.book.get(step.to) if context.book else None
        settings = settings_of(found, step.to, delivery.name)
        contact = mapping_at(data, "contact")
        if step.op == "add":
            member = identify(settings, step.to, delivery.contact, contact)
        else:
            member = identify_loosely(settings, delivery.contact, contact)
        request = request_of(settings, step.to, step.audience, step.op, [member])
        base, own = masked_parts(found) if found else (f"{step.to}:", dict[str, str]())
        try:
            headers = sent_headers(with_own_headers(own))
        except RefusedError as error:
            raise Unsendable(str(error)) from None
        return RenderedChange(request.method, f"{base}{request.path}", headers, request.body)

    @override
    async def deliver(self, activity: ChannelActivity[None], delivery: Delivery, context: AttemptContext) -> Sent:
        async with activity.attempt(delivery, context) as attempt:
            step = await activity.context.content.step_of(delivery, Audience, "an audience")
            attempt.destination = step.to
            settings = settings_of(activity.context.routes.named(step.to).named, step.to, delivery.name)
            at = datetime.fromtimestamp(delivery.decided, UTC) if delivery.decided else attempt.now
            memberships = activity.context.memberships
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

    @override
    async def send(self, context: SendContext[RenderedChange, None]) -> tuple[RenderedChange, TestReply]:
        """Refuse: a test that is not recorded would leave a member that nothing removes."""
        raise NotConfigured("a test does not change an audience: a preview shows the request")

    @override
    def classify(self, reply: AttemptReply, row: Send, now: datetime) -> Judgement:
        del reply, row, now  # no receiver is asked
        return Judgement(Verdict(Outcome.DELIVERED, ""), "")

    @override
    async def verify(
        self, servers: LocalServers, name: str, step: Audience, data: dict[str, Any], delivery_id: str
    ) -> Arrival:
        del delivery_id
        path = servers.routes.named(step.to).url.partition("://")[2].partition("/")[2]
        member = {"id": str(data["contact"]["id"])}
        bodies = [json.loads(one.body) for one in servers.receiver.requests() if one.path == f"/{path}"]
        sent = any(member in body["members"] and body["op"] == step.op for body in bodies)
        return Arrival(
            name, step.to, shorten(json.dumps(member)), "" if sent else "the receiver did not get the member"
        )

    @override
    def destination(self, context: SendContext[RenderedChange, None]) -> str:
        return context.step.to if isinstance(context.step, Audience) else self.title


ADAPTER: Final = AudienceChannel()
