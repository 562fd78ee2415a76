"""The limit on the size of a request's head, which aiohttp's parser doesn't have."""

from collections.abc import Sequence

from aiohttp.http import HttpRequestParser, RawRequestMessage
from aiohttp.http_exceptions import BadHttpMessage, HttpProcessingError
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

# The request line and all fields. Clients and browsers send some hundred bytes, cookies of a whole domain some thousand.
# aiohttp bounds each line and how many there are: 1 MB in all.
MAX_HEAD_BYTES = 32_768
_Messages = Sequence[tuple[RawRequestMessage, StreamReader]]


class HeadLimit:
    """aiohttp's parser, as its server uses it, with a limit.

    Heads of more than MAX_HEAD_BYTES are refused, and so are those that never end. After bytes that could not be parsed
    nothing more is taken in: each error would hold the bytes that it was found in until its turn to be answered.
    """

    def __init__(self, parser: HttpRequestParser) -> None:
        self._feed_data = parser.feed_data
        self.message_consumed = parser.message_consumed
        self.pause_reading = parser.pause_reading
        self.set_upgraded = parser.set_upgraded
        self._body: StreamReader = EMPTY_PAYLOAD
        self._head_bytes = 0
        self._broken = False

    @property
    def is_bodied(self) -> bool:
        """Whether the bodies of all requests whose heads have come are complete."""
        return self._body.is_eof()

    def feed_data(self, data: bytes) -> tuple[_Messages, bool, bytes]:
        """Parse bytes; return the requests whose heads end in them, as aiohttp's parser does. Raises BadHttpMessage."""
        if self._broken:
            return (), False, b""
        in_head = self._body.is_eof()
        try:
            found = self._feed_data(data)
            self._check(found[0], len(data), in_head=in_head)
        except HttpProcessingError:
            self._broken = True
            raise
        return found

    def _check(self, messages: _Messages, came_bytes: int, *, in_head: bool) -> None:
        head_bytes = self._head_bytes + came_bytes
        if messages:
            self._body, self._head_bytes = messages[-1][1], 0
            # Several heads may have come at once. They are measured only if one of them could be too large.
            if in_head and came_bytes and head_bytes <= MAX_HEAD_BYTES:
                return
            head_bytes = max(_size_bytes(message) for message, _ in messages)
        elif in_head:
            self._head_bytes = head_bytes
        else:
            return
        if head_bytes > MAX_HEAD_BYTES:
            raise BadHttpMessage(f"the request line and the header fields take more than {MAX_HEAD_BYTES} bytes together")


def _size_bytes(message: RawRequestMessage) -> int:
    return len(message.path) + sum(len(name) + len(value) for name, value in message.raw_headers)
