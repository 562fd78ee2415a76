"""JavaScript's values, SQL's patterns, and fields."""

import math

import pytest

from proxy.standin.filters.fieldvalues import FieldTerm
from proxy.standin.filters.fuzzy import is_near
from proxy.standin.filters.like import contains, ilike
from proxy.standin.filters.moments import best_effort_s, javascript_date_s
from proxy.standin.integers import bigint, unsigned
from proxy.standin.jsvalues import parse, stringify, to_number, to_string
from proxy.standin.problem import UnreadableError
from proxy.standin.runs import Run
from proxy.standin.sqids import decode_first, encode

RUN = Run(
    id=1,
    project="p",
    number=1,
    name="n",
    created_at_s=0,
    updated_at_s=0,
    config={"lr": 0.5, "name": "Adam%", "day": "2026-01-02T00:00:00Z", "n": "12", "hex": "0x1", "none": None, "on": True},
)

STRINGS: dict[str, object] = {
    "1,,a": [1, None, "a"], "[object Object]": {}, "null": None, "true": True, "Infinity": math.inf, "2": 2.0,
}  # fmt: skip
NUMBERS: list[object] = [None, True, 2, " 3 ", [4.0], []]
NO_NUMBERS: list[object] = [{}, "x", [1, 2]]


def test_stringify() -> None:
    """Compact, raw UTF-8, numbers as JavaScript prints them."""
    value = {"a": [1, 1.0, 1e21, -0.0, math.nan, math.inf], "é\n": (True, False, None), "big": 2**60}
    assert stringify(value) == '{"a":[1,1,1e+21,0,null,null],"é\\n":[true,false,null],"big":1152921504606847000}'
    with pytest.raises(TypeError):
        stringify(object())


def test_coercion() -> None:
    """String() and Number() of what JSON can hold."""
    assert [to_string(value) for value in STRINGS.values()] == list(STRINGS)
    assert [to_number(value) for value in NUMBERS] == [0, 1, 2, 3, 4, 0]
    assert all(math.isnan(to_number(value)) for value in NO_NUMBERS)
    assert parse('{"a":1}') == {"a": 1.0}


def test_patterns() -> None:
    """Wildcards, escapes, and no case."""
    assert ilike("A.c", "a._")
    assert not ilike("abc", "a.c")
    assert ilike("100%", "100\\%")
    assert not ilike("1000", "100\\%")
    assert contains("one\nTWO", "e_t")


def test_near_texts() -> None:
    """One edit below four characters, two from there on."""
    assert is_near("abc", "xxabdxx")
    assert not is_near("abc", "xxadd")
    assert is_near("abcdef", "zz ABDEF zz")
    assert not is_near("abcdef", "xbxdxf")


def test_moments() -> None:
    """ISO 8601, with and without a zone, and Unix times."""
    assert javascript_date_s("1970-01-01T01:00:00+01:00") == 0
    assert javascript_date_s("1970-01-02") == 86_400
    assert best_effort_s("1970-01-01 00:00:01.900") == 1
    assert best_effort_s("1780000000") == 1_780_000_000
    with pytest.raises(UnreadableError):
        javascript_date_s("soon")


def test_integers() -> None:
    """Fractions, signs and what is too big can't be read; unsigned ones wrap around."""
    assert unsigned(2**32 + 1, 32) == 1
    assert bigint(-5) == -5
    for number in (0.5, math.inf, 2.0**63):
        with pytest.raises(UnreadableError):
            bigint(number)


@pytest.mark.parametrize(("number", "text"), [(0, "bM"), (1, "Uk"), (2, "gb"), (44088422818, "Metrics")])
def test_sqids(number: int, text: str) -> None:
    """The published ones; decoding takes more than encoding gives."""
    assert decode_first(text) == number
    assert decode_first(encode(number)) == number


TERMS = [
    ("text", "name", "contains", ["dam"], True),
    ("text", "name", "does not contain", ["dam"], False),
    ("text", "gone", "does not contain", ["dam"], True),
    ("text", "name", "equals", ["adam%"], False),
    ("text", "name", "is", ["Adam%"], True),
    ("text", "name", "is not", ["Adam%"], False),
    ("text", "name", "starts with", ["aD"], True),
    ("text", "name", "ends with", ["m_"], True),
    ("text", "name", "regex", ["^A.*m"], True),
    ("text", "name", "sounds like", ["x"], True),
    ("text", "none", "contains", [], False),
    ("text", "none", "exists", [], True),
    ("text", "gone", "exists", [], False),
    ("text", "gone", "not exists", [], True),
    ("number", "lr", "is", [0.5], True),
    ("number", "lr", "is", ["x"], True),
    ("number", "n", "is greater than", [11], True),
    ("number", "n", "is less than", ["12"], False),
    ("number", "hex", ">=", [0], False),
    ("number", "on", ">=", [0], False),
    ("number", "lr", "is less than or equal to", [0.5], True),
    ("number", "lr", "is not between", [0, 1], False),
    ("number", "gone", "is not between", [0, 1], True),
    ("number", "lr", "is between", [0], True),
    ("number", "lr", "about", [0], True),
    ("date", "day", "is before", ["2026-01-03"], True),
    ("date", "day", "is on or after", ["2026-01-03"], False),
    ("date", "day", "is between", ["2026-01-01", "2026-01-03"], True),
    ("date", "gone", "is after", ["2026"], False),
    ("date", "day", "about", ["2026"], True),
    ("option", "on", "is any of", [["true", "x"]], True),
    ("option", "lr", "is any of", ["0.5"], True),
    ("option", "lr", "is none of", [[0.5]], False),
    ("option", "lr", "is", [0.5], True),
    ("option", "gone", "is not", [0.5], True),
    ("option", "lr", "about", [0.5], True),
]


@pytest.mark.parametrize(("data_type", "key", "operator", "values", "fits"), TERMS, ids=str)
def test_terms_on_fields(data_type: str, key: str, operator: str, values: list[object], fits: bool) -> None:
    """Negated ones also fit runs without the field; what can't be read asks for nothing."""
    term = FieldTerm(source="config", key=key, data_type=data_type, operator=operator, values=tuple(values))
    assert term.fits(RUN) is fits


def test_a_regular_expression_that_is_none() -> None:
    """The database refuses it."""
    with pytest.raises(UnreadableError):
        FieldTerm(source="config", key="name", data_type="text", operator="regex", values=("(",)).fits(RUN)
