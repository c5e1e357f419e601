from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from flow_engine.nodes.text_formats import format_csv, format_xml, parse_csv, parse_xml
from tests.unit.nodes.contexts import completed, config, failed

BERLIN = "Europe/Berlin"


@pytest.mark.parametrize(
    ("kind", "options", "text", "value"),
    [
        ("json", {}, '{"n": 9007199254740993}', {"n": 2**53 + 1}),
        ("jsonLines", {}, '1\n\n{"a": "\u2028"}\n', [1, {"a": "\u2028"}]),
        ("csv", {}, "id,name\r\n1,Ada\r\n\r\n2\r\n", [{"id": "1", "name": "Ada"}, {"id": "2"}]),
        ("csv", {}, "\ufeffid\n1\n", [{"id": "1"}]),
        ("csv", {"delimiter": ";", "header": False}, 'a;"b;""c"""\n', [["a", 'b;"c"']]),
        ("csv", {}, "", []),
        ("base64", {}, "aMO8\n ", "hü"),
        ("query", {}, "?a=1&b=x+y&a=%C3%BC&c=", {"a": ["1", "ü"], "b": "x y", "c": ""}),
        (
            "date",
            {},
            "2026-03-29T01:30:00.5+01:00",
            {
                "utc": "2026-03-29T00:30:00.500000Z",
                "epochMs": 1774744200500,
                "date": "2026-03-29",
                "time": "00:30:00.500000",
                "weekday": 7,
                "offset": "+0000",
            },
        ),
        (
            "date",
            {"pattern": "%d.%m.%Y", "timeZone": BERLIN},
            "24.12.2026",
            {
                "utc": "2026-12-23T23:00:00Z",
                "epochMs": 1798066800000,
                "date": "2026-12-24",
                "time": "00:00:00",
                "weekday": 4,
                "offset": "+0100",
            },
        ),
    ],
)
async def test_parse(kind: str, options: dict[str, Any], text: str, value: Any) -> None:
    assert (await completed("data.parse", {"text": text, "format": kind, **options})).output == value


@pytest.mark.parametrize(
    ("kind", "options", "value", "text"),
    [
        ("json", {}, {"n": 2**53 + 1, "ä": None}, '{"n":9007199254740993,"ä":null}'),
        ("json", {"indent": 1}, {"a": [1]}, '{\n "a": [\n  1\n ]\n}'),
        ("jsonLines", {}, [1, {"a": 2}], '1\n{"a":2}\n'),
        ("csv", {}, [{"a": 1, "b": None}, {"b": True, "c": [1]}], "a,b,c\r\n1,,\r\n,true,[1]\r\n"),
        ("csv", {"delimiter": ";"}, [["x", 'y"'], [1]], 'x;"y"""\r\n1\r\n'),
        ("base64", {}, "hü", "aMO8"),
        ("query", {}, {"a": ["1", 2], "b": "x y", "c": None}, "a=1&a=2&b=x+y"),
        ("date", {}, 0, "1970-01-01T00:00:00+00:00"),
        ("date", {"timeZone": BERLIN, "pattern": "%d.%m.%Y %H:%M"}, "2026-07-01", "01.07.2026 00:00"),
    ],
)
async def test_format(kind: str, options: dict[str, Any], value: Any, text: str) -> None:
    assert (await completed("data.format", {"value": value, "format": kind, **options})).output == text


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("json", "{"),
        ("jsonLines", "1\n{"),
        ("csv", "a,a\n1,2\n"),
        ("csv", "a\n1,2\n"),
        ("csv", 'a\n"1\n'),
        ("base64", "ü"),
        ("base64", "/w=="),
        ("date", "soon"),
        ("date", "0001-01-01T00:00:00+14:00"),
        ("xml", "<a>"),
        ("xml", "<a/><b/>"),
        ("xml", ""),
        ("xml", "<a>&undefined;</a>"),
        ("xml", "<a>" * 40 + "</a>" * 40),
    ],
)
async def test_parse_refuses(kind: str, text: str) -> None:
    outcome = await failed("data.parse", {"text": text, "format": kind})
    assert outcome.failure.code == "PARSE_FAILED"
    assert outcome.failure.message.startswith(f"this is no {kind}: ")


@pytest.mark.parametrize(
    ("kind", "options", "value"),
    [
        ("jsonLines", {}, {}),
        ("csv", {}, [1]),
        ("csv", {}, [{}, []]),
        ("query", {}, []),
        ("xml", {}, {}),
        ("xml", {}, {"a": 1, "b": 2}),
        ("xml", {}, {"a": [1, 2]}),
        ("xml", {}, {"a b": 1}),
        ("xml", {}, {"a": {"@x>": 1}}),
        ("xml", {}, {"a": "\x01"}),
        ("xml", {}, {"a": {"b": [[1]]}}),
        ("date", {}, True),
        ("date", {}, 10**30),
        ("date", {"timeZone": "Mars/Olympus"}, 0),
        ("date", {"timeZone": "../../etc/passwd"}, 0),
    ],
)
async def test_format_refuses(kind: str, options: dict[str, Any], value: Any) -> None:
    outcome = await failed("data.format", {"value": value, "format": kind, **options})
    assert outcome.failure.code == "FORMAT_FAILED"


@pytest.mark.parametrize("delimiter", ["", ",,", '"', "\n"])
def test_csv_delimiters_are_one_plain_character(delimiter: str) -> None:
    for name, raw in (("data.parse", {"text": ""}), ("data.format", {"value": []})):
        with pytest.raises(ValidationError):
            config(name, {**raw, "delimiter": delimiter})


# XML


def test_xml_elements_attributes_text_and_repetition() -> None:
    lines = '<line>ä</line><line n="2">b</line>'
    text = f'<?xml version="1.0" encoding="latin-1"?><order id="7">{lines}<note/>&lt;x</order>'
    assert parse_xml(text) == {
        "order": {"@id": "7", "line": ["ä", {"@n": "2", "#text": "b"}], "note": None, "#text": "<x"}
    }


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;&b;&b;">]><a>&c;</a>',
        '<!DOCTYPE a SYSTEM "http://127.0.0.1/x.dtd"><a/>',
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
    ],
)
async def test_xml_entities_of_ones_own_are_refused(text: str) -> None:
    outcome = await failed("data.parse", {"text": text, "format": "xml"})
    assert "document types are not allowed" in outcome.failure.message


names = st.from_regex(r"[a-z][a-z0-9]{0,5}", fullmatch=True)
visible = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn", "Zs", "Zl", "Zp"])
contents = st.recursive(
    st.text(visible, min_size=1) | st.none(),
    lambda inner: st.dictionaries(
        names, inner | st.lists(inner, min_size=2, max_size=3), min_size=1, max_size=3
    ),
    max_leaves=6,
)


@given(content=contents, root=names)
def test_xml_is_read_as_it_was_written(content: Any, root: str) -> None:
    assert parse_xml(format_xml({root: content})) == {root: content}


# CSV

cells = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=5)
rows = st.lists(st.lists(cells, min_size=2, max_size=4), max_size=5)


@given(rows=rows, delimiter=st.sampled_from(",;\t|"))
def test_csv_is_read_as_it_was_written(rows: list[list[str]], delimiter: str) -> None:
    text = format_csv(rows, delimiter, header=False)
    assert parse_csv(text, delimiter, header=False) == rows
