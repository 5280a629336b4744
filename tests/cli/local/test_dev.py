"""The lines that `scenario dev` prints, how what it starts ends, and the keys that it keeps."""

import asyncio
import base64
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.text import Text

from cli.local.dev import LiveLog, LiveWarnings, exports
from cli.local.stack import kept_api_key, kept_key, until_interrupted
from runtime.api_keys import SCOPES
from runtime.errors import LocalError
from runtime.store import Attempt, Store
from tests.factories import attempt
from tests.fakes import Rows

AT = datetime(2026, 11, 28, 20, 14, 2, tzinfo=UTC)
JOURNEY = "post-purchase/3028687/CGX0094"
DELIVERED = attempt(workflow_id=JOURNEY, step="whatsapp", destination="wax", started_at=AT, status=200)
RETRY = replace(DELIVERED, outcome="retry", status=503, next_try_at=AT + timedelta(seconds=5, milliseconds=12))


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (DELIVERED, "whatsapp  webhook → wax 200 in 12 ms, delivered"),
        (RETRY, "whatsapp  webhook → wax 503 in 12 ms, again in 5.0 s"),
        (
            replace(RETRY, attempt=3, next_try_at=AT + timedelta(hours=3)),
            "whatsapp  webhook → wax 503 in 12 ms, again in 3 h (attempt 3)",
        ),
        (
            replace(RETRY, outcome="unknown", status=None, error="read_timeout"),
            "whatsapp  webhook → wax read_timeout in 12 ms, may have arrived, again in 5.0 s",
        ),
        (replace(DELIVERED, outcome="failed", status=422), "whatsapp  webhook → wax 422 in 12 ms, not retried"),
        (replace(DELIVERED, outcome="skipped", status=None), "whatsapp  webhook → wax in 12 ms, nothing to send"),
        (
            replace(DELIVERED, channel="email", destination="127.0.0.1", step="hi\x1b[2J"),
            "hi\ufffd[2J  email → inbox 200 in 12 ms, delivered",
        ),
    ],
)
def test_an_attempt_is_one_line_and_is_written_down(made: Attempt, said: str):
    rows, lines = Rows(), list[Text]()
    LiveLog(rows, lines.append, {"email": "inbox"}).put(made)
    assert rows == [made]
    [line] = lines
    assert line.plain[8:] == f"  {JOURNEY}  {said}"


async def test_a_warning_is_said_by_the_event_loop_whoever_logs_it():
    lines: list[Text] = []
    with LiveWarnings(lines.append):
        held = {"step": "whatsapp", "cause": "permanent", "temporal_workflow": {"workflow_id": "a/1"}}
        logging.getLogger("temporalio.workflow").warning("held", extra=held)
        logging.getLogger("activities.webhook.limiter").info("%s answers again", "wax")
        logging.getLogger("activities.other").info("not said")
        assert lines == []
        await asyncio.sleep(0)
    logging.getLogger("activities").warning("after its end")
    await asyncio.sleep(0)
    assert [line.plain[8:] for line in lines] == ["  a/1  whatsapp  held: permanent", "  wax answers again"]


@pytest.mark.parametrize(
    ("address", "state", "lines"),
    [
        ("127.0.0.1:7233", ".scenario", []),
        ("127.0.0.1:7999", ".scenario", ["export TEMPORAL_ADDRESS=127.0.0.1:7999"]),
        ("127.0.0.1:7233", "my state", ["export SCENARIO_STORE='sqlite:///FOLDER/my state/store.db'"]),
    ],
)
def test_it_says_what_is_not_as_usual(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, state: str, lines: list[str]
):
    monkeypatch.chdir(tmp_path)
    assert exports(address, Path(state)) == [line.replace("FOLDER", str(tmp_path.resolve())) for line in lines]


async def test_ctrl_c_ends_the_wait_and_leaves_the_task_as_it_was():
    async def stay() -> int:
        await until_interrupted()
        await asyncio.sleep(0)  # what is closed afterwards may wait
        return 1

    task = asyncio.create_task(stay())
    await asyncio.sleep(0)
    task.cancel()  # as `asyncio.run` does at the first Ctrl-C
    assert await task == 1
    assert task.cancelling() == 0


def test_the_key_of_suppressions_lasts_as_long_as_they_do(tmp_path: Path):
    path = tmp_path / "suppression.key"
    made = kept_key(path)
    assert len(base64.b64decode(made)) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert kept_key(path) == made
    path.write_bytes(b"\xff")
    with pytest.raises(LocalError, match="cannot be read or written"):
        kept_key(path)


async def test_the_key_stays_and_what_is_none_of_this_store_is_replaced(tmp_path: Path, store: Store):
    path = tmp_path / "api.key"
    revoked = await kept_api_key(path, store)
    assert (path.read_text(), path.stat().st_mode & 0o777) == (f"{revoked}\n", 0o600), "its user's alone"
    assert await kept_api_key(path, store) == revoked
    (key,) = await store.keys()
    assert (tuple(key.scopes), key.scenarios, key.expires_at) == (SCOPES, None, None)
    await store.revoke_key(revoked.split("_")[1], datetime.now(UTC))
    for content in (revoked, "sr_nothing", f"sr_abcdefgh_{'0' * 64}"):
        path.write_text(content)
        token = await kept_api_key(path, store)
        assert path.read_text() == f"{token}\n"
        assert token.split("_")[1] in {key.id for key in await store.keys() if key.revoked_at is None}
    path.write_bytes(b"\xff")
    with pytest.raises(LocalError, match="cannot be read or written: check its permissions"):
        await kept_api_key(path, store)
