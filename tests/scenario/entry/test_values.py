"""A platform's values come in many forms and go out in one."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from scenario.dates import DateOrder
from scenario.entry import values
from scenario.entry.entry import clean, parse_entry, patch_contact
from scenario.errors import EntryError

PARIS = {values.PLATFORM: values.PlatformDates("Europe/Paris")}

READ: tuple[tuple[Any, Any, Any], ...] = (
    (values.Id, 3028687, "3028687"), (values.Id, 3028687.0, "3028687"), (values.Id, " a-1 ", "a-1"),
    (values.Id, 2**70, str(2**70)), (values.Id, "", None), (values.Id, "  ", None), (values.Id, None, None),
    (values.Id, 0, "0"), (values.Text, "Zoé", "Zoé"), (values.Text, "", ""), (values.Text, 12, "12"),
    (values.Text, 1.5, "1.5"), (values.Text, None, None), (values.Number, "12", 12), (values.Number, "-7", -7),
    (values.Number, " 39.90 ", 39.9), (values.Number, ".5", 0.5), (values.Number, "5.", 5.0),
    (values.Number, "1e3", 1000.0), (values.Number, 52, 52), (values.Number, 0, 0), (values.Number, "", None),
    (values.Number, None, None), (values.Flag, True, True), (values.Flag, "1", True), (values.Flag, 0, False),
    (values.Flag, "False", False), (values.Flag, "yes", True), (values.Flag, "", None), (values.Flag, None, None),
    (values.Moment, "2026-07-15 18:45:00", "2026-07-15T18:45:00+02:00"), (values.Moment, "2026-01-15", "2026-01-15"),
    (values.Moment, "2026-07-15T18:45:00Z", "2026-07-15T18:45:00+00:00"),
    (values.Moment, 1774771200, "2026-03-29T08:00:00+00:00"), (values.Moment, "0000-00-00 00:00:00", None),
    (values.Moment, "", None), (values.Moment, 0, None), (values.Moment, None, None), (values.Custom, None, {}),
    (values.Custom, [], {}), (values.Custom, {"vip": True, "n": None}, {"vip": True, "n": None}),
)  # fmt: skip


@pytest.mark.parametrize(("kind", "given", "clean"), READ, ids=lambda value: repr(value)[:20])
def test_a_value_is_brought_into_one_form(kind: Any, given: Any, clean: Any):
    read = TypeAdapter[Any](kind).validate_python(given, context=PARIS)
    assert read == clean
    assert type(read) is type(clean)


REFUSED: tuple[tuple[Any, Any, str], ...] = (
    (values.Id, True, "an id must be text or a whole number"),
    (values.Id, 1.5, "an id must be text or a whole number"),
    (values.Id, ["a"], "an id must be text or a whole number"),
    (values.Id, "a\nb", "an id cannot hold control characters"),
    (values.Id, "a\ud800", "an id cannot hold control characters"), (values.Text, True, "must be text"),
    (values.Text, {}, "must be text"),
    (values.Number, "1 234,50", "must be a number, with a point before its decimals"),
    (values.Number, "12€", "must be a number"), (values.Number, "1_000", "must be a number"),
    (values.Number, "٣", "must be a number"), (values.Number, "nan", "must be a number"),
    (values.Number, "1e999", "must be a finite number"), (values.Number, float("inf"), "must be a finite number"),
    (values.Number, True, "must be a number"), (values.Flag, "perhaps", "must be true or false"),
    (values.Flag, 2, "must be true or false"), (values.Moment, "soon", "a date cannot be read"),
    (values.Moment, True, "must be a date"), (values.Moment, 1.5, "must be a date"),
    (values.Moment, {"date": "2026-01-01"}, "must be a date"),
    (values.Custom, "vip", "custom fields must be a list or a mapping"),
    (values.Custom, ["vip"], "a custom field must be an object with 'name' and 'value'"),
    (values.Custom, [{"value": 1}], "a custom field needs a 'name'"),
)  # fmt: skip


@pytest.mark.parametrize(("kind", "given", "sentence"), REFUSED, ids=lambda value: repr(value)[:20])
def test_what_cannot_be_meant_is_refused_without_quoting_it(kind: Any, given: Any, sentence: str):
    with pytest.raises(ValidationError) as caught:
        TypeAdapter[Any](kind).validate_python(given, context=PARIS)
    (error,) = caught.value.errors()
    message = error["msg"].removeprefix("Value error, ")
    assert message.startswith(sentence)
    assert str(given) not in message


CUSTOM: tuple[tuple[Any, str, Any], ...] = (
    ("12", "integer", 12), ("39.90", "float", 39.9), ("", "integer", None), ("twelve", "integer", "twelve"),
    ("1", "boolean", True), ("", "boolean", None), ("maybe", "boolean", "maybe"),
    ("1987-03-02", "date", "1987-03-02"), ("1987-03-02 10:00:00", "date", "1987-03-02"), ("0000-00-00", "date", None),
    ("02/03/1987", "date", "02/03/1987"), (12, "date", 12),
    ("2026-07-15 18:45:00", "datetime", "2026-07-15T18:45:00+02:00"),
    ("1774771200", "datetime", "2026-03-29T08:00:00+00:00"), ("0000-00-00 00:00:00", "datetime", None),
    ("mme", "string", "mme"), ("mme", "", "mme"), (["a"], "list", ["a"]), (None, "integer", None),
)  # fmt: skip


@pytest.mark.parametrize(("value", "data_type", "clean"), CUSTOM)
def test_a_custom_field_has_its_data_type_or_stays_as_it_came(value: Any, data_type: str, clean: Any):
    row = {"id": 0, "name": "field", "value": value, "data_type": data_type}
    assert TypeAdapter[Any](values.Custom).validate_python([row], context=PARIS) == {"field": clean}


def test_a_custom_field_without_a_name_goes_by_its_number():
    rows = [{"id": 7, "value": "a"}, {"id": 8, "name": "", "value": "b"}, {"name": 9, "value": "c", "data_type": None}]
    assert TypeAdapter[Any](values.Custom).validate_python(rows) == {"c7": "a", "c8": "b", "9": "c"}


def test_dates_without_a_zone_are_utc_where_none_is_given():
    assert TypeAdapter[Any](values.Moment).validate_python("2026-07-15 18:45:00") == "2026-07-15T18:45:00+00:00"


@pytest.mark.parametrize(
    ("order", "text", "read"),
    [
        ("dmy", "04/03/2030", "2030-03-04"),
        ("mdy", "04/03/2030", "2030-04-03"),
        ("dmy", "04-03-2030", "2030-03-04"),
        ("mdy", "4.3.2030", "2030-03-04"),
        ("dmy", "04/03/2030 10:00", "2030-03-04T10:00:00+01:00"),
        ("mdy", "04/03/2030 10:00", "2030-04-03T10:00:00+02:00"),
        (None, "13/04/2030", "2030-04-13"),
        (None, "29.03.2030", "2030-03-29"),
    ],
)
def test_dates_of_the_platform_are_read_in_its_order(order: DateOrder | None, text: str, read: str) -> None:
    platform = values.PlatformDates("Europe/Paris", order)
    entry = {
        "scenario": "a",
        "contact": {"id": 1, "creation_date": text, "custom": {"birthday": text}},
        "trigger": {
            "type": "order",
            "order": {"ordered_at": text, "custom_fields": [typed(text, "date"), typed(text)]},
        },
    }
    data = clean(parse_entry(entry), platform)
    assert data["contact"]["creation_date"] == data["order"]["ordered_at"] == read
    assert data["order"]["custom"] == {"date": read[:10], "plain": read if order and "." not in text else text}
    assert data["contact"]["custom"] == {"birthday": read if order and "." not in text else text}
    assert patch_contact({}, {"custom": {"birthday": text}}, platform)["custom"] == data["contact"]["custom"]


def typed(text: str, data_type: str | None = None) -> dict[str, Any]:
    return {"name": data_type or "plain", "value": text, "data_type": data_type}


@pytest.mark.parametrize(
    ("order", "text", "problem"),
    [
        (None, "04/03/2030", "begin with its day or its month"),
        ("dmy", "04/03/30", "year of two digits"),
        ("mdy", "13/04/2030", "cannot be read"),
    ],
)
def test_other_dates_of_the_platform_are_refused(order: DateOrder | None, text: str, problem: str) -> None:
    platform = values.PlatformDates("Europe/Paris", order)
    entry = {"scenario": "a", "contact": {"id": 1, "creation_date": text}, "trigger": {"type": "birthday"}}
    with pytest.raises(EntryError, match=f"'creation_date' of contact: .*{problem}"):
        clean(parse_entry(entry), platform)
    kept = {"custom_fields": [typed(text, "date"), typed(text)]}
    assert patch_contact({}, kept, platform)["custom"] == {"date": text, "plain": text}


@pytest.mark.parametrize("text", ["04/03/2030 was a Monday", "4/3", "1/2/3", "10:00", "04/03/2030/5", "a 04/03/2030"])
def test_other_texts_in_custom_fields_stay(text: str) -> None:
    platform = values.PlatformDates("Europe/Paris", "dmy")
    assert patch_contact({}, {"custom": {"note": text, "number": 7}}, platform)["custom"] == {"note": text, "number": 7}
    typed_as_text = {"custom_fields": [{"name": "note", "value": "04/03/2030", "data_type": "string"}]}
    assert patch_contact({}, typed_as_text, platform)["custom"] == {"note": "04/03/2030"}


def test_dates_of_events_are_not_read_in_the_order_of_the_platform() -> None:
    event = {"name": "a.b", "time": "13/04/2030 10:00", "properties": {"day": "04/03/2030"}}
    entry = {"scenario": "a", "contact": {"id": 1}, "trigger": {"type": "event", "event": event}}
    data = clean(parse_entry(entry), values.PlatformDates("Europe/Paris", "mdy"))
    assert (data["event"]["time"], data["event"]["properties"]["day"]) == ("2030-04-13T10:00:00+02:00", "04/03/2030")
    event["time"] = "04/03/2030"
    with pytest.raises(EntryError, match="begin with its day or its month"):
        clean(parse_entry(entry), values.PlatformDates("Europe/Paris", "mdy"))
