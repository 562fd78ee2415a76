"""Whether a connection is between two requests, which aiohttp's parser doesn't tell.

The shortcut may look at bytes only where a request begins. A head ends with the first empty line after it has begun. So while
no request has a body, as many empty lines as requests, one of them at the very end, say that nothing of another request came.
"""

END_OF_HEAD = b"\r\n\r\n"


class Boundary:
    """Follows a connection's bytes since the last moment at which it was between two requests.

    It errs on one side only: odd but allowed bytes, such as empty lines before a request, make it say no for the rest of the
    connection.
    """

    __slots__ = ("_empty_lines", "_ends", "_has_body", "_parsed", "_rest")

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Begin anew: the connection is between two requests."""
        self._rest = b""
        self._empty_lines = self._parsed = 0
        self._ends, self._has_body = True, False

    @property
    def is_here(self) -> bool:
        """Whether the connection is between two requests, as far as its bytes tell."""
        return self._ends and self._empty_lines == self._parsed and not self._has_body

    def note(self, data: bytes, parsed: int) -> None:
        """Note bytes that came, and how many requests were parsed since the last call."""
        self._parsed += parsed
        if data:
            whole = self._rest + data
            self._empty_lines += whole.count(END_OF_HEAD)
            self._ends = whole.endswith(END_OF_HEAD)
            self._rest = b"" if self._ends else whole[1 - len(END_OF_HEAD) :]

    def note_body(self) -> None:
        """Note that a request has a body: only the parser knows where that ends."""
        self._has_body = True
