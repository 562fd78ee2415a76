"""The SQL statements."""

import re

from proxy.store.sqlite import schema


def test_placeholders_have_no_numbers() -> None:
    """Python up to 3.12.3 takes `?1` for a name, and warns of the sequences that we give."""
    statements = [text for text in vars(schema).values() if isinstance(text, str) and "?" in text]
    assert len(statements) > 10
    assert not [text for text in statements if re.search(r"\?\d", text)]
