"""Raw queries are read by Hono's rules."""

import pytest

from proxy.standin.querystring import decode, split_target

CASES = {
    "": {},
    "&&=x&": {},
    "a=1&b=2": {"a": ["1"], "b": ["2"]},
    "a=1&a=2": {"a": ["1", "2"]},
    "a": {"a": [""]},
    "a=b=c": {"a": ["b=c"]},
    "a+b=c+d": {"a b": ["c d"]},
    "%61=%2B": {"a": ["+"]},
    "a=100%": {"a": ["100%"]},
    "a=%zz%41": {"a": ["%zzA"]},
    "a=%C3%A9": {"a": ["\u00e9"]},
    "a=%C3": {"a": ["\ufffd"]},
    "a=%ff%41": {"a": ["\ufffdA"]},
    "a=%C3%\u00e9": {"a": ["\ufffd%\u00e9"]},
    "a=\udcff": {"a": ["\ufffd"]},
    "a=%26%3D": {"a": ["&="]},
    "a;b=1": {"a;b": ["1"]},
    "a=1?b": {"a": ["1?b"]},
}


@pytest.mark.parametrize(("query", "values"), CASES.items(), ids=ascii)
def test_a_query_is_decoded(query: str, values: dict[str, list[str]]) -> None:
    """Each pair means what it means upstream."""
    assert decode(query) == values


def test_a_target_is_split_at_its_first_question_mark() -> None:
    """An empty query and none are told apart."""
    assert split_target("/a?b?c") == ("/a", "b?c")
    assert split_target("/a?") == ("/a", "")
    assert split_target("/a") == ("/a", None)
