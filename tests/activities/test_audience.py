"""Audiences: whom a step records or leaves out, the bytes that each platform gets, and what its responses mean."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from temporalio.exceptions import ApplicationError

from activities.audience.channel import ADAPTER
from activities.audience.formats import Member, identify, read_answer, request_of
from activities.audience.sync import NO_MEMBER, MembershipBook
from activities.channel import ChannelActivity, LocalServers, sending_activity
from activities.channel_registry import AUDIENCE
from activities.content import Content
from activities.failures import FailureKind, failure_of
from activities.gate import PolicyGate
from activities.interface import Delivery, Sent
from activities.outcome import Outcome
from activities.webhook.destinations.form import AudiencesForm, ConsentForm
from activities.webhook.destinations.reading import DestinationsFile
from activities.webhook.route import Direct, Routes
from runtime.local.receiver import Inbox, Receiver
from runtime.store import Store
from scenario.errors import Aborted, NotConfigured
from scenario.model.batch import ItemResults
from scenario.policies.policies import Policies
from scenario.steps.audience import Audience
from tests.factories import publish
from tests.fakes import Marks, Rows, worker_context

META = AudiencesForm(preset="meta", ids={"vip-buyers": "238"})
GOOGLE = AudiencesForm(
    preset="google",
    ids={"vip-buyers": "987"},
    region="FR",
    account="1234567890",
    login_account="555",
    consent=ConsentForm(ad_user_data="granted", ad_personalization="denied"),
    terms_of_service="accepted",
)
GENERIC = AudiencesForm(preset="generic", fields=["id", "email"])
ZOE = {"email": " Zoe.A+b@googlemail.com", "cellphone": "+33 6 12 34 56 78"}


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


HERS = {
    "meta": {"email": sha("zoe.a+b@googlemail.com"), "phone": sha("33612345678")},
    "google": {"email": sha("zoea@googlemail.com"), "phone": sha("+33612345678")},
    "generic": {"email": sha("zoe.a+b@googlemail.com"), "id": "7"},  # in the order in which members are stored
}
ALONE: dict[str, Member] = {name: {"email": "e2"} if name != "generic" else {"id": "8"} for name in HERS}
TO = {
    "operatingAccount": {"accountType": "GOOGLE_ADS", "accountId": "1234567890"},
    "loginAccount": {"accountType": "GOOGLE_ADS", "accountId": "555"},
    "productDestinationId": "987",
}
PEOPLE = [
    {
        "userData": {
            "userIdentifiers": [{"emailAddress": HERS["google"]["email"]}, {"phoneNumber": HERS["google"]["phone"]}]
        }
    },
    {"userData": {"userIdentifiers": [{"emailAddress": "e2"}]}},
]
CONSENT = {"adUserData": "CONSENT_GRANTED", "adPersonalization": "CONSENT_DENIED"}
ROWS = {"schema": ["EMAIL", "PHONE"], "data": [[HERS["meta"]["email"], HERS["meta"]["phone"]], ["e2", ""]]}
REQUESTS: list[tuple[AudiencesForm, str, tuple[str, str], dict[str, Any]]] = [
    (META, "add", ("POST", "/238/users"), {"payload": ROWS}),
    (META, "remove", ("DELETE", "/238/users"), {"payload": ROWS}),
    (
        GOOGLE,
        "add",
        ("POST", "/audienceMembers:ingest"),
        {"destinations": [TO], "audienceMembers": PEOPLE, "encoding": "HEX", "consent": CONSENT}
        | {"termsOfService": {"customerMatchTermsOfServiceStatus": "ACCEPTED"}},
    ),
    (
        GOOGLE,
        "remove",
        ("POST", "/audienceMembers:remove"),
        {"destinations": [TO], "audienceMembers": PEOPLE, "encoding": "HEX"},
    ),
    (GENERIC, "add", ("POST", ""), {"audience": "vip-buyers", "op": "add", "members": [HERS["generic"], {"id": "8"}]}),
]


@pytest.mark.parametrize(("settings", "operation", "place", "body"), REQUESTS)
def test_a_request_has_the_platforms_bytes(
    settings: AudiencesForm, operation: Any, place: tuple[str, str], body: Any
) -> None:
    members = [identify(settings, "ads", "7", ZOE), ALONE[settings.preset]]
    assert members[0] == HERS[settings.preset]
    made = request_of(settings, "ads", "vip-buyers", operation, members)
    assert (made.method, made.path) == place
    assert made.body == json.dumps(body, separators=(",", ":")).encode()


def test_an_audience_without_an_id_at_the_platform_is_not_configured() -> None:
    with pytest.raises(NotConfigured, match="destination ads has no audience 'others': add its id to 'ids'"):
        request_of(META, "ads", "others", "add", [])


@pytest.mark.parametrize(
    ("settings", "contact", "reason"),
    [
        (META, {"email": "zoe@", "cellphone": "+33612345678"}, "the contact's e-mail address is malformed, and ads"),
        (META, {"email": "z@b.fr", "cellphone": "0612345678"}, "without a country's code, it needs 'region'"),
        (GOOGLE, {"email": "z@b.fr", "cellphone": "12"}, "the contact's telephone number is malformed, and ads"),
        (META, {"email": " "}, "the contact has no e-mail address and no telephone number"),
    ],
)
def test_nothing_that_a_platform_could_not_recognise_is_hashed(
    settings: AudiencesForm, contact: dict[str, str], reason: str
) -> None:
    with pytest.raises(Aborted, match=reason) as caught:
        identify(settings, "ads", "7", contact)
    assert identify(GOOGLE, "ads", "7", {"cellphone": "06 12 34 56 78"}) == {"phone": sha("+33612345678")}  # by region
    assert not any(value.strip() and value in caught.value.reason for value in contact.values())


def violation(field: str, reason: str) -> dict[str, Any]:
    return {"field": field, "description": "Zoe is bad", "reason": reason}


def google(*violations: dict[str, Any], reason: str = "INVALID_ARGUMENT") -> dict[str, Any]:
    details = [
        {"@type": "…/ErrorInfo", "reason": reason},
        {"@type": "…/BadRequest", "fieldViolations": list(violations)},
    ]
    return {"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "Zoe is bad", "details": details}}


FIRST = violation("audience_members.audience_members[1].user_data.user_identifiers[0]", "INVALID_HEX_ENCODING")
DONE, RETRY, SHORT, FINAL = Outcome.DELIVERED, Outcome.RETRY, Outcome.RETRY_SHORT, Outcome.PERMANENT
LISTED = AudiencesForm(preset="generic", results=ItemResults(list="failed"))
SAMPLED = {"num_received": 3, "num_invalid_entries": 2, "invalid_entry_samples": {"1": ["e1", ""]}}
SUBCODE = {"error": {"code": 100, "error_subcode": 1713230, "message": "Zoe"}}
OF_THE_LIST = violation("destinations[0].product_destination_id", "INVALID_USER_LIST_ID")
FAR = violation(f"audience_members[{'9' * 5_000}]", "?")


def results(*items: dict[str, Any]) -> dict[str, Any]:
    return {"results": list(items)}


# The settings, the status, the content, the outcome, its detail; members that are refused, sent again, and unnamed.
ANSWERS: list[tuple[AudiencesForm, int, Any, Outcome, str, dict[int, str], set[int], int]] = [
    # Meta counts malformed rows and shows samples of them.
    (META, 200, {"num_received": 3, "num_invalid_entries": 0, "invalid_entry_samples": []}, DONE, "", {}, set(), 0),
    (META, 200, SAMPLED, DONE, "", {1: "invalid_entry"}, set(), 1),
    (META, 400, SUBCODE, FINAL, "100/1713230", {}, set(), 0),
    (META, 400, {"error": {"code": 80003}}, RETRY, "80003", {}, set(), 0),
    (META, 400, {"error": {"code": 190}}, FINAL, "190", {}, set(), 0),
    (META, 400, {"error": {"code": ["?"]}}, FINAL, "unknown", {}, set(), 0),
    (META, 200, {"num_invalid_entries": 10**30}, DONE, "", {}, set(), 3),
    (META, 503, None, RETRY, "", {}, set(), 0),
    # Google carries out nothing if one member is malformed: the others are sent again.
    (GOOGLE, 200, {"requestId": "r"}, DONE, "", {}, set(), 0),
    (GOOGLE, 400, google(FIRST), DONE, "", {1: "INVALID_HEX_ENCODING"}, {0, 2}, 0),
    (GOOGLE, 400, google(FIRST, OF_THE_LIST), FINAL, "INVALID_ARGUMENT", {}, set(), 0),
    (GOOGLE, 400, google(FAR), FINAL, "INVALID_ARGUMENT", {}, set(), 0),
    (GOOGLE, 403, google(reason="PERMISSION_DENIED"), SHORT, "PERMISSION_DENIED", {}, set(), 0),
    (GOOGLE, 429, ["?"], RETRY, "", {}, set(), 0),
    # The generic receiver names each member with 207, or as its `results` say.
    (GENERIC, 200, None, DONE, "", {}, set(), 0),
    (
        *(GENERIC, 207, results({"id": "1", "status": 404, "code": "no Zoe!"}, {"id": 2, "status": 200}, {"id": "x"})),
        *(DONE, "", {1: "refused"}, set(), 0),
    ),
    (
        *(GENERIC, 207, results(*({"id": str(n), "status": status} for n, status in enumerate((503, 501, 200))))),
        *(DONE, "", {1: "status_501"}, {0}, 0),
    ),
    (GENERIC, 207, results(*({"id": str(n), "status": 429} for n in range(3))), RETRY, "", {}, set(), 0),
    (GENERIC, 207, {"ok": True}, FINAL, "in its response, it has no list at 'results'", {}, set(), 0),
    (LISTED, 200, {"failed": ["2"]}, DONE, "", {2: "refused"}, set(), 0),
    (GENERIC, 422, None, FINAL, "", {}, set(), 0),
]


@pytest.mark.parametrize(("settings", "status", "content", "outcome", "detail", "refused", "again", "unnamed"), ANSWERS)
def test_a_response_says_what_became_of_members(
    settings: AudiencesForm, status: int, content: Any, outcome: Outcome, detail: str, refused: dict[int, str],
    again: set[int], unnamed: int,
) -> None:  # fmt: skip
    members = [{"id": str(number), "email": f"e{number}"} for number in range(3)]
    found = read_answer(settings, status, content, members)
    assert (found.verdict.outcome, found.detail) == (outcome, detail)
    assert (found.refused, found.again, found.unnamed) == (refused, again, unnamed)


SCENARIO = """\
scenario: vip
trigger: segment
subscription: {audience: Ads}
steps:
  - {audience: vip-buyers, id: join, to: meta}
  - {audience: vip-buyers, id: leave, to: meta, op: remove}
  - {audience: vip-buyers, id: lost, to: wax}
"""
DESTINATIONS = """\
destinations:
  meta: {url: https://a.example, audiences: {preset: meta, ids: {vip-buyers: "1"}}}
  wax: {url: https://b.example}
"""
# Rules for messages, of which this step is none.
POLICIES: dict[str, Any] = {
    "quiet_hours": {"from": "00:00", "to": "23:59", "days_off": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]},
    "caps": [{"name": "none", "at_most": 1, "per": "24h"}],
}
AGREED = [{"id": 53, "name": "Ads"}]
AGREEING = {"email": "zoe@example.com", "lists": AGREED}
Change = Callable[..., Awaitable[Sent]]


@pytest.fixture
async def change(store: Store, tmp_path: Path) -> Change:
    destinations = tmp_path / "destinations.yaml"
    destinations.write_text(DESTINATIONS)
    await publish(store, SCENARIO)
    content = Content(store)
    gate = PolicyGate(content, store, lambda: Policies.model_validate(POLICIES), None)
    given = {"routes": Direct(DestinationsFile(destinations)), "memberships": MembershipBook(store)}
    memberships = ChannelActivity[None](AUDIENCE, worker_context(content, Rows(), gate=gate, **given))
    delivery = Delivery(id="msg_1", scenario="vip@1", contact="7", decided=datetime(2026, 3, 3, tzinfo=UTC).timestamp())

    async def run(step: str, **contact: Any) -> Sent:
        wanted = replace(delivery, step=step, data={"contact": contact})
        return await Marks().environment().run(sending_activity(memberships), wanted)

    return run


async def test_a_change_is_recorded_whatever_the_rules_for_messages_say(change: Change, store: Store) -> None:
    assert await change("join", **AGREEING) == Sent(status=202, attempt=1)
    assert await change("join", **AGREEING) == Sent(status=202, attempt=1)
    [counts] = await store.audience_counts()
    assert (counts.destination, counts.audience, counts.waiting) == ("meta", "vip-buyers", 1)
    assert await change("leave") == Sent(status=202, attempt=1, note=NO_MEMBER)
    assert await store.audience_counts() == []


@pytest.mark.parametrize(
    ("contact", "reason"),
    [
        ({**AGREEING, "lists": []}, "no consent: the contact is not on the list Ads"),
        ({**AGREEING, "email": "zoe@"}, "the contact's e-mail address is malformed, and meta could not recognise it"),
        ({"lists": AGREED}, "the contact has no e-mail address and no telephone number"),
    ],
)
async def test_who_cannot_be_added_is_skipped(change: Change, store: Store, contact: Any, reason: str) -> None:
    assert await change("join", **contact) == Sent(outcome="skipped", attempt=1, reason=reason)
    assert await store.audience_counts() == []


async def test_a_destination_without_audiences_holds_the_step(change: Change) -> None:
    with pytest.raises(ApplicationError) as caught:
        await change("lost", **AGREEING)
    failure = failure_of(caught.value)
    assert failure is not None
    assert (failure.kind, failure.reason) == (
        FailureKind.UNCONFIGURED,
        "Destination 'wax' has no audiences: add 'audiences' to it in destinations.yaml",
    )


@pytest.mark.parametrize(
    ("path", "body", "arrived"),
    [
        ("/list", {"op": "add", "members": [{"id": "8"}, {"id": "7"}]}, True),
        ("/list", {"op": "add", "members": [{"id": "8"}]}, False),
        ("/list", {"op": "remove", "members": [{"id": "7"}]}, False),
        ("/other", {"op": "add", "members": [{"id": "7"}]}, False),
    ],
)
async def test_a_case_expects_the_member_at_the_local_receiver(path: str, body: dict[str, Any], arrived: bool) -> None:
    request = SimpleNamespace(path=path, body=json.dumps(body).encode())
    wax = SimpleNamespace(url="http://127.0.0.1:1/list")
    routes = SimpleNamespace(named={"wax": wax}.__getitem__)
    receiver = SimpleNamespace(requests=lambda: [request])
    servers = LocalServers(cast("Inbox", None), cast("Receiver", receiver), cast("Routes", routes))
    step = Audience.model_validate({"audience": "vip-buyers", "to": "wax"})
    found = await ADAPTER.verify(servers, "join", step, {"contact": {"id": 7}}, "msg_1")
    assert (found.to, found.what, found.problem) == (
        "wax",
        '{"id": "7"}',
        "" if arrived else "the receiver did not get the member",
    )
