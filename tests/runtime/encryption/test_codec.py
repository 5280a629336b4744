"""The codec: encrypted by the contact's key, decoded by the key's id."""

from __future__ import annotations

import asyncio
from typing import NoReturn

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.converter import ActivitySerializationContext, WorkflowSerializationContext
from temporalio.exceptions import ApplicationError

from runtime.data_converter import ENCODING, KEY_ID, in_clear
from runtime.encryption import converter
from runtime.encryption.codec import EncryptionCodec, contact_of
from runtime.encryption.converter import Undecoded, encrypting_converter
from runtime.encryption.keyring import Erased, Keyring, KeyWrapping, UnknownKey
from runtime.store import Store, StoreUnavailable

CLEAR = Payload(metadata={"encoding": b"json/plain"}, data=b'{"name": "Zo\xc3\xa9"}')
JOURNEY = WorkflowSerializationContext(namespace="default", workflow_id="post-purchase/3028687/CGX0094")

ACTIVITY = ActivitySerializationContext(
    namespace="default",
    activity_id="whatsapp",
    activity_type="send_webhook",
    activity_task_queue="webhooks",
    workflow_id=JOURNEY.workflow_id,
    workflow_type="Journey",
    is_local=False,
)


@pytest.fixture
def keys(store: Store) -> Keyring:
    return Keyring(store, KeyWrapping([b"k" * 32]))


@pytest.mark.parametrize(
    ("workflow", "contact"),
    [
        ("post-purchase/3028687/CGX0094", "3028687"),
        ("post-purchase/3028687", "3028687"),
        ("post-purchase/a%2Fb/k/l", "a/b"),
        ("campaign:black-friday", None),
        ("post-purchase/", None),
    ],
)
def test_the_contact_is_read_off_the_workflows_id(workflow: str, contact: str | None) -> None:
    assert contact_of(workflow) == contact


async def test_what_is_encrypted_names_its_key_and_is_decoded_without_a_workflow(keys: Keyring) -> None:
    client = EncryptionCodec(keys)
    (sealed,) = await client.with_context(JOURNEY).encode([CLEAR])
    assert sealed.metadata["encoding"] == ENCODING
    assert sealed.metadata[KEY_ID].decode() == (await keys.key_of("3028687")).id
    assert b"Zo" not in sealed.data
    assert await client.decode([sealed, CLEAR]) == [CLEAR, CLEAR]


async def test_an_activity_of_a_journey_uses_its_contacts_key(keys: Keyring) -> None:
    (sealed,) = await EncryptionCodec(keys).with_context(ACTIVITY).encode([CLEAR])
    assert sealed.metadata[KEY_ID].decode() == (await keys.key_of("3028687")).id


async def test_a_client_refuses_what_is_for_an_erased_contact_and_a_worker_makes_it_unreadable(keys: Keyring) -> None:
    await keys.destroy("3028687")
    with pytest.raises(Erased):
        await EncryptionCodec(keys).with_context(JOURNEY).encode([CLEAR])
    worker = EncryptionCodec.of_a_worker(keys)
    sealed = await worker.with_context(JOURNEY).encode([CLEAR])
    assert await worker.with_context(JOURNEY).decode(sealed) == [CLEAR]
    for another in (EncryptionCodec.of_a_worker(keys), EncryptionCodec(keys)):
        with pytest.raises(Erased, match="the contact was erased"):
            await another.decode(sealed)


async def test_what_nobody_can_decrypt_stops_no_journey_of_a_contact_who_is_known_here(keys: Keyring) -> None:
    (sealed,) = await EncryptionCodec(keys).with_context(JOURNEY).encode([CLEAR])
    await keys.destroy("4")
    foreign = [
        Payload(metadata={"encoding": ENCODING}, data=b"what"),
        Payload(metadata={"encoding": ENCODING, KEY_ID: b"\xff\x00"}, data=b"what"),
        Payload(metadata={"encoding": ENCODING, KEY_ID: b"0" * 32}, data=sealed.data),
        Payload(metadata={"encoding": ENCODING, KEY_ID: b"gone-00"}, data=sealed.data),
        Payload(metadata=sealed.metadata, data=sealed.data[:-1]),
    ]
    worker = EncryptionCodec.of_a_worker(keys)
    assert await worker.with_context(JOURNEY).decode([sealed, *foreign]) == [CLEAR, *foreign]
    with pytest.raises(UnknownKey):  # an answer that another store's worker has encrypted
        await worker.with_context(ACTIVITY).decode([foreign[2]])
    elsewhere = WorkflowSerializationContext(namespace="default", workflow_id="post-purchase/of-another-store")
    erased = WorkflowSerializationContext(namespace="default", workflow_id="post-purchase/4")
    for each in (worker, worker.with_context(elsewhere), worker.with_context(erased), EncryptionCodec(keys)):
        for payload in foreign:
            with pytest.raises((UnknownKey, Erased)):
                await each.decode([payload])


@pytest.mark.parametrize("why", [StoreUnavailable("nothing listens there"), UnknownKey("set it"), Erased()])
@pytest.mark.parametrize("sdks", [None, RuntimeError("Failed decoding"), ApplicationError("Failed decoding arguments")])
async def test_why_nothing_can_be_decrypted_is_said_without_a_key(
    keys: Keyring, why: Exception, sdks: Exception | None
) -> None:
    failure = Failure()
    why.__cause__ = ValueError("with anything in it")
    if sdks is not None:
        sdks.__cause__ = why
    await encrypting_converter(keys, worker=True).with_context(JOURNEY).encode_failure(sdks or why, failure)
    if isinstance(why, StoreUnavailable) and isinstance(sdks, ApplicationError):  # the arguments of an activity
        assert 2.5 <= failure.application_failure_info.next_retry_delay.ToTimedelta().total_seconds() <= 7.5
        failure.application_failure_info.ClearField("next_retry_delay")
    info = ApplicationFailureInfo(type=type(why).__name__)
    assert failure == Failure(message=str(why), application_failure_info=info)
    assert not await keys.has("3028687")


async def test_a_worker_outlasts_an_outage_of_the_store(keys: Keyring, monkeypatch: pytest.MonkeyPatch) -> None:
    """Activities get arguments that stand for the unreadable ones, workflow tasks wait, and clients fail."""
    worker = encrypting_converter(keys, worker=True)
    sealed = await worker.with_context(ACTIVITY).encode(["Zoé"])
    mark = await worker.with_context(ACTIVITY).encode([in_clear("sending"), in_clear(2)])
    calls: list[str] = []

    async def unavailable(identifier: str) -> NoReturn:
        calls.append(identifier)
        if len(calls) > 3:
            monkeypatch.undo()
        raise StoreUnavailable("nothing listens there")

    monkeypatch.setattr(keys, "key", unavailable)
    monkeypatch.setattr(keys, "key_of", unavailable)
    [value] = await worker.with_context(ACTIVITY).decode(sealed, [str])
    assert isinstance(value, Undecoded)
    assert str(value.error) == "nothing listens there"
    assert await worker.with_context(ACTIVITY).decode(mark) == ["sending", 2]
    assert await worker.with_context(ACTIVITY).encode([in_clear("sending"), in_clear(2)]) == mark
    for client in (worker.with_context(JOURNEY), encrypting_converter(keys).with_context(ACTIVITY)):
        with pytest.raises(StoreUnavailable):
            await client.decode(sealed)
    # The method that the SDK calls for a workflow task.
    decoded = await worker.with_context(ACTIVITY)._decode_payload_sequence(sealed)  # pyright: ignore[reportPrivateUsage]
    assert decoded == [Payload(metadata={"encoding": b"json/plain"}, data='"Zoé"'.encode())]
    assert len(calls) == 4


async def test_arguments_do_not_wait_long_for_a_store_that_does_not_answer(
    keys: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = encrypting_converter(keys, worker=True).with_context(ACTIVITY)
    sealed = await worker.encode(["Zoé"])

    async def silent(_: str) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(converter, "_ARGUMENTS", 0.01)
    monkeypatch.setattr(keys, "key", silent)
    [value] = await worker.decode(sealed, [str])
    assert isinstance(value, Undecoded)
    assert str(value.error) == "The store did not answer in time."


async def test_a_worker_that_encrypts_nothing_passes_over_nothing_that_others_can_read(keys: Keyring, store: Store):
    """Encryption is turned on, and workers from before are still there: they must not go on without an event."""
    (sealed,) = await EncryptionCodec(keys).with_context(JOURNEY).encode([CLEAR])
    bare = Keyring(store, None)
    worker = EncryptionCodec.of_a_worker(bare)
    foreign = [
        Payload(metadata={"encoding": ENCODING, KEY_ID: b"0" * 32}, data=b"what"),
        Payload(metadata={"encoding": ENCODING, KEY_ID: b"\x00"}, data=b"what"),
    ]
    for context in (JOURNEY, ACTIVITY):
        assert await worker.with_context(context).encode([CLEAR]) == [CLEAR]
        assert await worker.with_context(context).decode([CLEAR]) == [CLEAR]
        with pytest.raises(UnknownKey, match="set the workers' SCENARIO_ENCRYPTION_KEYS here"):
            await worker.with_context(context).decode([sealed])
    assert await worker.with_context(JOURNEY).decode(foreign) == foreign  # nobody stops a journey with a signal
    await keys.destroy("3028687")
    with pytest.raises(Erased):
        await worker.with_context(JOURNEY).decode([sealed])
    worker = encrypting_converter(bare, worker=True)
    failure = Failure()
    await worker.encode_failure(ApplicationError("whatsapp answered 503"), failure)
    assert failure.message == "whatsapp answered 503"


async def test_failures_are_encrypted_and_read_again(keys: Keyring) -> None:
    client = encrypting_converter(keys).with_context(JOURNEY)
    failure = Failure()
    await client.encode_failure(ApplicationError("whatsapp answered 503", "body", type="Http"), failure)
    assert "503" not in failure.message
    assert b"answered" not in failure.SerializeToString()
    read = await client.decode_failure(failure)
    assert isinstance(read, ApplicationError)
    assert (read.message, list(read.details)) == ("whatsapp answered 503", ["body"])
