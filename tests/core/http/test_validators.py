"""Entity tags that a client names."""

import pytest

from proxy.core.http.validators import is_named


@pytest.mark.parametrize("field", ['"a"', 'W/"a"', '"b", W/"a"', " * "])
def test_a_tag_is_named(field: str) -> None:
    """Weak or strong, alone or among others."""
    assert is_named(field, "a")


@pytest.mark.parametrize("field", ['"b"', "a", ""])
def test_another_tag_is_named(field: str) -> None:
    """Or none, or one without quotes."""
    assert not is_named(field, "a")
