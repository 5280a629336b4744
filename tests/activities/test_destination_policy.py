"""What a journey is told about a destination before it schedules a webhook."""

from pathlib import Path

from temporalio.testing import ActivityEnvironment

from activities.interface import DestinationPolicy, DestinationPolicyRequest
from activities.retry import DestinationPolicies
from activities.webhook.destinations.reading import DestinationsFile
from scenario.plan.retry import STORED

TEXT = """
destinations:
  wax:
    url: https://wax.example
    timeout: 12s
    retry: {initial_interval: 2s, backoff_coefficient: 2, maximum_interval: 1h, deadline: 1d, maximum_attempts: 5}
  some: {url: https://some.example, retry: {deadline: 1d}}
  none: {url: https://none.example}
"""


async def told(destinations: DestinationsFile, name: str, shards: int = 1) -> DestinationPolicy:
    return await ActivityEnvironment().run(
        DestinationPolicies(destinations, shards).clear, DestinationPolicyRequest(destination=name)
    )


async def test_a_destination_asks_for_what_its_file_sets_and_for_nothing_else(tmp_path: Path):
    path = tmp_path / "destinations.yaml"
    path.write_text(TEXT)
    destinations = DestinationsFile(path)
    wax = await told(destinations, "wax")
    assert wax == DestinationPolicy(
        retry={"initial": 2.0, "coefficient": 2.0, "maximum": 3600.0, "deadline": 86400.0, "attempts": 5.0},
        timeout=12.0,
    )
    assert set(wax.retry) == set(STORED.values())
    assert await told(destinations, "some") == DestinationPolicy(retry={"deadline": 86400.0})
    assert await told(destinations, "none") == DestinationPolicy()


async def test_one_that_nobody_knows_asks_for_nothing():
    assert await told(DestinationsFile(), "wax") == DestinationPolicy()


async def test_with_several_queues_each_destination_has_one(tmp_path: Path):
    path = tmp_path / "destinations.yaml"
    path.write_text(TEXT)
    found = [await told(DestinationsFile(path), name, 3) for name in ("some", "none", "unknown")]
    assert [policy.queue for policy in found] == ["webhooks-1", "webhooks-2", "webhooks-2"]
    assert found[0].retry == {"deadline": 86400.0}
