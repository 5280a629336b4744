"""What lies in the local state is for nobody but its user."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from activities.sms.configured import LocalSms
from activities.sms.provider import TextMessage
from runtime.errors import LocalError
from runtime.local import make_folder, make_private
from runtime.local.inbox import keep
from runtime.local.receiver import Receiver
from runtime.store import Store


@pytest.fixture(autouse=True)
def open_to_all() -> Iterator[None]:
    """New files and folders would be everybody's."""
    before = os.umask(0)
    yield
    os.umask(before)


def modes(root: Path) -> dict[str, str]:
    return {path.relative_to(root).as_posix(): f"{stat.S_IMODE(path.stat().st_mode):o}" for path in root.rglob("*")}


def test_a_folder_and_those_above_it_are_made_private(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir(mode=0o755)
    make_private(tmp_path / "theirs" / ".scenario" / "demo" / "inbox")
    make_private(tmp_path / "theirs")
    assert modes(tmp_path) == {
        "theirs": "755",
        "theirs/.scenario": "700",
        "theirs/.scenario/demo": "700",
        "theirs/.scenario/demo/inbox": "700",
    }


def test_a_state_that_an_earlier_release_left_open_is_closed(tmp_path: Path) -> None:
    (tmp_path / ".scenario" / "inbox").mkdir(parents=True)
    make_folder(tmp_path / ".scenario" / "inbox")
    assert modes(tmp_path)[".scenario"] == "700"


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "inbox").write_text("")
    with pytest.raises(LocalError, match="inbox cannot be written to"):
        make_folder(tmp_path / "inbox")


async def test_whoever_makes_the_state_makes_it_private(tmp_path: Path) -> None:
    (store := tmp_path / "a" / ".scenario").parent.mkdir()
    async with Store.open(f"sqlite:///{store}/store.db"):
        pass
    (inbox := tmp_path / "b" / ".scenario" / "inbox").parent.parent.mkdir()
    await LocalSms(inbox).send(TextMessage(id="msg_1", to="+33612345678", body="hello"))
    for folder in (store, inbox.parent, inbox):
        assert f"{stat.S_IMODE(folder.stat().st_mode):o}" == "700"


async def test_what_was_received_can_be_read_by_its_user_only(tmp_path: Path) -> None:
    keep(tmp_path, b"subject: hello\r\n\r\nhello")
    async with Receiver(folder=tmp_path) as receiver, httpx.AsyncClient(trust_env=False) as client:
        await client.post(receiver.url, headers={"authorization": "Bearer planted"})
    await LocalSms(tmp_path).send(TextMessage(id="msg_1", to="+33612345678", body="hello"))
    assert list(modes(tmp_path).values()) == ["600"] * 3
