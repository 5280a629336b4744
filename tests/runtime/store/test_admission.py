from datetime import datetime, timedelta
from typing import Any

import pytest

from runtime.store import AdmissionRequest, AdmittedRun, AlreadyEntered, StoredEntry
from runtime.store.admission import AdmissionDecision, Again, Eligible, decide
from tests.factories import NOW, admission_request, stored_entry

YESTERDAY = NOW - timedelta(days=1)
MONTH = timedelta(days=30)
MOMENT = timedelta(microseconds=1)
Decision = AdmissionDecision


def asking(again: Again, workflow_id: str = "welcome/7", run_id: str = "new") -> AdmissionRequest:
    return admission_request(version=3, workflow_id=workflow_id, run_id=run_id, again=again)


def entry(
    ordinal: int, run_id: str, *, workflow_id: str = "welcome/7", over: bool = True, ago: timedelta
) -> StoredEntry:
    end: dict[str, Any] = {"ended_at": NOW, "outcome": "finished"} if over else {}
    return stored_entry(workflow_id=workflow_id, run_id=run_id, ordinal=ordinal, admitted_at=NOW - ago, **end)


OVER = entry(1, "old", ago=timedelta(days=1))
STUCK = entry(1, "old", over=False, ago=timedelta(days=1))
ELSEWHERE = entry(2, "other", workflow_id="imported/7", over=False, ago=timedelta(days=1))
LONG_AGO = entry(1, "old", ago=MONTH)
RECENT = entry(2, "second", ago=timedelta(days=1))
IN_ALREADY = entry(4, "new", over=False, ago=timedelta(minutes=1))


def kept_out(why: str, by: StoredEntry, until: datetime | None = None) -> AlreadyEntered:
    return AlreadyEntered(why, by.workflow_id, by.run_id, by.admitted_at, until)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("again", "earlier", "expected"),
    [
        # nobody was here
        ("never", [], Decision(Eligible(1))),
        (MONTH, [], Decision(Eligible(1))),
        # an earlier journey is over
        ("never", [OVER], Decision(kept_out("entered_before", OVER))),
        ("when_finished", [OVER], Decision(Eligible(2))),
        (MONTH, [OVER], Decision(kept_out("too_soon", OVER, YESTERDAY + MONTH))),
        (MONTH, [LONG_AGO], Decision(Eligible(2))),
        (MONTH, [LONG_AGO, RECENT], Decision(kept_out("too_soon", RECENT, YESTERDAY + MONTH))),
        (MONTH + MOMENT, [LONG_AGO], Decision(kept_out("too_soon", LONG_AGO, NOW + MOMENT))),
        # an earlier run of the same workflow id never took leave
        ("never", [STUCK], Decision(kept_out("entered_before", STUCK), (STUCK,))),
        ("always", [STUCK], Decision(Eligible(2), (STUCK,))),
        (MONTH, [STUCK], Decision(kept_out("too_soon", STUCK, YESTERDAY + MONTH), (STUCK,))),
        # another workflow is under way for the same contact and key
        ("when_finished", [OVER, ELSEWHERE], Decision(kept_out("under_way", ELSEWHERE))),
        ("always", [ELSEWHERE, STUCK], Decision(kept_out("under_way", ELSEWHERE), (STUCK,))),
        (MONTH, [LONG_AGO, ELSEWHERE], Decision(kept_out("under_way", ELSEWHERE))),
        # the run is in already, whatever came after it
        ("when_finished", [ELSEWHERE, IN_ALREADY], Decision(AdmittedRun(1, 4, IN_ALREADY.admitted_at, again=True))),
    ],
)
def test_the_rule_of_again(again: Again, earlier: list[StoredEntry], expected: AdmissionDecision) -> None:
    assert decide(asking(again), earlier) == expected
    assert decide(asking(again), earlier[::-1]) == expected
