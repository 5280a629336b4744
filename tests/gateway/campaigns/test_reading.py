"""Files that a child process reads, fed in parts of any size."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.campaigns.reading import AudienceReading, read_audience
from gateway.campaigns.survey import AudienceEntry, Survey
from gateway.errors import BadInput
from scenario.model.document import document
from scenario.model.scenario import Scenario

SALE = document(
    Scenario.model_validate({"scenario": "sale", "trigger": "segment", "steps": [{"sms": "a", "text": "b"}]})
)


async def read(name: str, content: bytes, **given: Any) -> tuple[list[int], list[AudienceEntry], Survey]:
    """The number of lines in each answer, the lines, and the survey."""
    reading = AudienceReading(document=SALE, version=1, campaign="advent", zone="Europe/Paris", file=name, **given)
    numbers, lines = list[int](), list[AudienceEntry]()

    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 97):
            yield content[start : start + 97]

    async for answer in read_audience(reading, parts()):
        if isinstance(answer, Survey):
            return numbers, lines, answer
        numbers.append(len(answer))
        lines += answer
    raise AssertionError


async def test_all_lines_arrive_in_their_order_with_the_survey_at_the_end() -> None:
    rows = "".join(f"{n}\n" for n in range(500)) + ",\n" * 300 + '7\n"\n'
    numbers, lines, survey = await read("people.csv.gz", gzip.compress(f"contact.id\n{rows}".encode()))
    assert max(numbers) <= 200
    assert [line.line for line in lines] == [*range(2, 502), 802, 803]
    assert lines[499] == AudienceEntry(
        501,
        "499",
        {"scenario": "sale@1", "key": "advent", "contact": {"id": "499"}, "trigger": {"type": "segment"}},
        "sale/499/advent",
    )
    assert [line.outcome for line in lines[500:]] == ["duplicate", "invalid"]
    assert (survey.lines, survey.entries, survey.duplicates, survey.invalid) == (502, 500, 1, 1)


async def test_a_file_that_cannot_be_used_is_refused_with_its_name() -> None:
    with pytest.raises(BadInput, match=r"^people\.csv\.gz is damaged: it cannot be decompressed"):
        await read("people.csv.gz", gzip.compress(b"contact.id\n1\n")[:-9])


async def test_a_mistake_in_the_program_ends_the_reading_with_a_sentence() -> None:
    with pytest.raises(BadInput, match=r"^people\.csv cannot be read \(ValueError\): save it as CSV in UTF-8$"):
        await read("people.csv", b"contact.id\n1\n", local_start="never")
