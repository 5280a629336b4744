"""`destinations.yaml`: what it says, every mistake at its line and column, and edits while a worker runs."""

import logging
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path

import pytest
from trustme import CA

from activities.webhook.circuit_breaker import BreakerLimits
from activities.webhook.destinations.destinations import Destination, Destinations
from activities.webhook.destinations.form import SigningForm
from activities.webhook.destinations.reading import DestinationsFile, examine, read
from activities.webhook.http.exchange import Tls
from activities.webhook.limiter import Limits
from runtime.errors import SettingsError
from runtime.watched_file import UnusableFile
from scenario.http.urls import Access
from tests.factories import present
from tests.fakes import Clock

NOW = datetime(2026, 11, 1, tzinfo=UTC)
KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
WHOLE = """
default:
  rate: 120/m
  concurrency: 30
  breaker: {failures: 50%, minimum: 4, window: 1m, pause: 10s}
destinations:
  wax:
    url: https://api.wax.example/v1/
    headers: {Authorization: "Bearer {{ secrets.WAX_TOKEN }}", X-House: one}
    signing: [{key: WAX_KEY}, {key: WAX_KEY_OLD, until: 2026-12-01T00:00:00Z}]
    timeout: 12s
    retry: {initial_interval: 2s, backoff_coefficient: 2, maximum_interval: 1h, deadline: 1d, maximum_attempts: 5}
    rate: 0.5/s
    concurrency: 3
    breaker: off
    allow_private: true
    allow_cidr: [10.1.0.0/16, "fd00::/8"]
    allow_http: true
    ports: [443, 8443]
  plain:
    url: https://plain.example
"""


Say = Callable[[str], list[str]]
Written = Callable[[str], Path]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    def write(text: str) -> Path:
        path = tmp_path / "destinations.yaml"
        path.write_text(text, "utf-8")
        return path

    return write


@pytest.fixture
def said(written: Written) -> Say:
    def check(text: str) -> list[str]:
        path = written(text)
        return [str(finding).removeprefix(f"{path}:") for finding in examine(path, now=NOW).findings]

    return check


def test_every_key_of_a_good_file(written: Written):
    path = written(WHOLE)
    default = Limits(30, BreakerLimits(0.5, 4, 60.0, 10.0))
    assert read(path).rates == {"wax": 0.5}, "only rates of their own are told to the server"
    assert read(path) == Destinations(
        destinations={
            "wax": Destination(
                name="wax",
                url="https://api.wax.example/v1",
                headers={"Authorization": "Bearer {{ secrets.WAX_TOKEN }}", "X-House": "one"},
                header_secrets=("WAX_TOKEN",),
                signing=(
                    SigningForm(key="WAX_KEY"),
                    SigningForm.model_validate({"key": "WAX_KEY_OLD", "until": "2026-12-01T00:00:00Z"}),
                ),
                timeout=12.0,
                retry={"initial": 2.0, "coefficient": 2.0, "maximum": 3600.0, "deadline": 86400.0, "attempts": 5.0},
                rate=0.5,
                limits=Limits(3, None),
                access=Access(
                    allow_private=True,
                    allow_cidr=(ip_network("10.1.0.0/16"), ip_network("fd00::/8")),
                    allow_http=True,
                    ports=(443, 8443),
                ),
            ),
            "plain": Destination(name="plain", url="https://plain.example", rate=2.0, limits=default),
        },
        rate=2.0,
        limits=default,
    )


def test_defaults_and_spellings(written: Written):
    book = read(written("destinations: {a: {url: https://a.example}, b: {url: http://b.example, allow_http: true}}\n"))
    assert [book.destinations[name].access.ports for name in "ab"] == [(443,), (443, 80)], "as is allowed"
    signing = 'signing: [{key: A}, {key: B, until: "2026-12-01T01:00:00+01:00"}], headers: {Authorization: plain}'
    assert present(read(written(ENTRY % signing)).get("a")).signing[1].until == datetime(2026, 12, 1, tzinfo=UTC)
    assert (
        read(written("destinations: {}\n"))
        == Destinations()
        == Destinations(destinations={}, rate=100.0, limits=Limits(50, BreakerLimits()))
    )


ENTRY = "destinations: {a: {url: https://a.example, %s}}\n"
"""A file with one destination; columns count from 44 where its further keys begin."""


MISTAKES = Path(__file__).with_name("mistakes.txt").read_text("utf-8").splitlines()
"""Keys of an entry, each followed by its finding."""


@pytest.mark.parametrize(("more", "finding"), list(zip(MISTAKES[::2], MISTAKES[1::2], strict=True)))
def test_a_mistake_is_named_at_its_place(said: Say, more: str, finding: str):
    assert said(ENTRY % more) == [finding.strip()]


PLAIN = "it is plain text, with secrets such as {{ secrets.NAME }}: a scenario adds to it by its 'path'"


@pytest.mark.parametrize(
    ("url", "more", "reason"),
    [
        ("http://a.example", "", "its scheme is not https: set 'allow_http: true' if it is meant"),
        ("ftp://a.example", ", allow_http: true", "its scheme is not https or http"),
        ("https://user:pw@a.example", "", "it holds a user name before the host; credentials go into a header"),
        ("https://a.example/?a=1", "", "it has no query: a scenario adds to it by its 'path'"),
        ("https://a.example/{{ contact.id }}", "", PLAIN),
        ("https://{{ secrets.A }}/b", "", "a secret stands behind its host, as a part of its path"),
        ("https://10.0.0.1/{{ secrets.A }}", "",
         "its address may not be called: set 'allow_private: true' if it is meant"),
        ("https://a.example:8443", "", "port 8443 is not among 'ports'"),
        ("https://169.254.169.254", ", allow_private: true", "its address may not be called, whatever is allowed"),
        ("https://[64:ff9b::8.8.8.8]", ", allow_private: true",
         "its address may not be called: name its network in 'allow_cidr' if it is meant"),
        ("https://2130706433", "", "its host looks like an address, but is not one in its usual form"),
        ("https://localhost", "", "its host is a name that only leads inside a network"),
        ("https://a.example/../b", "", "its path holds a '.' or '..' segment"),
        ("a.example", "", "it is not an absolute URL without a fragment, like https://host/path"),
    ],
)  # fmt: skip
def test_a_base_url_is_judged_as_a_delivery_s_would_be(said: Say, url: str, more: str, reason: str):
    assert said(f'destinations: {{a: {{url: "{url}"{more}}}}}\n') == [
        f"1:25: error url: 'url' cannot be used: {reason}"
    ]


@pytest.mark.parametrize("url", ["https://127.0.0.1/{{secrets.A}}", "https://localhost", "https://10.0.0.1/x"])
def test_a_private_base_url_is_for_operations_to_allow(said: Say, url: str):
    assert said(f'destinations: {{a: {{url: "{url}", allow_private: true}}}}\n') == []


@pytest.mark.parametrize("key", ["allow_private: true", "allow_cidr: [10.0.0.0/8]", "allow_http: true", "ports: [80]"])
def test_what_is_allowed_is_allowed_to_one_destination_and_not_to_all(said: Say, key: str):
    name = key.partition(":")[0]
    assert said(f"default: {{{key}}}\n") == [
        f"1:11: error unknown-key: unknown key '{name}': "
        "the keys here are rate, concurrency, breaker and public_secrets"
    ]


@pytest.mark.parametrize("name", ["Wax", "wax_one", "-wax", "w x", "a" * 65, "wax.example"])
def test_a_name_that_no_scenario_can_write(said: Say, name: str):
    [finding] = said(f'destinations: {{"{name}": {{url: "https://a.example"}}}}\n')
    assert finding.startswith("1:16: error name: ")


@pytest.mark.parametrize(
    ("text", "findings"),
    [
        ("", ["1:1: error empty: the file is empty: begin with 'destinations:'"]),
        ("destinations:\n", ["1:14: error empty: 'destinations' is empty: give it a value, or remove it"]),
        ("destinations: {a: }\n", ["1:18: error empty: 'a' is empty: give it a value, or remove it"]),
        ("destinations: {a: {rate: 1/s}}\n", ["1:16: error missing: 'url' is missing here"]),
        ("destination: {}\n", ["1:1: error unknown-key: unknown key 'destination': did you mean 'destinations'?"]),
        ("destinations: {a: {url: 1}\n", None),
        ("destinations: {a: {url: 'https://a.example', audiences: {preset: generic, region: fr}}}\n",
         ["1:83: error value: 'fr' is not a country: write its two capital letters, such as FR"]),
        ("destinations: {}\n---\ndestinations: {}\n", ["2:1: error syntax: the file continues after '---': put all "
         "destinations under the one 'destinations:'"]),
        ("destinations: [" + "a, " * 20_000 + "a]\n", ["1:60007: error too-large: more than 20,000 values: "
         "remove unused destinations"]),
        ("destinations:\n  a: {url: https://a.example}\n  a: {url: https://b.example}\n",
         ["3:3: error duplicate-key: 'a' is here twice: first on line 2"]),
        ("destinations: {a: {<<: {rate: 5/s}, url: https://a.example}}\n",
         ["1:20: error unknown-key: unknown key '<<': the keys here are rate, concurrency, breaker, url, headers, "
          "signing, secrets, owners, auth, timeout, retry, tls, suppressions, audiences, allow_private, allow_cidr, "
          "allow_http and ports"]),
    ],
)  # fmt: skip
def test_a_file_that_is_no_such_file(said: Say, text: str, findings: list[str] | None):
    found = said(text)
    assert found == findings if findings is not None else ": error syntax: " in found[0]


def test_no_finding_quotes_what_may_be_a_secret(said: Say):
    entries = (
        f"signing: {KEY}",
        f"signing: [{{{KEY}: 1}}]",
        f"signing: [{{key: {KEY}}}]",
        f"signing: [{{key: A, until: {KEY}}}]",
        f"headers: {KEY}",
        f"headers: {{X-A: [{KEY}]}}",
        f"headers: {{X-A: {{a: {KEY}}}}}",
        f"headers: {{X-A: 'Bearer {{{{ {KEY} }}}}'}}",
        f"headers: {{X-A: '{{{{ secrets.A | {KEY} }}}}'}}",
        f"headers: {{X-A: '{{% {KEY} %}}'}}",
        f"headers: {{X-A: !{KEY} a}}",
        f"headers: {{X-A: !!int {KEY}}}",
        f"headers: {{X-A: *{KEY}}}",
        f"secrets: {KEY}",
        f"secrets: [{KEY}]",
        f"secrets: [{{{KEY}: 1}}]",
        f"secrets: {{{KEY}: 1}}",
    )
    anywhere = (KEY, f"[{KEY}]", f"[[{KEY}]]", f"{{{KEY}: 1}}")
    texts = (*(ENTRY % more for more in entries), *(f"default: {{public_secrets: {more}}}\n" for more in anywhere))
    for text in texts:
        findings = said(text)
        assert findings
        assert not any(KEY in finding for finding in findings), text


def test_a_secret_that_signs_is_granted_to_no_scenario(said: Say):
    sentence = "signs: whoever has it can sign in our name, so that no scenario may send it"
    assert said(
        "default: {public_secrets: [A, SIGN]}\n"
        "destinations:\n"
        "  a: {url: https://a.example, signing: [{key: SIGN}]}\n"
        "  b: {url: https://b.example, secrets: [B, SIGN]}\n"
    ) == [f"1:31: error secret: the secret SIGN {sentence}", f"4:44: error secret: the secret SIGN {sentence}"]


def test_owners_are_names_of_scenarios(said: Say, written: Written):
    for wrong in ("[]", "[A b]", "sale", "[1]"):
        findings = said(ENTRY % f"owners: {wrong}")
        assert findings, wrong
        assert "owners" in findings[0] or "name" in findings[0], wrong
    assert read(written(ENTRY % "owners: [sale, post-purchase]")).listing.destinations["a"].owners == {
        "sale",
        "post-purchase",
    }


def test_the_worker_s_sentence_names_the_line_and_how_to_see_more(written: Written):
    path = written("destinations:\n  a: {url: http://a.example, rate: 5}\n  b: {url: https://a.example, tmeout: 5s}\n")
    with pytest.raises(UnusableFile) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}:2: a rate is a number of deliveries")
    assert str(caught.value).endswith(f" (and 1 more: see 'scenario destinations {path}')")
    assert [finding.line for finding in caught.value.findings] == [2, 3]


def test_a_file_that_is_not_there(tmp_path: Path):
    with pytest.raises(UnusableFile, match=r"SCENARIO_DESTINATIONS names .* cannot be read: no such file"):
        read(tmp_path / "none.yaml")


def test_tls_files_are_found_beside_the_file(written: Written, tmp_path: Path):
    authority = CA()
    client = authority.issue_cert("client@example.com")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    client.cert_chain_pems[0].write_to_path(tmp_path / "client.pem")
    client.private_key_pem.write_to_path(tmp_path / "client.key")
    path = written(ENTRY % "tls: {ca: ca.pem, certificate: client.pem, key: client.key}")
    assert present(read(path).get("a")).tls == Tls(
        *(str(tmp_path / name) for name in ("ca.pem", "client.pem", "client.key"))
    )


ONE = "destinations: {one: {url: https://one.example}}\n"
TWO = "destinations: {two: {url: https://two.example}}\n"
BAD = "destinations: {two: {ulr: https://two.example}}\n"


Edit = Callable[[Path, str], object]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "destinations.yaml"
    path.write_text(ONE)
    return path


def replace(path: Path, text: str) -> None:
    """As editors and Kubernetes do it."""
    other = path.with_name("new")
    other.write_text(text)
    other.replace(path)


def swap(path: Path, text: str) -> None:
    """As Kubernetes does it: the file is a link into a folder, which is a link to another folder, which is moved."""
    folder = path.with_name(f"..{len(list(path.parent.iterdir()))}")
    folder.mkdir()
    (folder / path.name).write_text(text)
    os.utime(folder / path.name, ns=(1, 1))
    (path.parent / "..next").symlink_to(folder.name)
    (path.parent / "..next").replace(path.parent / "..data")
    if not path.is_symlink():
        path.unlink()
        path.symlink_to(Path("..data") / path.name)


@pytest.mark.parametrize("edit", [Path.write_text, replace, swap], ids=["written over", "replaced", "another folder"])
def test_an_edit_is_in_use_at_the_second_look(file: Path, clock: Clock, edit: Edit):
    destinations = DestinationsFile(file, clock=clock, wall=lambda: 0.0)
    for text, names in ((TWO, ("two",)), (ONE, ("one",))):
        before, begin = destinations.book.names, clock.now
        edit(file, text)
        for later in (0, 0.9, 1.1, 2.0):
            clock.now = begin + later
            assert destinations.book.names == before
        clock.now = begin + 2.2
        assert destinations.book.names == names


def test_an_edit_of_long_ago_is_in_use_at_the_first_look(file: Path, clock: Clock):
    destinations = DestinationsFile(file, clock=clock, wall=lambda: time.time() + 3600)
    replace(file, TWO)
    clock.now = 3600
    assert destinations.book.names == ("two",)


def test_what_is_still_being_written_is_not_in_use(file: Path, clock: Clock, caplog: pytest.LogCaptureFixture):
    destinations = DestinationsFile(file, clock=clock, wall=lambda: 0.0)
    whole = "destinations:\n  one: {url: https://one.example}\n  two: {url: https://two.example}\n"
    for end in (0, 20, 30, 50, 60, 70, len(whole)):
        file.write_text(whole[:end])
        clock.now += 2
        assert destinations.book.names == ("one",)
    file.unlink()
    clock.now += 2
    assert destinations.book.names == ("one",)
    file.write_text(whole)
    for names in (("one",), ("one", "two")):
        clock.now += 2
        assert destinations.book.names == names
    assert [record.levelname for record in caplog.records if record.levelno > logging.INFO] == []


def test_a_bad_edit_is_told_once_and_the_last_good_one_stays(
    file: Path, clock: Clock, caplog: pytest.LogCaptureFixture
):
    destinations = DestinationsFile(file, clock=clock, wall=lambda: 0.0)
    before = destinations.book
    with caplog.at_level(logging.INFO):
        file.write_text(BAD)
        for clock.now in (2, 4, 6):
            assert destinations.book is before
        assert [record.levelname for record in caplog.records] == ["ERROR"]
        [message] = caplog.messages
        assert message == (
            f"{file}:1: 'url' is missing here (and 1 more: see 'scenario destinations {file}'); "
            "the earlier content stays in use"
        )
        file.write_text(TWO)
        for clock.now in (8, 10):
            names = destinations.book.names
        assert names == ("two",)
    assert caplog.messages[1:] == [f"{file} was read again: 1 destinations"]


def test_a_file_that_is_taken_away_and_put_back(file: Path, clock: Clock, caplog: pytest.LogCaptureFixture):
    destinations = DestinationsFile(file, clock=clock, wall=lambda: 0.0)
    file.unlink()
    for clock.now in (2, 4):
        assert destinations.book.names == ("one",)
    assert len(caplog.messages) == 1
    assert "cannot be read" in caplog.messages[0]
    file.write_text(TWO)
    for clock.now, names in ((6, ("one",)), (8, ("two",))):
        assert destinations.book.names == names


def test_what_says_the_same_is_the_same_book(file: Path, clock: Clock):
    destinations = DestinationsFile(file, clock=clock, wall=lambda: 0.0)
    before = destinations.book
    file.write_text("# a comment\n" + ONE)
    for clock.now in (2, 4):
        assert destinations.book is before


@pytest.mark.parametrize("text", [BAD, "", "null", "destinations: [", None])
def test_a_worker_does_not_start_with_a_bad_file(file: Path, text: str | None):
    if text is None:
        file.unlink()
    else:
        file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        DestinationsFile(file)
    assert isinstance(caught.value, UnusableFile)
    assert "\n" not in str(caught.value)


def test_without_a_file_there_are_no_destinations(clock: Clock):
    destinations = DestinationsFile(clock=clock)
    clock.now = 100
    assert (destinations.configured, destinations.book.names, destinations.book) == (False, (), Destinations())


def test_what_was_in_the_way_of_an_edit_may_come_to_an_end_without_another(
    file: Path, clock: Clock, caplog: pytest.LogCaptureFixture
):
    """A certificate is often put in place after the file that names it."""
    destinations = DestinationsFile(file, clock=clock, wall=lambda: 0.0)
    file.write_text("destinations: {one: {url: https://one.example, tls: {ca: ca.pem}}}\n")
    for clock.now in (2, 4, 15, 26):
        assert present(destinations.book.get("one")).tls.ca_file is None
    assert len(caplog.messages) == 1, "it is told once"
    CA().cert_pem.write_to_path(file.with_name("ca.pem"))
    clock.now = 37
    assert present(destinations.book.get("one")).tls.ca_file == str(file.with_name("ca.pem"))
