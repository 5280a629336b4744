"""What webhooks keep of their responses, and what later steps see of it; callbacks into the journey."""

from activities.interface import Sent
from tests.workflows.conftest import Stage
from workflows.limits import KEPT_RESPONSES
from workflows.state import State

KEEPS = """
scenario: keeps
trigger: segment
steps:
  - webhook: hook
    url: https://hooks.example.com/a
    body: {}
    save: {as: found}
  - if: responses.found.tier == "gold"
    then:
      - sms: gold
        text: "{{ responses.found.name }}"
    else:
      - sms: other
        text: "{{ responses.found.name }}"
"""
MORE = """
  - webhook: again
    url: https://hooks.example.com/a
    body: {}
    save: {as: more}
"""
CALLS = """
scenario: calls
trigger: segment
steps:
  - webhook: hook
    url: https://hooks.example.com/a
    body: {answer_to: "{{ journey.callback_url }}", entered: "{{ journey.entered_at }}"}
  - sms: last
    text: "{{ journey.id }}"
"""


async def test_only_a_step_that_names_the_callback_address_can_make_one(stage: Stage) -> None:
    await stage.publish(CALLS)
    handle = await stage.start("calls")
    await handle.result()
    hook, last = stage.channels.of("hook")[0].delivery, stage.channels.of("last")[0].delivery
    assert hook.root == handle.first_execution_run_id
    assert last.root == ""
    assert list(hook.data["journey"]) == ["entered_at"]


def state() -> State:
    return State(version=1, plan={}, zone="UTC", entered_at="t", root="r")


def test_the_oldest_responses_are_forgotten_where_all_together_are_too_large() -> None:
    kept = state()
    part = "x" * (KEPT_RESPONSES // 3 - 2)
    assert [kept.save(name, part) for name in ("a", "b", "c")] == [[], [], []]
    assert kept.save("a", part) == [], "one that is kept again takes its own place, and is the newest from then on"
    assert kept.save("d", part) == ["b"]
    assert list(kept.responses) == ["c", "a", "d"]
    assert kept.save("e", "x" * (KEPT_RESPONSES - 2)) == ["c", "a", "d"]
    assert list(kept.responses) == ["e"]


async def test_a_journey_says_which_responses_it_forgot(stage: Stage) -> None:
    await stage.publish(KEEPS.replace("  - if", MORE + "  - if"))
    big = "x" * (KEPT_RESPONSES // 2)
    for step in ("hook", "again"):
        stage.channels.scripts[step] = lambda delivery, attempt: Sent(status=200, attempt=attempt, saved=[big])
    result = await stage.run("keeps")
    assert [step.get("note") for step in result["steps"][:2]] == [
        None,
        "older responses were forgotten, all together are too large: found",
    ]
