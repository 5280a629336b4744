"""The page that previews a scenario, and sends one message of it as a test."""

import json
import logging
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from activities.dependencies import Channels
from activities.sms.provider import Receipt, TextMessage
from activities.webhook.route import Diverted
from authoring.errors import BadInput
from authoring.publishing import ScenarioFile, check_file
from cli.local.stack import StandIns
from runtime.derived_keys import AddressHashes
from runtime.local.receiver import Receiver
from runtime.store import Store
from scenario.model.scenario import document
from scenario.plan.compile import compile_plan
from scenario.plan.plan import dump_plan
from service.authoring_process import DONE, Authoring, Setup, answer
from service.errors import MistakenEntry
from service.sending import PER_HOUR, Outbox, Trials
from tests.factories import admission_request, present
from tests.gateway.pages.conftest import Document, Site, visited
from tests.search import Search

SCENARIO = """
scenario: hello
trigger: order
timezone: Europe/Paris
purpose: transactional
steps:
  - email: mail
    subject: "Hello {{ contact.firstname }}"
    text: "Order {{ order.external_id }} <b>"
  - wait: 2d
  - if: contact.language == 'fr'
    then:
      - webhook: vip
        url: https://hooks.example.com/vip
        headers: {Authorization: "Bearer {{ secrets.TOKEN }}"}
        body: {id: "{{ contact.id }}", name: "{{ contact.firstname }}"}
  - sms: text
    text: "Hi"
"""
HASHES = AddressHashes([b"k" * 32])
ENTRY = {
    "scenario": "hello",
    "contact": {
        "id": 7,
        "firstname": "Zoé <i>",
        "email": "zoe@example.com",
        "language": "fr",
        "cellphone": "+33612345678",
    },
    "trigger": {"type": "order", "order": {"external_id": "CGX"}},
}
SURE = {"sure": "yes", "reason": "to see\nit arrive"}
FORM = {"version": "hello@1", "entry": json.dumps(ENTRY), "at": "2026-03-03T10:00"}


class Here(Authoring):
    """Previews in this process: that it is done in another one is for the tests of `service.authoring_process`."""

    def __init__(self) -> None:
        super().__init__(Setup())

    async def _ask(self, key: str, request: Mapping[str, Any]) -> bytes:
        told = answer({**json.loads(json.dumps(request)), "with": vars(Setup())})
        if told[:1] != DONE:
            refused = json.loads(told[1:])
            raise MistakenEntry(refused["said"], at=refused["at"]) if refused["at"] else BadInput(refused["said"])
        return told[1:]


class Texts:
    name = "texts"
    connections = 1

    def __init__(self) -> None:
        self.sent: list[TextMessage] = []

    async def send(self, message: TextMessage) -> Receipt:
        self.sent.append(message)
        return Receipt(201, "t1")

    async def close(self, within: float) -> None:
        """Close nothing."""


@pytest.fixture
async def receiver(tmp_path: Path) -> AsyncIterator[Receiver]:
    async with Receiver(folder=tmp_path / "received") as listening:
        yield listening


@pytest.fixture
async def site(store: Store, receiver: Receiver) -> AsyncIterator[Site]:
    """The pages, with an outbox that has no e-mail."""
    made = present(check_file(ScenarioFile.sent(SCENARIO)).scenario)
    await store.publish("hello", document(made), dump_plan(compile_plan(made)), "digest")
    channels = Channels({"sms": Texts()}, hashes=HASHES)
    outbox = Outbox(Setup(), channels, Diverted(receiver.url), StandIns(), trials=Trials(store=store, hashes=HASHES))
    async with visited(Search(), store, Here(), outbox=outbox) as site:
        yield site


async def preview(site: Site, more: dict[str, str] | None = None, status: int = 200) -> Document:
    return await site.send("/preview", {**FORM, **(more or {})}, status=status)


async def test_each_step_is_shown_byte_by_byte_at_its_local_time(reader: Site):
    page = await preview(reader)
    mail, wait, fork, hook, text = page.texts("li.step")
    assert mail.startswith("mail email sent Tue 2026-03-03 10:00 from Sender <sender@example.com> to zoe@example.com")
    assert "subject Hello Zoé <i>" in mail
    assert "Order CGX <b>" in mail
    assert "Source, as it is sent" in mail
    assert wait == "wait-2 wait 2d waited Tue 2026-03-03 10:00 → Thu 2026-03-05 10:00"
    assert fork.startswith("if-3 if contact.language == 'fr' then Thu 2026-03-05 10:00")
    assert "then of if-3" in hook
    assert "POST https://hooks.example.com/vip" in hook
    assert "authorization: Bearer ~~TOKEN~~" in hook
    assert page.texts("mark") == ["~~TOKEN~~"]
    assert '{"id":"7","name":"Zoé <i>"}' in hook
    assert text.startswith("text sms sent")
    assert page.headers["cache-control"] == "no-store"
    assert "never names" not in page.text("footer")
    assert json.loads(page.text("textarea[name=entry]")) == ENTRY  # what was filled in is still there
    english = {**ENTRY, "contact": {"id": 7, "language": "en"}}
    page = await preview(reader, {"entry": json.dumps(english)})
    mail, _, _, hook, _ = page.texts("li.step")
    assert ("skipped" in mail, "not reached by this contact" in hook) == (True, True)
    assert hook.split(" then of ")[0].endswith(" not taken")
    assert page.values("li.step", "class")[3] == "card step aside depth-1"


async def test_an_output_that_printed_nothing_is_named(reader: Site):
    entry = json.loads(json.dumps(ENTRY))
    del entry["contact"]["firstname"]
    page = await preview(reader, {"entry": json.dumps(entry)})
    mail, _, _, hook, text = page.texts("li.step")
    for shown in (mail, hook):
        assert re.search(r" \d+:\d+: \{\{ contact\.firstname \}\} printed nothing$", shown)
    assert "printed nothing" not in text


async def test_an_entry_is_made_up(reader: Site):
    page = await reader.send("/preview/sample", {"version": "hello@1"}, status=200, page="/preview")
    assert json.loads(page.text("textarea[name=entry]"))["scenario"] == "hello"
    assert page.texts("li.step") == []
    assert len((await preview(reader, {"entry": ""})).texts("li.step")) == 5


async def test_a_link_previews_the_newest_version_and_offers_a_test_of_its_step(operator: Site):
    page = await operator.get("/preview?scenario=hello&step=text")
    assert page.texts("#version option[selected]") == ["hello@1"]
    assert len(page.texts("li.step")) == 5
    assert page.texts("#step option[selected]") == ["text"]
    assert (await operator.get("/preview")).texts("#step option") == ["mail", "vip", "text"]  # before any preview
    assert "not published" in (await operator.get("/preview?version=hello@9", 404)).text("[role=alert]")


async def test_a_contacts_entry_is_shown_to_keys_with_its_scope_and_logged_by_id(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    entries: dict[str, Any] = {
        "hello/7": ENTRY,
        "other/8": {"scenario": "other", "contact": {"id": 8, "firstname": "Bob"}, "trigger": {"type": "segment"}},
    }

    async def submitted(_: object, journey: str) -> Any:
        return entries.get(journey)

    monkeypatch.setattr("service.authoring.submitted_entry", submitted)
    await site.store.publish("other", {"trigger": "segment"}, {}, "digest")
    for number, journey in (("7", "hello/7"), ("8", "other/8"), ("9", "hello/9")):
        name = journey.partition("/")[0]
        await site.store.admit(admission_request(number, name, workflow_id=journey))
    await site.sign_in("read")
    assert "Zoé" not in (await site.get("/preview?version=hello@1&contact=7", 403)).html
    assert "looks at" not in caplog.text
    key = await site.sign_in("read", "content")
    for whom in ("7", "hello/7"):
        page = await site.send("/preview", {"version": "hello@1", "contact": whom}, 200)
        assert json.loads(page.text("#entry")) == {name: ENTRY[name] for name in ("contact", "trigger")}
        assert "Hello Zoé <i>" in page.text("li.step")
    assert page.values("#running option", "value") == ["hello/9", "hello/7"]
    edited = {"version": "hello@1", "contact": "7", "loaded": "7", "entry": json.dumps(ENTRY).replace("zoe@", "ann@")}
    assert "to ann@example.com" in (await site.send("/preview", edited, 200)).text("li.step")
    assert f"key {key} looks at the entry of hello/7" in caplog.text
    assert "Zoé" not in caplog.text
    assert (await site.get("/preview?contact=7")).texts("#version option[selected]") == ["hello@1"]
    # A contact of another scenario gets an example of this one's trigger.
    page = await site.get("/preview?scenario=hello&contact=8")
    entry = json.loads(page.text("#entry"))
    assert (entry["contact"]["firstname"], entry["trigger"]["type"]) == ("Bob", "order")
    for whom, said in (("9", "Temporal has deleted the history of hello/9"), ("5", "No journey is on record")):
        page = await site.get(f"/preview?version=hello@1&contact={whom}", 422)
        assert page.text("#contact-wrong").startswith(said)
    await site.sign_in("read", "content", scenarios=["hello"])
    await site.get("/preview?scenario=hello&contact=7")
    page = await site.get("/preview?scenario=hello&contact=other/8", 422)
    assert "Bob" not in page.html


async def test_events_and_responses_are_given_one_a_line(reader: Site):
    page = await preview(reader, {"events": 'order.delivered={"order_id": "CGX"}\n\n', "responses": "wax=[1]"})
    assert "no step and no exit rule waits for 'order.delivered'" in page.text()
    assert "no step saves a response as 'wax'" in page.text()


WRONG: list[tuple[dict[str, str], str]] = [
    ({"entry": "{"}, "The entry is not JSON: line 1, column 2"),
    ({"entry": "[" * 100_000}, "The entry is"),
    ({"entry": "[]"}, "The entry is a JSON object"),
    ({"entry": '{"contact": {"id": 7}}'}, "The entry needs 'trigger'"),
    ({"entry": '{"a": %s}' % ("1" * 5000)}, "The entry has a number that is too long"),
    ({"responses": "wax=" + "1" * 5000}, "The value of a response has a number that is too long"),
    ({"at": "tomorrow"}, "The time of entry is a date"),
    ({"at": "0001-01-01"}, "The time of entry is a date"),
    ({"events": "a={"}, "The value of an event is not JSON"),
    ({"events": "a=1"}, "The properties of an event are a JSON object"),
    ({"responses": "wax"}, "A response is a separate line"),
    ({"version": ""}, "Choose a published scenario, or paste one"),
]


async def test_what_is_wrong_is_said_and_nothing_that_was_filled_in_is_lost(reader: Site):
    for wrong, said in WRONG:
        page = await preview(reader, {"to": "kept@example.com", **wrong}, status=422)
        assert page.text("[role=alert]").startswith(said)
        assert page.text("textarea[name=entry]") == " ".join({**FORM, **wrong}["entry"].split())


async def test_a_pasted_scenario_needs_the_scope_to_publish(site: Site):
    pasted = {"version": "", "source": SCENARIO.replace("Hello", "Pasted")}
    await site.sign_in("read")
    refused = await preview(site, pasted, status=403)
    assert "To paste a scenario, your key needs the scope 'publish'" in refused.text()
    assert refused.values("textarea[name=source]", "id") == []
    await site.sign_in("read", "publish")
    page = await preview(site, pasted)
    assert page.values("select[name=step]", "id") == []
    assert "subject Pasted Zoé" in page.text("li.step")
    assert page.text("textarea[name=source]").startswith("scenario: hello")
    wrong = await preview(site, {**pasted, "source": "scenario: hello\ntrigger: order\nsteps: [{mail: x}]\n"})
    assert {row[1] for row in wrong.rows("Findings")} == {"error"}
    assert wrong.texts("li.step") == []
    file = await preview(site, {**pasted, "source": SCENARIO.replace('"Hi"', "{file: /etc/passwd}")})
    assert file.rows("Findings")


async def test_one_message_is_sent_as_a_test(site: Site, receiver: Receiver, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "gateway")
    name = await site.sign_in()
    shown = await preview(site)
    assert shown.texts("select[name=step] option") == ["mail", "vip", "text"]
    page = await site.send("/preview/send", {**FORM, "step": "vip", **SURE}, status=200, page="/preview")
    sent = page.text("section[aria-labelledby=sent]")
    assert sent.startswith("Test message of vip delivered hooks.example.com answered 200")
    assert "x-scenario-test: 1" in sent
    assert "stand-in-TOKEN" not in page.html
    (came,) = receiver.requests()
    assert (came.header("x-scenario-test"), came.header("authorization")) == ("1", "Bearer stand-in-TOKEN")
    sent_id = came.header("webhook-id")
    assert [record.getMessage() for record in caplog.records if record.name == "gateway"] == [
        f"key {name} sent a test message of hello, step vip, as {sent_id}: delivered; reason: to see it arrive"
    ]
    assert "Zoé" not in caplog.text
    (row,) = (await site.get("/deliveries")).rows("Recorded attempts, newest first")
    assert (row[1:4], row[5]) == ([f"test by key {name}", "vip", "webhook → hooks.example.com"], "delivered")


UNSENDABLE: list[tuple[dict[str, str], str]] = [
    ({"step": "vip"}, "Confirm that the message is to be sent for real"),
    ({"step": "vip", "sure": "yes", "reason": " \n"}, "Give a reason"),
    (SURE, "Name the step of the message"),
    ({**SURE, "step": "wait-2"}, "The step 'wait-2' sends nothing"),
    ({**SURE, "step": "mail"}, "SCENARIO_SMTP"),
    ({**SURE, "step": "mail", "to": "nobody"}, "The address it is sent to instead is not an e-mail"),
]


async def test_what_cannot_be_sent_is_said(operator: Site):
    for more, said in UNSENDABLE:
        page = await operator.send("/preview/send", {**FORM, **more}, status=422, page="/preview")
        assert said in page.text("[role=alert]")
        if "step" in more:  # it can be mended there
            assert page.texts("select[name=step] option[selected]") == [more["step"]]
            assert page.values("#reason", "value") == [more.get("reason", "")]


async def test_a_key_sends_few_tests_an_hour(site: Site):
    name = await site.sign_in()
    form = {**FORM, **SURE, "step": "text"}
    site.app.state.outbox._sent.take(name, PER_HOUR - 1)
    await site.send("/preview/send", form, status=200, page="/preview")
    page = await site.send("/preview/send", form, status=429, page="/preview")
    assert page.text("[role=alert]").startswith("This key has sent 20 test messages within an hour: the next one may")
    await site.sign_in()
    await site.send("/preview/send", form, status=200, page="/preview")
