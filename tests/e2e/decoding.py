"""What is within the messages of Temporal, and what their payloads say where they are encrypted."""

from collections.abc import Iterator
from typing import Any, TypeVar

from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload

from service.client import ScenarioClient

_Message = TypeVar("_Message", bound=Message)


def inside(message: Message) -> Iterator[Message]:
    yield message
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            items: list[Any] = list(value.values())
        else:
            items = [value] if isinstance(value, Message) else list(value)
        for item in items:
            if isinstance(item, Message):
                yield from inside(item)


async def decoded(message: _Message, client: ScenarioClient) -> _Message:
    copy = type(message)()
    copy.CopyFrom(message)
    if (codec := client.temporal.data_converter.payload_codec) is not None:
        for payload in [part for part in inside(copy) if isinstance(part, Payload)]:
            [plain] = await codec.decode([payload])
            payload.CopyFrom(plain)
    return copy
