"""A channel that only the test of new channels knows: push notifications, which a folder receives."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from activities.attempt_context import AttemptContext
from activities.channel import (
    Arrival,
    AttemptReply,
    ChannelActivity,
    ChannelAdapter,
    LocalServers,
    RenderContext,
    RenderedMessage,
    SendContext,
    TestReply,
)
from activities.channel_registry import Channel
from activities.interface import Delivery, Sent
from activities.outcome import Judgement, Outcome, Verdict
from scenario import liquid
from scenario.errors import Aborted
from scenario.model.parts import Name, OnUnknown, Text
from scenario.steps.delivery import DeliveryStep, Send

if TYPE_CHECKING:
    from runtime.settings import Settings
    from scenario.liquid import Kind

PUSH = Channel("push", "push", "send_push", package="tests.e2e.push")


class Pushes(DeliveryStep):
    channel: ClassVar[str] = "push"
    templates: ClassVar[Mapping[str, Kind]] = {"text": "text"}
    texts: ClassVar[tuple[str, ...]] = ("text",)
    always: ClassVar[tuple[tuple[str, ...], ...]] = (("contact", "device"),)

    text: Text
    on_unknown: OnUnknown = "retry"


class Push(Pushes):
    kind: ClassVar[str] = "push"
    push: Name


class Alert(Pushes):
    kind: ClassVar[str] = "alert"
    alert: Name


@dataclass(frozen=True)
class Notification(RenderedMessage):
    to: str
    text: str

    @property
    def address(self) -> str:
        return self.to

    def describe(self) -> dict[str, Any]:
        return {"message": self.facts()}

    def facts(self) -> dict[str, Any]:
        return {"to": self.to, "text": self.text}


@dataclass
class Folder:
    path: Path
    connections: int = 5
    texts: list[str] = field(default_factory=list[str])

    def put(self, delivery: str, to: str, text: str) -> None:
        self.path.mkdir(exist_ok=True)
        (self.path / f"{delivery}.push").write_text(json.dumps({"to": to, "text": text}))

    async def close(self, within: float) -> None:
        del within


def rendered(step: Pushes, data: Mapping[str, Any]) -> Notification:
    if not (device := data["contact"].get("device")):
        raise Aborted("the contact has no device")
    return Notification(str(device), liquid.render_text(str(step.text), data))


class PushChannel(ChannelAdapter[Notification, Folder]):
    title = "push"
    setting = "SCENARIO_PUSH"
    recipient = "a device"
    errors = frozenset({"no_answer"})

    def render(self, step: Pushes, delivery: Delivery, data: dict[str, Any], context: RenderContext) -> Notification:
        return rendered(step, data)

    async def deliver(self, activity: ChannelActivity[Folder], delivery: Delivery, context: AttemptContext) -> Sent:
        async with activity.attempt(delivery, context, "folder") as attempt:
            step = await activity.context.content.step_of(delivery, Pushes, "a notification")
            message = rendered(step, await activity.data(attempt, step))
            assert activity.connection is not None
            await attempt.may_leave(message.to)
            await attempt.sending()
            await asyncio.to_thread(activity.connection.put, delivery.id, message.to, message.text)
            attempt.delivered(200, "")
        return attempt.sent

    async def send(self, context: SendContext[Notification, Folder]) -> tuple[Notification, TestReply]:
        message = context.message
        context.connection.put(context.delivery.id, message.to, message.text)
        return message, TestReply(delivered=True, said="the folder has it", status=200)

    def classify(self, reply: AttemptReply, row: Send, now: datetime) -> Judgement:
        if reply.error is None and (reply.status or self.success) < 300:
            return Judgement(Verdict(Outcome.DELIVERED, ""), "")
        return Judgement(Verdict(Outcome.PERMANENT, reply.error or ""), "the folder refused it")

    async def verify(
        self, servers: LocalServers, name: str, step: Pushes, data: dict[str, Any], delivery_id: str
    ) -> Arrival:
        wanted = rendered(step, data)
        path = servers.inbox.folder / f"{delivery_id}.push"
        same = path.exists() and json.loads(path.read_text()) == wanted.facts()
        return Arrival(name, wanted.to, wanted.text, "" if same else "the folder does not have it")

    def host(self, connection: Folder) -> str:
        return "folder"

    def connect(self, settings: Settings, inbox: Path) -> Folder | None:
        return Folder(inbox)


ADAPTER = PushChannel()
