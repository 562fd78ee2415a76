"""A connection is between two requests exactly when its parser is, as far as empty lines can tell."""

from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from proxy.web.connection.boundary import Boundary

PIECES = st.lists(st.sampled_from([b"GET / HTTP/1.1\r\n", b"A: b\r\n", b"\r\n", b"\r", b"\n", b"x"]), max_size=20).map(b"".join)


def parsed(whole: bytes) -> tuple[int, bool]:
    """How many heads end in some bytes, and whether the last one ends with them, by reading them as a parser does."""
    heads = 0
    while True:
        # Empty lines before a request line are passed over (RFC 9112 section 2.2).
        while whole.startswith(b"\r\n"):
            whole = whole[2:]
        if not whole or b"\r\n\r\n" not in whole:
            return heads, not whole
        heads, whole = heads + 1, whole.partition(b"\r\n\r\n")[2]


@given(PIECES, st.sets(st.integers(0, 200)))
@example(b"x\r\n\r\n\r\n", {5})
@example(b"x\r\n\r\ny\r\n\r\n", {2, 3, 4})
def test_boundary(whole: bytes, cuts: set[int]) -> None:
    """It never says so where a request has begun; and it says so wherever no request had a body or empty lines before it."""
    boundary, before = Boundary(), 0
    places = [0, *sorted(cut for cut in cuts if cut < len(whole)), len(whole)]
    for begin, end in pairwise(places):
        heads, between = parsed(whole[:end])
        boundary.note(whole[begin:end], heads - before)
        before = heads
        assert between or not boundary.is_here
        tidy = b"\r\n\r\n\r\n" not in whole[:end] and not whole.startswith(b"\r\n")
        if tidy and whole[:end].endswith(b"\r\n\r\n"):
            assert boundary.is_here is between


def test_a_body() -> None:
    """After a request with a body only the parser knows where the next one begins."""
    boundary = Boundary()
    boundary.note(b"GET / HTTP/1.1\r\nContent-Length: 4\r\n\r\n", 1)
    assert boundary.is_here
    boundary.note_body()
    assert not boundary.is_here
    boundary.begin()
    assert boundary.is_here
