"""The time left of each certificate that a worker is set up with."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from pydantic import SecretStr
from temporalio.client import Client
from temporalio.service import TLSConfig

from activities.dependencies import certificates_of
from activities.webhook.destinations.destinations import Destinations
from activities.webhook.destinations.reading import DestinationsFile
from runtime.certificates import measuring_certificates, temporal_certificates
from runtime.settings import Settings
from runtime.telemetry import metrics
from tests.fakes import RefusingService
from tests.measured import now

NOW = datetime.now(UTC)
DESTINATIONS = """
wax:
  url: https://wax.example.com
  tls: {ca: ca.pem, certificate: client.pem, key: client.key}
"""


def left() -> dict[tuple[object, ...], float]:
    return {labels: round(seconds / 86_400) for labels, (seconds, _) in now(metrics.CERTIFICATE_LEFT).items()}


@pytest.fixture
def book(tmp_path: Path) -> Destinations:
    authority = trustme.CA()
    certificate = authority.issue_cert("client.example.com", not_after=NOW + timedelta(days=20))
    certificate.private_key_pem.write_to_path(tmp_path / "client.key")
    for pem in certificate.cert_chain_pems:
        pem.write_to_path(tmp_path / "client.pem", append=True)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    (tmp_path / "destinations.yaml").write_text(f"destinations:{DESTINATIONS.replace(chr(10), chr(10) + '  ')}\n")
    return DestinationsFile(tmp_path / "destinations.yaml").book


def test_the_days_left_are_measured_by_use(tmp_path: Path, book: Destinations) -> None:
    authority, later = trustme.CA(), trustme.CA()
    short = authority.issue_cert("here", not_after=NOW + timedelta(days=2)).cert_chain_pems[0].bytes()
    long = later.issue_cert("here", not_after=NOW + timedelta(days=300)).cert_chain_pems[0].bytes()
    (tmp_path / "smtp.pem").write_bytes(short + long)  # of two authorities one is enough
    settings = Settings(smtp=SecretStr(f"smtps://mail.example.com?ca={tmp_path / 'smtp.pem'}"))
    service = RefusingService()
    service.config = replace(service.config, tls=TLSConfig(client_cert=long + short, client_private_key=b"key"))
    temporal = Client(service)
    with measuring_certificates(lambda: {**temporal_certificates(temporal), **certificates_of(settings, book)}):
        found = left()
        assert found.pop(("ca", "wax")) > 300
        assert found == {("client", "wax"): 20, ("smtp_ca", None): 300, ("temporal_client", None): 2}
    assert left() == {}


def test_a_file_that_cannot_be_read_is_told_once_and_hides_no_other(
    tmp_path: Path, book: Destinations, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    (tmp_path / "ca.pem").write_text("nothing")
    with measuring_certificates(lambda: certificates_of(Settings(), book)):
        for _ in range(2):
            assert left() == {("client", "wax"): 20}
    assert caplog.messages == ["the certificate ca of wax cannot be measured (ValueError)"]


def test_without_tls_there_is_nothing_to_measure() -> None:
    assert temporal_certificates(Client(RefusingService())) == {}
    assert certificates_of(Settings(), DestinationsFile(None).book) == {}
