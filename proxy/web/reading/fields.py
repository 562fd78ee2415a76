"""Header fields of requests."""

from multidict import CIMultiDictProxy


def joined(headers: "CIMultiDictProxy[str]", name: str) -> str | None:
    """Return a list-valued field, None where there is none; several lines of it are one list (RFC 9110 section 5.3)."""
    lines = headers.getall(name, None)
    return None if lines is None else ", ".join(lines)
