"""The step `switch` in a journey."""

from tests.workflows.conftest import Stage

SWITCHES = """
scenario: switches
trigger: order
steps:
  - switch: "contact.language | downcase"
    cases:
      fr: [{sms: bonjour, text: hi}]
      de: [{exit: no}]
  - switch: order.total_price
    cases: {7: [{exit: no}], 66.250: [{sms: dear, text: hi}]}
    else: [{exit: no}]
  - switch: contact.custom.vip
    cases: {true: [{sms: vip, text: hi}], "yes": [{exit: no}]}
  - switch: contact.custom.colour
    cases: {red: [{exit: no}]}
    else: [{sms: other, text: hi}]
  - switch: "contact.firstname | number"
    cases: {3: [{exit: no}]}
    else: [{exit: skipped}]
"""
WHO = {"operator": "ann", "reason": "no number"}


async def test_a_journey_goes_the_way_of_a_value_and_is_held_where_there_is_none_to_be_had(stage: Stage) -> None:
    await stage.publish(SWITCHES)
    contact = {"language": "FR", "firstname": "Zoé", "custom": {"vip": True}}
    trigger = {"type": "order", "order": {"external_id": "1", "total_price": "66.25"}}
    handle = await stage.start("switches", trigger, contact=contact)
    progress = await stage.until(handle, "held")
    assert [(done["id"], done["outcome"], done.get("way")) for done in progress["steps"]] == [
        ("switch-1", "case", "fr"),
        ("bonjour", "delivered", None),
        ("switch-2", "case", "66.250"),
        ("dear", "delivered", None),
        ("switch-3", "case", "true"),
        ("vip", "delivered", None),
        ("switch-4", "else", None),
        ("other", "delivered", None),
    ]
    assert progress["waiting"]["reason"].startswith("the value cannot be worked out: ")
    await stage.operate(handle, "retry_step", WHO)
    await stage.until(handle, "held")
    await stage.operate(handle, "skip_step", WHO)
    result = await stage.result(handle)
    assert (result["reason"], result["steps"][-2]["outcome"]) == ("skipped", "skipped")
