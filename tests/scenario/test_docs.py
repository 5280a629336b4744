"""What the language's reference shows is right: every example passes the check."""

import re

import pytest
import yaml

from scenario.check import structure
from scenario.check.check import check
from scenario.check.structure import keys_of
from scenario.model import parts
from scenario.model.scenario import TRIGGERS
from scenario.policies.hours import QuietHours, Window
from scenario.policies.policies import examine
from scenario.steps.registry import KINDS
from scenario.steps.wait import Until
from tests.documents import DOCS

PAGE = (DOCS / "write/scenario-language.md").read_text(encoding="utf-8")
TIMES = (DOCS / "write/sending-times.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE + TIMES, re.DOTALL)
FILLED = """\
scenario: example
trigger: order
exit: [{event: never}]
steps:
- webhook: nothing
  url: https://x.example/
"""


def whole(example: str) -> str:
    """An example with what it needs to be a scenario."""
    if example.startswith("scenario:"):
        return example
    if example.startswith("- "):
        return FILLED + example
    if example.startswith("retry:"):
        return FILLED + "".join(f"  {line}\n" for line in example.splitlines())
    return FILLED.replace("exit: [{event: never}]\n", example)


@pytest.mark.parametrize("example", EXAMPLES, ids=[example.split("\n")[0] for example in EXAMPLES])
def test_an_example_has_no_mistake(example: str):
    assert yaml.safe_load(example)
    if example.startswith("# policies.yaml"):
        assert examine(example, "policies.yaml").findings == ()
        return
    findings = check(whole(example), read=lambda _: "<p>").findings
    # Nobody says where secrets may go; and what is shown of an e-mail is not all of it.
    unsaid = {"secret"} if example.startswith("scenario:") else {"secret", "no-unsubscribe"}
    assert [finding for finding in findings if finding.code not in unsaid] == []


def test_the_conditions_that_are_shown_have_no_mistake():
    conditions = re.findall(r"^if: .*\n", PAGE, re.MULTILINE)
    steps = "".join(f"- {condition}  then: [{{wait: 1d}}]\n" for condition in conditions)
    findings = check(f"{FILLED}- wait_for: e\n{steps}").findings
    assert len(conditions) > 4
    assert [finding for finding in findings if finding.code != "secret"] == []


def test_every_word_of_the_language_is_explained():
    words = {*KINDS, *TRIGGERS, *structure.KINDS_NOT_YET, "hold", "continue", "never", "always"}
    for form in (*KINDS.values(), Until, QuietHours, Window, parts.Retry, parts.Save):
        words.update(keys_of(form))
    assert {word for word in words if not re.search(rf"\b{word}\b", PAGE)} == set()
